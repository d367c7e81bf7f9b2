"""Small datasets, fetched and prepared by the stages."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import strategies as st
from PIL import Image

from latentbench.artifacts.files import write_yaml
from latentbench.cli import main
from latentbench.config.load import parse_params
from latentbench.data.prepared import PreparedDataset
from latentbench.rng import numpy_generator

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs stages on a dataset and returns the last result."""

    def stages(stages: tuple[str, ...] = ("fetch", "prepare"), *words: str, **dataset: Any) -> Any:
        raw = {"studies": {}, "datasets": {"set": dataset}, "experiments": {}}
        config = tmp_path / "set.yaml"
        write_yaml(
            config, parse_params(raw, where="params.yaml").dataset("set").model_dump(mode="json")
        )
        places = {
            "fetch": ["--output", tmp_path / "raw"],
            "prepare": ["--raw", tmp_path / "raw", "--output", tmp_path / "prepared", *words],
        }
        for stage in stages:
            arguments = [str(word) for word in (stage, "--config", config, *places[stage])]
            result = CliRunner().invoke(main, arguments)
            if result.exit_code:
                break
        return result

    return stages


@pytest.fixture
def prepared(tmp_path: Path, run: Run) -> Callable[..., PreparedDataset]:
    def prepare(*words: str, **dataset: Any) -> PreparedDataset:
        result = run(("fetch", "prepare"), *words, **dataset)
        assert result.exit_code == 0, result.output
        return PreparedDataset.open(tmp_path / "prepared")

    return prepare


def picture(key: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Return a smooth color image that depends on the key."""
    coarse = numpy_generator(0, "picture", key).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def png(key: int) -> bytes:
    """Return the file of a small image that depends on the key."""
    file = io.BytesIO()
    picture(key, (20, 20)).save(file, "png")
    return file.getvalue()


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Return a file with bytes that are changed, inserted or cut off, more often at its ends."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(400, len(content))))
        if draw(st.booleans()):
            place = max(0, len(content) - place)
        new = draw(st.binary(max_size=4) | st.sampled_from([b"\0\0\x75\x30", b"\xff\xff\xff\xff"]))
        removed = draw(st.sampled_from([len(new), 0, 8, len(content)]))
        content[place : place + removed] = new
    return bytes(content)


def error_of(result: Any) -> str:
    """Return the error message of a failed stage, which is one line."""
    assert result.exit_code == 1, result.output
    line: str = result.output.splitlines()[-1]
    assert line.startswith("Error: ")
    assert "Traceback" not in result.output
    return line


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path
