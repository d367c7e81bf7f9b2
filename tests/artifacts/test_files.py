"""Atomic writes, errors of damaged files, and random generators."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from latentbench.artifacts import files
from latentbench.artifacts.files import read_arrays, write_arrays
from latentbench.artifacts.tensors import read_tensors, require_same_settings, write_tensors
from latentbench.cli import main
from latentbench.errors import ArtifactError, StorageError
from latentbench.rng import derive_seed, numpy_generator, torch_generator


def test_a_failed_write_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    files.write_json(path, {"fid": 1.0})
    with pytest.raises(RuntimeError), files.atomic_write(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"fid": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    # Writing to /dev/full fails as writing to a full disk does.
    with (
        pytest.raises(StorageError, match=r"No space .*/x;"),
        files.convert_disk_errors(tmp_path / "x"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"0")


def test_a_failed_checkpoint_write_is_an_oserror(tmp_path: Path) -> None:
    # A limit of the file size, in another process, fails like a full disk.
    script = """
import resource, signal, sys, pathlib
sys.dont_write_bytecode = True  # the limit would truncate it
import torch
from latentbench.artifacts.tensors import write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_tensors(pathlib.Path(sys.argv[1]), {"weight": torch.zeros(1000)}, {})
except OSError as error:
    print(error.errno, error.filename)
"""
    path = tmp_path / "state.safetensors"
    result = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [str(errno.EFBIG), str(path)]
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_reports_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    output = tmp_path / "study.yaml"
    params = "studies: {demo: {title: Demo}}\ndatasets: {}\nexperiments: {}\n"
    result = CliRunner().invoke(
        main,
        ["configure", "--params", "-", "--study", "demo", "--output", str(tmp_path)],
        input=params,
    )
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert "No space" in line
    assert str(output) in line
    assert not output.exists()


def test_nan_is_not_written_to_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"fid": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(2, dtype=torch.int64)}
    metadata = {"z": 1, "settings": {"seed": 0}, "a": [1, 2]}
    write_tensors(tmp_path / "1.safetensors", tensors, metadata)
    write_tensors(
        tmp_path / "2.safetensors",
        dict(reversed(tensors.items())),
        dict(reversed(metadata.items())),
    )
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    back, described = read_tensors(tmp_path / "1.safetensors")
    assert described == metadata
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("keep", [0, 5, 100, -3])
def test_a_truncated_checkpoint_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "epoch-0001.safetensors"
    write_tensors(path, {"weight": torch.ones(50)}, {"epoch": 1})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"epoch-0001.safetensors is damaged"):
        read_tensors(path)


def test_tensors_without_a_checksum_are_refused(tmp_path: Path) -> None:
    """They are from an earlier version or another program."""
    path = tmp_path / "epoch-0001.safetensors"
    for metadata in (None, {"latentbench": '{"epoch": 1}'}):
        save_file({"weight": torch.ones(2)}, path, metadata)
        with pytest.raises(ArtifactError, match=r"epoch-0001.safetensors.*checksum"):
            read_tensors(path)


def test_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    for name in ("a", "b", "last"):
        (tmp_path / name).write_text("old")
    with pytest.raises(KeyError), files.write_together(tmp_path, last="last") as staged:  # noqa: PT012
        (staged / "a").write_text("new")
        raise KeyError
    (tmp_path / ".last.0.partial").mkdir()  # of a killed run
    assert {(tmp_path / name).read_text() for name in ("a", "b", "last")} == {"old"}
    with files.write_together(tmp_path, last="last") as staged:
        for name in ("a", "last"):
            (staged / name).write_text("new")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a": "new", "b": "old", "last": "new"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"\xff", b"", b"9" * 5_000, b"{} {}"),
        *(b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}'),
    ],
)
def test_damaged_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.json is damaged"):
        files.read_json(tmp_path / "x.json")


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    for read in (files.read_json, files.read_array, read_arrays, read_tensors):
        with pytest.raises(ArtifactError, match=str(path)):
            read(path)


def test_an_archive_under_the_name_of_an_array_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npy", {"a": np.arange(3)})
    with pytest.raises(ArtifactError, match=r"x\.npy"):
        files.read_array(tmp_path / "x.npy")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="damaged"):
        files.read_array(path)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.uint8).reshape(2, 3), "a": np.linspace(0, 1, 5)}
    write_arrays(tmp_path / "one.npz", arrays)
    write_arrays(tmp_path / "other.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    found = read_arrays(tmp_path / "one.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"no archive at all"]
)
def test_damaged_arrays_are_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"a": np.arange(100)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match="damaged"):
        read_arrays(path)


def test_the_error_of_other_settings_names_each_difference() -> None:
    with pytest.raises(
        ArtifactError, match=r"^checkpoint .*model.width.*32.*64.*seed.*train again"
    ):
        require_same_settings(
            {"seed": 0, "model": {"width": 32, "beta1": 0.5}},
            {"seed": 1, "model": {"width": 64, "beta1": 0.5}},
            path=Path("checkpoint"),
            remedy="train again",
        )


def test_generators_depend_on_seed_stream_and_step_only() -> None:
    seeds = {
        derive_seed(seed, stream, step)
        for seed in range(5)
        for stream in ("a", "b")
        for step in range(5)
    }
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert numpy_generator(1, "x", 2).random() == numpy_generator(1, "x", 2).random()
    draws = [torch.randn(3, generator=torch_generator(1, "x", step)) for step in (2, 3, 2)]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_an_array_that_is_lost_in_the_list_of_entries_is_missed(tmp_path: Path) -> None:
    """The length of a comment in the list makes the reader skip the next entry."""
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"a": np.arange(5), "b": np.ones(3)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 33] = 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="1 of 2"):
        read_arrays(path)
