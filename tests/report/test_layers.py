"""Tables of layers, with the operations between layers."""

from __future__ import annotations

from latentbench import open_study
from latentbench.artifacts.files import write_csv, write_yaml
from latentbench.artifacts.paths import ARCHITECTURE
from latentbench.config.load import read_yaml
from latentbench.report.training import layers

GEOMETRY = ("kernel", "stride", "padding", "dilation")
COLUMNS = ("network", "layer", "kind", *GEOMETRY, "output", "parameters", "multiply_adds")


def cells(markdown):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in markdown.splitlines()]


def write_layers(folder, *rows):
    """Write layers given as (path, kind, dilation, output)."""
    empty = dict.fromkeys(COLUMNS, "") | {"network": "decoder", "parameters": 1, "multiply_adds": 1}
    keys = ("layer", "kind", "dilation", "output")
    layers = [empty | dict(zip(keys, row, strict=True)) for row in rows]
    write_csv(folder / ARCHITECTURE, layers, columns=COLUMNS)


def table_of(folder, name):
    for names, table in layers.architectures(open_study(folder)):
        if f"**{name}**" in names:
            return cells(table.markdown)
    raise AssertionError(name)


def test_layers_and_totals(make_study):
    [(names, table)] = layers.architectures(open_study(make_study()))
    assert names == "**vae**, **dcgan** and **wgan-gp**"
    rows = cells(table.markdown)
    assert rows[2] == ["encoder", "Conv2d", "4×4", "2×2", "1×1", "8×16×16", "1,360", "34,816"]
    assert (rows[3][:2], rows[3][-2:]) == (["", "ReLU"], ["", ""])
    assert rows[4][0] == "decoder"
    assert rows[-1][-2:] == ["2,000", "35,456"]


def test_last_activation_of_each_model(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        write_layers(folder / name, ("0", "ConvTranspose2d", "1×1", "1×32×32"))
    config = folder / "vae" / "config.yaml"
    settings = read_yaml(config)
    write_yaml(config, settings | {"model": settings["model"] | {"likelihood": "bernoulli"}})
    assert table_of(folder, "dcgan")[3][1:6] == ["Tanh", "", "", "", "1×32×32"]
    assert "Bernoulli" in table_of(folder, "vae")[3][1]
    assert "Tanh" not in [row[1] for row in table_of(folder, "wgan-gp")]  # its output is a vector


def test_dilation_is_a_column_where_it_is_used(make_study):
    folder = make_study()
    convolutions = [("2.near", "Conv2d", "1×1", "8×32×32"), ("2.far", "Conv2d", "2×2", "8×32×32")]
    write_layers(folder / "vae", *convolutions)
    header, _, near, far, *_ = table_of(folder, "vae")
    place = header.index("Dilation")
    assert (near[1], near[place]) == ("Conv2d, half of the channels", "1×1")
    assert (far[1], far[place]) == ("Conv2d, the other half", "2×2")
    assert "Dilation" not in table_of(folder, "dcgan")[0]


def test_resampling_in_residual_blocks(make_study):
    folder = make_study()
    up = [
        ("a.first.0", "ReLU", "", "8×4×4"),
        ("a.first.1", "Conv2d", "1×1", "4×8×8"),
        ("a.second.1", "Conv2d", "1×1", "4×8×8"),
        ("a.shortcut", "Conv2d", "1×1", "4×4×4"),
    ]
    down = [
        ("b.first.0", "ReLU", "", "4×8×8"),
        ("b.second.1", "Conv2d", "1×1", "8×8×8"),
        ("b.shortcut", "Conv2d", "1×1", "8×4×4"),
    ]
    same = [
        ("c.first.0", "ReLU", "", "8×4×4"),
        ("c.second.1", "Conv2d", "1×1", "8×4×4"),
        ("c.shortcut", "Identity", "", "8×4×4"),
        ("d", "Flatten", "", "128"),
    ]
    write_layers(folder / "vae", *up, *down, *same)
    assert [(row[1], row[5]) for row in table_of(folder, "vae")[2:-1]] == [
        ("ReLU", "8×4×4"),
        ("Upsampling, nearest neighbor", "8×8×8"),
        ("Conv2d", "4×8×8"),
        ("Conv2d", "4×8×8"),
        ("Conv2d, shortcut, then upsampled", "4×4×4"),
        ("Sum with the shortcut", "4×8×8"),
        ("ReLU", "4×8×8"),
        ("Conv2d", "8×8×8"),
        ("Average pooling, 2×2", "8×4×4"),
        ("Conv2d, shortcut, after average pooling", "8×4×4"),
        ("Sum with the shortcut", "8×4×4"),
        ("ReLU", "8×4×4"),
        ("Conv2d", "8×4×4"),
        ("Identity, shortcut", "8×4×4"),
        ("Sum with the shortcut", "8×4×4"),
        ("Flatten", "128"),
    ]


def test_a_resnet_upsamples_bilinearly(make_study):
    folder = make_study()
    up = [
        ("a.first.2", "Conv2d", "1×1", "4×8×8"),
        ("a.shortcut", "Conv2d", "1×1", "4×4×4"),
    ]
    write_layers(folder / "vae", ("a.first.0", "ReLU", "", "8×4×4"), *up)
    config = folder / "vae" / "config.yaml"
    settings = read_yaml(config)
    write_yaml(config, settings | {"model": settings["model"] | {"architecture": "resnet"}})
    assert "Upsampling, bilinear" in [row[1] for row in table_of(folder, "vae")]


def test_models_without_layers_are_named(make_study):
    folder = make_study()
    (folder / "dcgan" / ARCHITECTURE).unlink()
    *_, (_, last) = layers.architectures(open_study(folder))
    assert last.markdown is None
    assert all(word in last.notes[0] for word in ("dcgan", ARCHITECTURE))


def test_a_unet_has_a_row_per_block(make_study):
    folder = make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)})
    block = ("first.0", "embedding", "shortcut", "second", "attention")
    attention = ("attention.norm", "attention.query_key_value", "attention.output")
    rows = [("embedding.layers.0", "Linear", "", "64"), ("first", "Conv2d", "1×1", "8×16×16")]
    rows += [(f"down.0.{part}", "GroupNorm", "", "8×16×16") for part in block]
    rows += [("down.1", "Conv2d", "1×1", "8×8×8")]
    rows += [(f"middle.0.{part}", "Conv2d", "1×1", "8×8×8") for part in (*block[:4], *attention)]
    rows += [(f"up.0.{part}", "Conv2d", "1×1", "8×8×8") for part in block]
    rows += [("up.1", "Conv2d", "1×1", "8×16×16")]
    rows += [("up.2.first.0", "GroupNorm", "", "8×8×8"), ("up.2.second", "Conv2d", "", "8×16×16")]
    rows += [("last.2", "Conv2d", "1×1", "4×16×16")]
    write_layers(folder / "diffusion", *rows)
    table = [(row[1], row[5], row[6]) for row in table_of(folder, "diffusion")[2:]]
    block = "Block: 2 × (GroupNorm, SiLU, Conv2d)"
    assert table == [
        ("Linear, of time", "64", "1"),
        ("2×2 pixels as channels", "4×16×16", ""),
        ("Conv2d", "8×16×16", "1"),
        (block, "8×16×16", "5"),
        ("Conv2d", "8×8×8", "1"),
        (f"{block}, then self-attention", "8×8×8", "7"),
        (f"{block} of joined feature maps", "8×8×8", "5"),
        ("Upsampling, nearest neighbor", "8×16×16", ""),
        ("Conv2d", "8×16×16", "1"),
        (f"{block}, doubles the side", "8×16×16", "2"),
        ("Conv2d", "4×16×16", "1"),
        ("Channels as 2×2 pixels", "1×32×32", ""),
        ("", "", str(len(rows))),
    ]
    assert layers.describe_blocks(open_study(folder))
    assert not layers.describe_blocks(open_study(make_study({"vae": (12.0, 0.1)})))
