"""`latentbench init`: what it finds in a folder, and that its params file works."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from latentbench import folder_study
from latentbench.artifacts.paths import GRID_GAP
from latentbench.cli import main
from latentbench.config.load import read_params
from latentbench.config.params import RULES
from latentbench.rng import numpy_generator

CONTENTS = folder_study.FolderContents(
    num_train=900,
    num_test=100,
    class_names=[],
    attribute_names=[],
    side=64,
    crop=None,
    num_looked_at=100,
    num_damaged=0,
    preview=np.zeros((2, 64, 64, 3), dtype=np.uint8),
)


def write_images(
    folder: Path, number: int, *, size: tuple[int, int] = (80, 60), is_color: bool = True
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = numpy_generator(0, str(folder))
    for index in range(number):
        channels = 3 if is_color else 1
        pixels = rng.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
        # As most gray images are stored: three equal channels, compressed.
        image = Image.fromarray(np.broadcast_to(pixels, (size[1], size[0], 3)).copy())
        image.save(folder / f"{index}.jpg")


def init(*arguments: Any, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["init", "--no-forecast", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize(("size", "expected"), [((80, 60), 64), ((28, 28), 32), ((300, 40), 32)])
def test_size_and_color_follow_the_images(
    size: tuple[int, int], expected: int, tmp_path: Path
) -> None:
    for is_color in (True, False):
        folder, output = tmp_path / f"color-{is_color}", tmp_path / f"{is_color}.yaml"
        write_images(folder, 100, size=size, is_color=is_color)
        init(folder, "--output", output)
        params = read_params(output)
        [dataset] = params.datasets.values()
        assert (dataset.image_size, dataset.channels) == (expected, 3 if is_color else 1)
        assert dataset.path == str(folder)
        with Image.open(output.with_suffix(".png")) as preview:
            assert preview.mode == ("RGB" if is_color else "L")
            assert preview.width == 8 * (expected + GRID_GAP) - GRID_GAP
        flips = {experiment.training.flip for experiment in params.experiments.values()}
        assert flips == {is_color}


def test_the_params_file_prepares_the_images(tmp_path: Path) -> None:
    """Classes, a damaged image and a name with every kind of quote."""
    folder = tmp_path / """Zoë's "pets": #1 \\ {x}"""
    for name in ("cat", "dog"):
        write_images(folder / name, 60, size=(40, 40))
    (folder / "cat" / "0.jpg").write_bytes(b"\xff\xd8 no image")
    output = tmp_path / "p.yaml"
    printed = init(folder, "--output", output).output
    assert f"make report PARAMS={output} STUDY=zoe-s-pets-1-x BUDGET=small" in printed
    assert "1 of 100" in printed or "1 of 108" in printed
    [name] = read_params(output).studies
    assert name == "zoe-s-pets-1-x"
    config, raw, prepared = tmp_path / "config", tmp_path / "raw", tmp_path / "prepared"
    files = [str(config / f"{stage}.yaml") for stage in ("fetch", "prepare")]
    for command in (
        ["configure", "--params", str(output), "--dataset", name, "--output", str(config)],
        ["fetch", "--config", files[0], "--output", str(raw)],
        ["prepare", "--config", files[1], "--raw", str(raw), "--output", str(prepared)],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    images = [np.load(path) for path in sorted(prepared.glob("*images*.npy"))]
    assert sum(map(len, images)) == 119
    assert images[0].shape[1:] == (32, 32, 3)


def test_a_zip_with_attributes(tmp_path: Path) -> None:
    write_images(tmp_path / "faces", 100)
    archive, table = tmp_path / "Faces of 2024.zip", tmp_path / "faces.csv"
    rows = ["image,Smiling,Glasses"]
    with zipfile.ZipFile(archive, "w") as file:
        for index in range(100):
            file.write(tmp_path / "faces" / f"{index}.jpg", f"{index}.jpg")
            rows.append(f"{index}.jpg,{index % 2},1")
    table.write_text("\n".join(rows))
    output = tmp_path / "f.yaml"
    init(archive, "--attributes", table, "--output", output)
    params = read_params(output)
    assert list(params.studies) == ["faces-of-2024"]
    assert params.datasets["faces-of-2024"].attributes == str(table)
    # The comment has a condition that is valid.
    text = output.read_text()
    [condition] = re.findall("`(condition: .*)`", text)
    text = re.sub("(    model: {.*)}", rf"\1, {condition}}}", text)
    models = [each.model for each in read_params(output, text=text).experiments.values()]
    assert [model.condition for model in models] == [["Smiling"], ["Smiling"]]


def _without_comment_signs(text: str) -> str:
    """Return a params file with the settings that its comments have."""
    lines = []
    for line in text.splitlines():
        is_setting = line.startswith(("  # ", "    # notebooks"))
        lines.append(line.replace("# ", "", 1) if is_setting else line)
    return "\n".join(lines)


def test_comments_are_valid_settings(tmp_path: Path) -> None:
    """The third model and the repeats work as soon as their comment signs are removed."""
    write_images(tmp_path / "faces", 100)
    output = tmp_path / "faces.yaml"
    init(tmp_path / "faces", "--output", output)
    params = read_params(output, text=_without_comment_signs(output.read_text()))
    assert "walkthrough" in params.studies["faces"].notebooks
    assert {name: each.repeats for name, each in params.experiments.items()} == {
        "vae": 3,
        "wgan-gp": 3,
        "dcgan": 3,
    }


def test_crop_is_set_and_previewed(tmp_path: Path) -> None:
    """The preview has the center of the images, which is white here."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.zeros((60, 80, 3), dtype=np.uint8)
    pixels[15:45, 25:55] = 255
    for index in range(100):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    output = tmp_path / "p.yaml"
    init(folder, "--output", output, "--crop", 20)
    [dataset] = read_params(output).datasets.values()
    assert (dataset.crop, dataset.image_size) == (20, 32)
    with Image.open(output.with_suffix(".png")) as preview:
        assert np.array(preview).min() == 255


@pytest.mark.parametrize(
    ("num_train", "epochs"), [(5_400, 30), (90, 200), (1_000_000, 1), (20_000, 8)]
)
def test_epochs_have_about_as_many_steps(num_train: int, epochs: int) -> None:
    contents = replace(CONTENTS, num_train=num_train)
    assert contents.epochs == epochs


@pytest.mark.parametrize(("num_train", "is_few"), [(4_999, True), (5_000, False)])
def test_few_images_come_with_advice(num_train: int, is_few: bool, tmp_path: Path) -> None:
    contents = replace(CONTENTS, num_train=num_train)
    text = folder_study.params_text("faces", tmp_path, None, contents)
    assert ("augment:" in text) == is_few
    sentences = folder_study.summary("faces", tmp_path / "faces.yaml", contents)
    assert any("augment:" in sentence for sentence in sentences) == is_few


@pytest.mark.parametrize("name", [*sorted(RULES), "handin_x", "Ünïcode", "日本", "-", "a" * 300])
def test_names_are_names_of_studies(name: str, tmp_path: Path) -> None:
    study = folder_study.study_name(Path(name))
    path = tmp_path / name
    text = folder_study.params_text(study, path, None, CONTENTS)
    params = read_params(tmp_path / "params.yaml", text=text)
    assert params.datasets[study].path == str(path)


def test_what_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    few, damaged = tmp_path / "few", tmp_path / "damaged"
    write_images(few, 9)
    damaged.mkdir()
    for index in range(100):
        (damaged / f"{index}.jpg").write_bytes(b"")
    output = tmp_path / "x.yaml"
    for folder, expected in ((few, "9 images"), (damaged, "damaged"), (tmp_path / "no", "no")):
        [line] = init(folder, "--output", output, code=1).output.splitlines()
        assert expected in line
        assert not output.exists()
    output.write_text("mine")
    assert str(output) in init(few, "--output", output, code=1).output
    assert output.read_text() == "mine"
    output.rename(output.with_suffix(".png"))
    assert "x.png" in init(few, "--output", output, code=1).output
