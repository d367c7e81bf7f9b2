"""Tables of attributes: formats, matching with images, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latentbench.artifacts.files import read_json
from latentbench.config.load import parse_params
from latentbench.data.labels import LabelSet
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ConfigError
from tests.data.conftest import Run, error_of, picture, save

SMILING = [1, 0, 0, 1, 1, 0]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Four pictures for training and two for testing."""
    for number in range(6):
        save(
            tmp_path / "faces" / ("train" if number < 4 else "test") / f"{number}.png",
            picture(number),
        )
    return tmp_path / "faces"


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "attributes.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


TEXTS = {
    "file names": "picture,Smiling,Hat\n"
    + "".join(f"{n}.png,{s},{1 - s}\n" for n, s in enumerate(SMILING)),
    "minus one as zero": "image_id, Smiling, Hat\n"
    + "".join(f"{n}.png, {2 * s - 1}, {1 - 2 * s}\n" for n, s in enumerate(SMILING)),
    "in any order": "picture,Smiling,Hat\n"
    + "".join(f"{n}.png,{s},{1 - s}\n" for n, s in reversed(list(enumerate(SMILING)))),
    "byte order mark, Windows lines": "\N{ZERO WIDTH NO-BREAK SPACE}picture,Smiling,Hat\r\n"
    + "".join(f"{n}.png,{s},{1 - s}\r\n" for n, s in enumerate(SMILING)),
    "CelebA's list": "6\nSmiling Hat\n"
    + "".join(f"{n}.png {s:2d} {1 - s:2d}\n" for n, s in enumerate(SMILING)),
    "semicolons": "picture;Smiling;Hat\n"
    + "".join(f"{n}.png;{s};{1 - s}\n" for n, s in enumerate(SMILING)),
    "tabs": "picture\tSmiling\tHat\n"
    + "".join(f"{n}.png\t{s}\t{1 - s}\n" for n, s in enumerate(SMILING)),
    "rows of pictures elsewhere": "picture,Smiling,Hat\nelsewhere.png,1,1\n"
    + "".join(f"{n}.png,{s},{1 - s}\n" for n, s in enumerate(SMILING)),
    "paths": "picture,Smiling,Hat\n"
    + "".join(
        f"./{'train' if n < 4 else 'test'}/{n}.png,{s},{1 - s}\n" for n, s in enumerate(SMILING)
    ),
    "Windows' paths": "picture,Smiling,Hat\n"
    + "".join(
        f"{'train' if n < 4 else 'test'}\\{n}.png,{s},{1 - s}\n" for n, s in enumerate(SMILING)
    ),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_each_image_has_its_row(
    text: str, faces: Path, table: Callable[[str], str], prepared: Run
) -> None:
    dataset = prepared(source="folder", path=str(faces), attributes=table(text))
    assert dataset.manifest.attribute_names == ["Smiling", "Hat"]
    found = [dataset.attributes(split).tolist() for split in ("train", "test")]
    expected = [[smiling, 1 - smiling] for smiling in SMILING]
    assert found == [expected[:4], expected[4:]]


def test_the_row_of_a_skipped_image_is_skipped(faces: Path, table: Run, prepared: Run) -> None:
    (faces / "train" / "1.png").write_bytes(b"damaged")
    dataset = prepared(
        source="folder", path=str(faces), attributes=table(TEXTS["file names"]), on_error="skip"
    )
    assert dataset.attributes("train")[:, 0].tolist() == [1, 0, 1]
    assert dataset.manifest.train.num_images == 3


def test_held_out_images_keep_their_rows(tmp_path: Path, table: Run, prepared: Run) -> None:
    """The gray level of an image is its number, and its attributes are the number's bits."""
    from PIL import Image

    for number in range(32):
        save(tmp_path / "gray" / f"{number}.png", Image.new("L", (32, 32), number))
    rows = [f"{number}.png,{','.join(f'{number:05b}')}\n" for number in range(32)]
    attributes = table("picture,a,b,c,d,e\n" + "".join(rows))
    dataset = prepared(
        source="folder",
        path=str(tmp_path / "gray"),
        channels=1,
        attributes=attributes,
        test_fraction=0.3,
    )
    for split, number in (("train", 22), ("test", 10)):
        shown = dataset.images(split)[:, 0, 0, 0].tolist()
        assert (dataset.attributes(split) @ (1 << np.arange(5)[::-1])).tolist() == shown
        assert len(shown) == number


def test_the_digest_changes_with_the_attributes(
    faces: Path, table: Run, prepared: Run, tmp_path: Path
) -> None:
    arguments = {"source": "folder", "path": str(faces)}
    plain = prepared(**arguments).manifest.digest
    assert not list((tmp_path / "prepared").glob("*attributes*"))
    first = prepared(**arguments, attributes=table(TEXTS["file names"])).manifest.digest
    again = prepared(**arguments, attributes=table(TEXTS["in any order"])).manifest.digest
    other = prepared(
        **arguments, attributes=table(TEXTS["file names"].replace("0.png,1,0", "0.png,0,0"))
    )
    assert first == again
    assert len({plain, first, other.manifest.digest}) == 3
    assert LabelSet.from_dataset(other, ["Smiling"]).counts == [1, 3]


def test_the_record_lists_the_attribute_arrays(
    faces: Path, table: Run, run: Run, tmp_path: Path
) -> None:
    arguments = {"source": "folder", "path": str(faces), "attributes": table(TEXTS["file names"])}
    assert (
        run(("fetch", "prepare"), "--record", tmp_path / "prepare.json", **arguments).exit_code == 0
    )
    outputs = read_json(tmp_path / "prepare.json")["outputs"]
    assert {Path(path).name for path in outputs} >= {"train-attributes.npy", "test-attributes.npy"}


BAD = {
    "has no row for 1 of": TEXTS["file names"].replace("0.png,1,0\n", ""),
    "has two rows for '0.png'": TEXTS["file names"] + "0.png,1,0\n",
    "has 1 values for '0.png'": TEXTS["file names"].replace("0.png,1,0\n", "0.png,1\n"),
    "has a value for '0.png'": TEXTS["file names"].replace("0.png,1,0\n", "0.png,yes,0\n"),
    "has '2' for 'Smiling'": TEXTS["file names"].replace("0.png,1,0\n", "0.png,2,0\n"),
    "has no attributes": "6\n",
    "has a column 'Smiling'": TEXTS["file names"].replace("Hat", "Smiling"),
}


@pytest.mark.parametrize("words", BAD)
def test_a_faulty_table_is_an_error(words: str, faces: Path, table: Run, run: Run) -> None:
    line = error_of(run(source="folder", path=str(faces), attributes=table(BAD[words])))
    assert "attributes.csv " + words in line


def test_a_row_that_matches_two_images_is_an_error(faces: Path, table: Run, run: Run) -> None:
    save(faces / "train" / "4.png", picture(9))
    line = error_of(run(source="folder", path=str(faces), attributes=table(TEXTS["file names"])))
    for name in ("'4.png'", "train/4.png", "test/4.png"):
        assert name in line


def test_a_missing_or_binary_table_is_an_error(faces: Path, tmp_path: Path, run: Run) -> None:
    arguments = {"source": "folder", "path": str(faces), "attributes": str(tmp_path / "table.csv")}
    assert "table.csv is not a file" in error_of(run(("fetch",), **arguments))
    (tmp_path / "table.csv").write_bytes(
        TEXTS["file names"].replace("Hat", "Hut ä").encode("latin-1")
    )
    assert "is not UTF-8 text" in error_of(run(**arguments))


def test_a_changed_table_has_to_be_fetched(
    faces: Path, table: Run, run: Run, tmp_path: Path
) -> None:
    arguments = {"source": "folder", "path": str(faces), "attributes": table(TEXTS["file names"])}
    assert run(**arguments).exit_code == 0
    table(TEXTS["file names"].replace("0.png,1", "0.png,0"))
    assert "attributes.csv has changed" in error_of(run(("prepare",), **arguments))
    PreparedDataset.open(tmp_path / "prepared")  # unchanged


def test_a_condition_on_missing_attributes_is_a_config_error() -> None:
    raw = {
        "studies": {"faces": {"title": "Faces"}},
        "datasets": {"faces": {"source": "folder", "path": "faces"}},
        "experiments": {
            "vae": {
                "study": "faces",
                "dataset": "faces",
                "model": {"name": "vae", "condition": ["Hat"]},
            }
        },
    }
    with pytest.raises(
        ConfigError,
        match=r"vae\.model\.condition lists 'Hat'.*`attributes`",
    ):
        parse_params(raw, where="params.yaml")
    raw["datasets"]["faces"]["attributes"] = "faces.csv"
    parse_params(raw, where="params.yaml")
