"""Networks are told layer by layer, with what is computed between the layers."""

from __future__ import annotations

from latentbench.artifacts.files import write_csv, write_yaml
from latentbench.artifacts.paths import ARCHITECTURE
from latentbench.config.load import read_yaml
from latentbench.report.training import layers
from latentbench.results.study import open_study

COLUMNS = (
    "network layer kind kernel stride padding dilation output parameters multiply_adds".split()
)  # noqa: SIM905


def rows(markdown):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]


def write_layers(folder, *told):
    """Each is (path, kind, dilation, output)."""
    empty = dict.fromkeys(COLUMNS, "") | {"network": "decoder", "parameters": 1, "multiply_adds": 1}
    keys = ("layer", "kind", "dilation", "output")
    write_csv(
        folder / ARCHITECTURE,
        [empty | dict(zip(keys, each, strict=True)) for each in told],
        columns=COLUMNS,
    )


def told(folder, name):
    tables = layers.architectures(open_study(folder))
    return rows(next(table.markdown for names, table in tables if f"**{name}**" in names))


def test_layers_are_listed_and_added_up(make_study):
    (name, table), *_ = layers.architectures(open_study(make_study()))
    assert name == "**vae**, **dcgan** and **wgan-gp**"
    lines = rows(table.markdown)
    assert lines[2] == ["encoder", "Conv2d", "4×4", "2×2", "1×1", "8×16×16", "1,360", "34,816"]
    assert lines[3][:2] == ["", "ReLU"]
    assert lines[3][-2:] == ["", ""]
    assert lines[4][0] == "decoder"
    assert lines[-1][-2:] == ["2,000", "35,456"]


def test_an_image_ends_in_the_activation_that_its_objective_gives_it(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        write_layers(folder / name, ("0", "ConvTranspose2d", "1×1", "1×32×32"))
    config = folder / "vae" / "config.yaml"
    settings = read_yaml(config)
    write_yaml(config, settings | {"model": settings["model"] | {"likelihood": "bernoulli"}})
    assert told(folder, "dcgan")[3][1:6] == ["Tanh", "", "", "", "1×32×32"]
    assert told(folder, "vae")[3][1] == "Mean of the continuous Bernoulli"
    assert "Tanh" not in [row[1] for row in told(folder, "wgan-gp")]  # which ends in a vector


def test_half_of_the_channels_that_is_dilated_is_marked(make_study):
    folder = make_study()
    write_layers(
        folder / "vae",
        ("2.near", "Conv2d", "1×1", "8×32×32"),
        ("2.far", "Conv2d", "2×2", "8×32×32"),
    )
    header, _, near, far, *_ = told(folder, "vae")
    place = header.index("Dilation")
    assert (near[1], near[place]) == ("Conv2d, half of the channels", "1×1")
    assert (far[1], far[place]) == ("Conv2d, the other half", "2×2")
    assert "Dilation" not in told(folder, "dcgan")[0]


def test_a_residual_block_tells_where_it_doubles_or_halves(make_study):
    folder = make_study()
    up = [("a.first.0", "ReLU", "", "8×4×4"), ("a.first.1", "Conv2d", "1×1", "4×8×8"),
          ("a.second.1", "Conv2d", "1×1", "4×8×8"), ("a.shortcut", "Conv2d", "1×1", "4×4×4")]  # fmt: skip
    down = [("b.first.0", "ReLU", "", "4×8×8"), ("b.second.1", "Conv2d", "1×1", "8×8×8"),
            ("b.shortcut", "Conv2d", "1×1", "8×4×4")]  # fmt: skip
    same = [("c.first.0", "ReLU", "", "8×4×4"), ("c.second.1", "Conv2d", "1×1", "8×4×4"),
            ("c.shortcut", "Identity", "", "8×4×4"), ("d", "Flatten", "", "128")]  # fmt: skip
    write_layers(folder / "vae", *up, *down, *same)
    assert [(row[1], row[5]) for row in told(folder, "vae")[2:-1]] == [
        ("ReLU", "8×4×4"),
        ("Doubling, nearest neighbors", "8×8×8"),
        ("Conv2d", "4×8×8"),
        ("Conv2d", "4×8×8"),
        ("Conv2d, shortcut, doubled behind it", "4×4×4"),
        ("Sum with the shortcut", "4×8×8"),
        ("ReLU", "4×8×8"),
        ("Conv2d", "8×8×8"),
        ("Halving, mean of four", "8×4×4"),
        ("Conv2d, shortcut, halved before it", "8×4×4"),
        ("Sum with the shortcut", "8×4×4"),
        ("ReLU", "8×4×4"),
        ("Conv2d", "8×4×4"),
        ("Identity, shortcut", "8×4×4"),
        ("Sum with the shortcut", "8×4×4"),
        ("Flatten", "128"),
    ]
