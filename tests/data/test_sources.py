"""Every source, from files in the official format to the prepared dataset."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentbench.artifacts.files import read_json
from latentbench.config.datasets import MNISTDataset
from latentbench.config.load import parse
from latentbench.data.sources import cifar10
from latentbench.errors import ConfigError
from latentbench.rng import numpy_generator
from tests.data.conftest import Run, error_of, picture, save, zipped

# Folders


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_in_both_splits(packed: bool, tmp_path: Path, prepared: Run) -> None:
    root = tmp_path / "pictures"
    for split, number in (("train", 3), ("test", 2)):
        for label in ("2", "10"):
            for key in range(number):
                save(root / "wrapper" / split / label / f"{key}.png", picture(key))
    save(root / "wrapper" / "train" / "__MACOSX" / "2" / "x.png", picture(0))
    (root / "wrapper" / "notes.txt").write_text("not a picture")
    dataset = prepared(
        source="folder", path=str(zipped(root, tmp_path / "set.zip") if packed else root)
    )
    assert dataset.manifest.class_names == ["2", "10"]
    assert dataset.images("train").shape == (6, 32, 32, 3)
    assert np.bincount(dataset.labels("test")).tolist() == [2, 2]


def test_a_flat_zip_has_no_classes_and_random_test_images(tmp_path: Path, prepared: Run) -> None:
    for key in range(20):
        save(tmp_path / "pictures" / "lfw" / f"{key:02d}.jpg", picture(key))
    path = str(zipped(tmp_path / "pictures", tmp_path / "set.zip"))
    first = prepared(source="folder", path=path, test_fraction=0.25)
    assert (first.manifest.class_names, first.manifest.test.num_images) == ([], 5)
    assert set(first.labels("train").tolist()) == {-1}
    train, test = (np.array(first.images(split)) for split in ("train", "test"))
    everything = np.unique(np.concatenate([train, test]).reshape(20, -1), axis=0)
    assert len(everything) == 20
    assert not np.array_equal(
        test, prepared(source="folder", path=path, test_fraction=0.25, seed=1).images("test")
    )
    assert np.array_equal(
        test, prepared(source="folder", path=path, test_fraction=0.25).images("test")
    )


def test_the_number_of_workers_changes_nothing(tmp_path: Path, prepared: Run) -> None:
    for key in range(150):
        save(tmp_path / "pictures" / f"{key:03d}.jpg", picture(key, (50, 70)))
    arguments = {"source": "folder", "path": str(tmp_path / "pictures")}
    digests = {
        prepared("--workers", workers, **arguments).manifest.digest for workers in ("1", "3")
    }
    assert len(digests) == 1


def test_images_are_cropped_and_resized_like_pillow(tmp_path: Path, prepared: Run) -> None:
    for key in range(4):
        save(tmp_path / "pictures" / f"{key}.png", picture(key, (90, 120)))
    dataset = prepared(
        source="folder", path=str(tmp_path / "pictures"), crop=64, test_fraction=0.25
    )
    images = np.concatenate([dataset.images("train"), dataset.images("test")])
    expected = [
        np.asarray(
            picture(key, (90, 120)).resize((32, 32), Image.Resampling.BICUBIC, box=(13, 28, 77, 92))
        )
        for key in range(4)
    ]
    assert {image.tobytes() for image in images} == {image.tobytes() for image in expected}


def test_a_jpeg_decoded_at_half_size_is_close_to_the_whole(tmp_path: Path, prepared: Run) -> None:
    for key in range(2):
        save(tmp_path / "pictures" / f"{key}.jpg", picture(key, (250, 250)))
    dataset = prepared(source="folder", path=str(tmp_path / "pictures"), crop=148)
    for image in (*dataset.images("train"), *dataset.images("test")):
        errors = []
        for key in range(2):
            whole = Image.open(tmp_path / "pictures" / f"{key}.jpg").crop((51, 51, 199, 199))
            small = np.asarray(whole.resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
            errors.append(np.abs(np.asarray(small, dtype=np.float64) - image).mean())
        assert min(errors) < 1.5
        assert max(errors) > 10


@pytest.mark.parametrize(
    ("mode", "level", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), 255),
        ("LA", (0, 0), 255),
        ("L", 7, 7),
        ("1", 1, 255),
        ("I;16", 512, 2),
        ("P", 0, 0),
    ],
)
def test_every_mode_is_converted_to_gray(
    mode: str, level: Any, expected: int, tmp_path: Path, prepared: Run
) -> None:
    for key in range(2):
        save(tmp_path / "pictures" / f"{key}.png", Image.new(mode, (32, 32), level))
    dataset = prepared(source="folder", path=str(tmp_path / "pictures"), channels=1)
    assert (np.array(dataset.images("train")) == expected).all()


def test_exif_orientation_is_applied(tmp_path: Path, prepared: Run) -> None:
    picture = Image.new("RGB", (32, 32))
    picture.paste("white", (0, 0, 32, 16))  # bright above
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    for key in range(2):
        path = tmp_path / "pictures" / f"{key}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, exif=exif)
    image = prepared(source="folder", path=str(tmp_path / "pictures")).images("train")[0]
    assert image[:16].max() == 0
    assert image[16:].min() == 255


def test_max_train_images_is_a_random_subset(tmp_path: Path, prepared: Run) -> None:
    for key in range(30):
        save(tmp_path / "pictures" / f"{key:02d}.png", picture(key))
    arguments: dict[str, Any] = {"source": "folder", "path": str(tmp_path / "pictures")}
    whole = {image.tobytes() for image in prepared(**arguments).images("train")}
    part = [image.tobytes() for image in prepared(**arguments, max_train_images=5).images("train")]
    assert len(set(part)) == 5
    assert set(part) < whole


# Errors


def test_a_corrupt_image_is_named_or_skipped(tmp_path: Path, run: Run, prepared: Run) -> None:
    for key in range(12):
        save(tmp_path / "pictures" / f"{key:02d}.jpg", picture(key))
    bad = tmp_path / "pictures" / "07.jpg"
    bad.write_bytes(bad.read_bytes()[:400])
    arguments = {"source": "folder", "path": str(tmp_path / "pictures")}
    line = error_of(run(**arguments))
    assert "'07.jpg'" in line
    assert "on_error: skip" in line
    assert not (tmp_path / "prepared" / "dataset.json").exists()
    dataset = prepared(**arguments, on_error="skip")
    assert dataset.manifest.skipped == ["07.jpg"]
    assert dataset.manifest.train.num_images + dataset.manifest.test.num_images == 11
    images = np.concatenate([dataset.images("train"), dataset.images("test")])
    assert images.reshape(11, -1).std(axis=1).min() > 1  # no picture was left blank


def _climbing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.png", b"")


def _truncated(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"0" * 5000)
    path.write_bytes(path.read_bytes()[:3000])


def _empty(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", b"")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, ["path", "does not exist"]),
        (_climbing, ["outside of its folder", "'../outside.png'"]),
        (_truncated, ["as a zip"]),
        (_empty, ["has no images"]),
    ],
)
def test_a_wrong_path_is_an_error(
    make: Callable[[Path], None], words: list[str], tmp_path: Path, run: Run
) -> None:
    make(tmp_path / "set.zip")
    line = error_of(run(source="folder", path=str(tmp_path / "set.zip")))
    assert "set.zip" in line
    for word in words:
        assert word in line
    assert not (tmp_path / "raw" / "source.json").exists()


def test_images_that_changed_after_fetch_are_refused(tmp_path: Path, run: Run) -> None:
    for key in range(4):
        save(tmp_path / "pictures" / f"{key}.png", picture(key))
    arguments = {"source": "folder", "path": str(tmp_path / "pictures")}
    assert run(("fetch",), **arguments).exit_code == 0
    save(tmp_path / "pictures" / "9.png", picture(9))
    assert "has changed" in error_of(run(("prepare",), **arguments))


def test_a_full_disk_is_an_error(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert "No space is left" in error_of(run(source="glyphs", num_train=10, num_test=10))
    assert not [path for path in (tmp_path / "prepared").iterdir() if "images" in path.name]


# Glyphs


def test_glyphs_are_balanced_and_depend_on_the_seed_only(prepared: Run) -> None:
    dataset = prepared(source="glyphs", num_train=40, num_test=20)
    assert np.bincount(dataset.labels("train")).tolist() == [4] * 10
    images = np.array(dataset.images("train"))
    assert images.shape == (40, 32, 32, 1)
    assert (images.reshape(40, -1).max(axis=1) > 150).all()
    assert (np.median(images.reshape(40, -1), axis=1) < 20).all()
    again = prepared("--workers", "1", source="glyphs", num_train=60, num_test=20)
    assert np.array_equal(again.images("train")[:40], images)
    other = prepared(source="glyphs", num_train=40, num_test=20, seed=1)
    assert not np.array_equal(other.images("train"), images)


# Official formats


def _idx(values: np.ndarray[Any, Any]) -> bytes:
    header = bytes((0, 0, 8, values.ndim)) + b"".join(
        size.to_bytes(4, "big") for size in values.shape
    )
    return gzip.compress(header + values.astype(np.uint8).tobytes())


def _digits(split: str, number: int) -> np.ndarray[Any, Any]:
    return numpy_generator(0, split).integers(0, 256, (number, 28, 28), dtype=np.uint8)


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror of tiny MNIST files, with checksums to match."""
    from torchvision.datasets import MNIST

    mirror = tmp_path / "mirror" / "MNIST" / "raw"
    mirror.mkdir(parents=True)
    resources = []
    for split, number in (("train", 6), ("t10k", 3)):
        files = {
            f"{split}-images-idx3-ubyte.gz": _idx(_digits(split, number)),
            f"{split}-labels-idx1-ubyte.gz": _idx(np.arange(number)),
        }
        for name, data in files.items():
            (mirror / name).write_bytes(data)
            resources.append((name, hashlib.md5(data).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # the discard port: no server
    return mirror


@pytest.fixture
def server(mnist: Path) -> Iterator[str]:
    handler = partial(_Ranged, directory=str(mnist))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Ranged(SimpleHTTPRequestHandler):
    """Serves ranges of files, without logging."""

    ranges: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if requested is None or not path.is_file():
            super().do_GET()
            return
        self.ranges.append(requested)
        data = path.read_bytes()[int(requested.removeprefix("bytes=").rstrip("-")) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


def test_mnist_images_are_padded_not_resized(mnist: Path, tmp_path: Path, prepared: Run) -> None:
    dataset = prepared(source="mnist", mirror=str(tmp_path / "mirror"))
    images = np.array(dataset.images("train"))[..., 0]
    assert np.array_equal(images[:, 2:30, 2:30], _digits("train", 6))
    assert images[:, :2].max() == 0
    assert dataset.labels("test").tolist() == [0, 1, 2]
    assert dataset.manifest.class_names == [str(digit) for digit in range(10)]


def test_an_interrupted_download_is_resumed(
    mnist: Path, server: str, tmp_path: Path, prepared: Run
) -> None:
    name = "train-images-idx3-ubyte.gz"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / f"{name}.part").write_bytes((mnist / name).read_bytes()[:100])
    _Ranged.ranges.clear()
    dataset = prepared(source="mnist", mirror=server)
    assert _Ranged.ranges == ["bytes=100-"]
    assert dataset.manifest.train.num_images == 6


def test_a_file_with_a_wrong_checksum_is_not_kept(
    mnist: Path, server: str, tmp_path: Path, run: Run
) -> None:
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    for mirror in (server, str(mnist)):
        line = error_of(run(source="mnist", mirror=mirror))
        assert hashlib.md5(b"something else").hexdigest() in line
        assert "instead of" in line
        assert not list((tmp_path / "raw").glob("train-images*"))


def test_an_unverified_mirror_may_have_other_images(
    mnist: Path, tmp_path: Path, prepared: Run, run: Run
) -> None:
    other = _idx(255 - _digits("train", 6))
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(other)
    dataset = prepared(source="mnist", mirror=str(mnist), verify=False)
    assert np.array_equal(dataset.images("train")[:, 2:30, 2:30, 0], 255 - _digits("train", 6))
    assert hashlib.md5(other).hexdigest() in (tmp_path / "raw" / "source.json").read_text()
    # A file that changed in the mirror replaces the fetched one.
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(_idx(_digits("train", 6)))
    dataset = prepared(source="mnist", mirror=str(mnist), verify=False)
    assert np.array_equal(dataset.images("train")[:, 2:30, 2:30, 0], _digits("train", 6))
    (mnist / "train-images-idx3-ubyte.gz").unlink()
    assert "train-images-idx3-ubyte.gz is not in" in error_of(
        run(source="mnist", mirror=str(mnist), verify=False)
    )


def test_a_mirror_of_an_unknown_user_is_an_error(run: Run) -> None:
    for source in ("mnist", "celeba"):
        line = error_of(run(("fetch",), source=source, mirror="~no such user/x"))
        assert "mirror: '~no such user/x'" in line


@pytest.mark.parametrize("mirror", [None, "http://127.0.0.1:9/"])
def test_downloads_are_always_verified(mirror: str | None) -> None:
    with pytest.raises(ConfigError, match=r"verify: false.*`mirror`"):
        parse(
            MNISTDataset,
            {"source": "mnist", "mirror": mirror, "verify": False},
            where="params.yaml",
        )


def test_no_network_is_an_error(mnist: Path, run: Run) -> None:
    line = error_of(run(source="mnist"))
    assert "http://127.0.0.1:9/train-images-idx3-ubyte.gz" in line
    assert "no connection" in line
    assert "`mirror`" in line


def test_a_damaged_raw_file_is_an_error(mnist: Path, tmp_path: Path, run: Run) -> None:
    assert run(("fetch",), source="mnist", mirror=str(mnist)).exit_code == 0
    damaged = tmp_path / "raw" / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert str(damaged) in error_of(run(("prepare",), source="mnist", mirror=str(mnist)))
    damaged.unlink()
    assert str(damaged) in error_of(run(("prepare",), source="mnist", mirror=str(mnist)))


@pytest.mark.parametrize(
    ("split", "first", "classes"), [("letters", 1, 26), ("balanced", 0, 47), ("digits", 0, 10)]
)
def test_emnist_is_upright_with_labels_from_zero(
    split: str,
    first: int,
    classes: int,
    tmp_path: Path,
    prepared: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.datasets import EMNIST

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part, number in (("train", 4), ("test", 2)):
            stem = f"gzip/emnist-{split}-{part}"
            archive.writestr(
                f"{stem}-images-idx3-ubyte.gz", _idx(_digits(part, number).swapaxes(1, 2))
            )
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", _idx(np.arange(number) + first))
    (tmp_path / "gzip.zip").write_bytes(packed.getvalue())
    monkeypatch.setattr(EMNIST, "md5", hashlib.md5(packed.getvalue()).hexdigest())
    dataset = prepared(source="emnist", split=split, mirror=str(tmp_path))
    assert np.array_equal(dataset.images("train")[:, 2:30, 2:30, 0], _digits("train", 4))
    assert dataset.labels("train").tolist() == [0, 1, 2, 3]
    assert len(dataset.manifest.class_names) == classes


def test_cifar10_binary_version(
    tmp_path: Path, prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = numpy_generator(0, "cifar")
    records = {
        name: rng.integers(0, 256, (2, cifar10.RECORD), dtype=np.uint8)
        for names in cifar10.BATCHES.values()
        for name in names
    }
    path = tmp_path / cifar10.ARCHIVE.name
    with tarfile.open(path, "w:gz") as archive:
        files = {name: values.tobytes() for name, values in records.items()}
        files["batches.meta.txt"] = "\n".join(f"class{number}" for number in range(10)).encode()
        for values in records.values():
            values[:, 0] = [3, 9]
        for name, data in {
            **files,
            **{name: values.tobytes() for name, values in records.items()},
        }.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", cifar10.OfficialFile(path.name, digest, []))
    dataset = prepared(source="cifar10", mirror=str(tmp_path))
    planes = records["data_batch_1.bin"][0, 1:].reshape(3, 32, 32)
    assert np.array_equal(dataset.images("train")[0], planes.transpose(1, 2, 0))
    assert dataset.labels("train").tolist() == [3, 9] * 5
    assert dataset.manifest.test.num_images == 2


FACES = [f"{number:06d}.jpg" for number in range(1, 11)]
PARTS = [0] * 6 + [1] * 2 + [2] * 2


def _celeba(root: Path, layout: str) -> Path:
    """CelebA as the official files, as its site has it, as Kaggle's archive, or unpacked."""
    kaggle = "kaggle" in layout
    folder = "img_align_celeba_png" if layout == "png" else "img_align_celeba"
    below = root / "files" / (f"{folder}/{folder}" if kaggle else folder)
    for number, name in enumerate(FACES):
        suffix = ".png" if layout == "png" else ".jpg"
        save((below / name).with_suffix(suffix), picture(number, (178, 218)))
    smiling = [1 if number % 2 else -1 for number in range(10)]
    rows = list(zip(FACES, smiling, PARTS, strict=True))
    if kaggle:
        tables = {
            "list_attr_celeba.csv": "image_id,Smiling,Male\n"
            + "".join(f"{n},{s},{-s}\n" for n, s, _ in rows),
            "list_eval_partition.csv": "image_id,partition\n"
            + "".join(f"{n},{p}\n" for n, _, p in rows),
        }
    else:
        tables = {
            "list_attr_celeba.txt": "10\nSmiling Male\n"
            + "".join(f"{n} {s:2d} {-s:2d}\n" for n, s, _ in rows),
            "list_eval_partition.txt": "".join(f"{n} {p}\n" for n, _, p in rows),
        }
    place = root / "files"
    if layout == "official":
        (root / "zips").mkdir()
        zipped(place, root / "zips" / "img_align_celeba.zip")
        place = root / "zips"
    if layout.startswith("site"):
        place = root / "site"
        for part in ("Img", "Anno", "Eval"):
            (place / part).mkdir(parents=True)
        if layout == "site":
            zipped(root / "files", place / "Img" / "img_align_celeba.zip")
        else:
            below.rename(place / "Img" / below.name)
        (place / "Anno" / "list_attr_celeba.txt").write_text(tables["list_attr_celeba.txt"])
        (place / "Eval" / "list_eval_partition.txt").write_text(tables["list_eval_partition.txt"])
        return place
    for name, text in tables.items():
        (place / name).write_text(text)
    return zipped(place, root / "archive.zip") if layout == "kaggle" else place


@pytest.mark.parametrize(
    ("layout", "below"),
    [
        ("official", ""),
        ("official", "img_align_celeba.zip"),
        ("kaggle", ""),
        ("kaggle unpacked", ""),
        ("kaggle unpacked", "img_align_celeba/img_align_celeba"),
        ("unpacked", ""),
        ("unpacked", "img_align_celeba"),
        ("png", ""),
        ("site", ""),
        ("site", "Img"),
        ("site", "Img/img_align_celeba.zip"),
        ("site unpacked", ""),
        ("site unpacked", "Img"),
        ("site unpacked", "Img/img_align_celeba"),
    ],
)
def test_celeba_archives(layout: str, below: str, tmp_path: Path, prepared: Run) -> None:
    dataset = prepared(source="celeba", path=str(_celeba(tmp_path, layout) / below))
    assert dataset.images("train").shape == (6, 64, 64, 3)
    assert dataset.manifest.test.num_images == 2
    assert dataset.manifest.attribute_names == ["Smiling", "Male"]
    attributes = np.load(tmp_path / "prepared" / "train-attributes.npy")
    assert attributes.tolist() == [[number % 2, 1 - number % 2] for number in range(6)]


def test_lists_of_celeba_that_changed_have_to_be_fetched(tmp_path: Path, run: Run) -> None:
    place = _celeba(tmp_path, "site")
    assert run(("fetch",), source="celeba", path=str(place)).exit_code == 0
    path = place / "Eval" / "list_eval_partition.txt"
    path.write_text(path.read_text().replace("1.jpg 0", "1.jpg 2"))
    assert str(path) in error_of(run(("prepare",), source="celeba", path=str(place)))
    assert run(source="celeba", path=str(place)).exit_code == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("partition", "000001.jpg 0", "000001.jpg", ["000001.jpg"]),
        ("partition", "000001.jpg 0", "000001.jpg 3", ["000001.jpg", "3"]),
        ("partition", "000001.jpg 0", "000001.jpg 0 0", ["000001.jpg"]),
        ("partition", "000001.jpg 0\n", "", ["000001.jpg"]),
        ("partition", " 2\n", " 1\n", ["test"]),
        ("attr", "000001.jpg -1", "000001.jpg", ["000001.jpg"]),
        ("attr", "000001.jpg -1", "000001.jpg 2", ["000001.jpg", "Smiling"]),
        ("attr", "10\nSmiling Male\n", "", ["no attributes"]),
        ("attr", "Smiling", "Smi\udce9ng", ["UTF-8"]),
    ],
)
def test_lists_of_celeba_that_do_not_fit_are_refused(
    name: str, old: str, new: str, words: list[str], tmp_path: Path, run: Run
) -> None:
    place = _celeba(tmp_path, "unpacked")
    path = next(place.glob(f"list_*{name}*"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new), errors="surrogateescape")
    line = error_of(run(source="celeba", path=str(place)))
    for word in [str(place), *words]:
        assert word in line


def test_lists_of_celeba_that_differ_are_refused(tmp_path: Path, run: Run) -> None:
    place = _celeba(tmp_path, "site")
    copy = place / "list_attr_celeba.txt"
    original = place / "Anno" / copy.name
    copy.write_bytes(original.read_bytes())
    result = run(source="celeba", path=str(place))
    assert result.exit_code == 0
    assert str(original) in result.output
    assert str(place / "Eval") in result.output
    copy.write_text(copy.read_text().replace("1 -1", "1  1"))
    line = error_of(run(source="celeba", path=str(place)))
    assert str(copy) in line
    assert str(original) in line


def test_celeba_without_lists_has_random_test_images(tmp_path: Path, prepared: Run) -> None:
    path = _celeba(tmp_path, "unpacked")
    for table in path.glob("list_*"):
        table.unlink()
    dataset = prepared(source="celeba", path=str(path))
    assert (dataset.manifest.train.num_images, dataset.manifest.test.num_images) == (9, 1)
    assert dataset.manifest.attribute_names == []


def test_a_failed_celeba_download_names_the_alternatives(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import utils

    def quota(*_: object) -> None:
        raise RuntimeError("too many users")

    monkeypatch.setattr(utils, "download_file_from_google_drive", quota)
    line = error_of(run(source="celeba"))
    assert "img_align_celeba.zip could not be downloaded" in line
    assert "Kaggle's archive" in line
    assert "`path`" in line


def test_a_changed_source_has_to_be_fetched(tmp_path: Path, run: Run) -> None:
    assert run(("fetch",), source="glyphs").exit_code == 0
    save(tmp_path / "pictures" / "a.png", picture(0))
    line = error_of(run(("prepare",), source="folder", path=str(tmp_path / "pictures")))
    assert "files of glyphs" in line
    assert read_json(tmp_path / "raw" / "source.json")["source"] == "glyphs"
