"""The feature cache: same bits with and without it, no repeated sampling, no damaged features."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch import Tensor

import latentbench
from latentbench.artifacts.dependencies import FEATURE_SOURCES, sources_sha256
from latentbench.artifacts.files import write_array, write_yaml
from latentbench.artifacts.paths import EVALUATION_ARRAYS
from latentbench.evaluation.cache import FeatureCache, cache_key
from latentbench.evaluation.sampling_cost import SamplingCost
from latentbench.models.vae import VAE
from tests.evaluation.conftest import EPOCHS, evaluate, scratch_of, write_checkpoint

Make = Callable[..., Path]
WRITTEN = ("metrics.csv", "metrics.json", EVALUATION_ARRAYS)


@pytest.fixture
def measured(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> Callable[..., list[bytes]]:
    """Evaluate a VAE on the squares once more; return what was written."""
    reference = build_reference(prepared)
    results = make_experiment(prepared, "vae", evaluation={"num_samples": 60})

    def measure(**settings: Any) -> list[bytes]:
        config = yaml.safe_load((results / "config.yaml").read_text())
        config["evaluation"] |= settings
        write_yaml(results / "config.yaml", config)
        result = evaluate(results, reference, prepared)
        assert result.exit_code == 0, result.output
        return [(results / name).read_bytes() for name in WRITTEN]

    return measure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scratch_of(tmp_path / "results" / "tiny" / "vae") / "features"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_cache_does_not_change_the_bits(measured: Make, folder: Path) -> None:
    first = measured()
    files = contents(folder)
    assert len(files) == 2 * 2 * 2 * 2, "checkpoints × priors × seeds × an array and its checksum"
    assert measured() == first
    assert contents(folder) == files
    shutil.rmtree(folder)
    assert measured() == first


def test_cached_samples_are_not_drawn_again(
    measured: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = VAE.decode
    numbers: list[int] = []

    def counted(self: VAE, latents: Tensor, labels: Tensor) -> Tensor:
        numbers.append(len(latents))
        return decode(self, latents, labels)

    monkeypatch.setattr(VAE, "decode", counted)
    # How many batches it times depends on their times.
    cost = SamplingCost(steps=None, evaluations=1.0, seconds_per_image=0.1)
    monkeypatch.setattr("latentbench.evaluation.evaluate.measure_sampling", lambda *_: cost)
    measured()
    shown = sum(numbers) - len(EPOCHS) * 2 * 2 * 60
    numbers.clear()
    measured()
    # What the closer look shows is decoded again, since only features are kept.
    assert sum(numbers) == shown
    assert shown <= 2 * 16 + 4 * 10


def damage(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif how == "flipped":
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    elif how == "other":
        write_array(path, np.zeros((3, 2), np.float32))
    else:
        path.with_suffix(".sha256").unlink()


@pytest.mark.parametrize("how", ["cut", "flipped", "other", "unsigned"])
def test_damaged_features_are_computed_again(measured: Make, folder: Path, how: str) -> None:
    first, files = measured(), contents(folder)
    damage(sorted(folder.glob("*.npy"))[1], how)
    assert measured() == first
    assert contents(folder) == files


def test_settings_and_code_are_part_of_the_key(
    measured: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured()
    keys = {frozenset(contents(folder))}
    for settings in ({"num_samples": 70}, {"batch_size": 9}):
        measured(**settings)
        keys.add(frozenset(contents(folder)))
    monkeypatch.setattr("latentbench.evaluation.samples.sources_sha256", lambda parts: "0" * 64)
    measured()
    keys.add(frozenset(contents(folder)))
    assert len(frozenset().union(*keys)) == sum(map(len, keys)) == 4 * 16, (
        "none is used by two, and none stays"
    )
    before = contents(folder)
    measured(kid_subsets=4)
    assert contents(folder) == before


def test_a_changed_checkpoint_is_measured_again(
    measured: Make, folder: Path, prepared: Path, tmp_path: Path
) -> None:
    first, files = measured(), contents(folder)
    config = tmp_path / "results" / "tiny" / "vae" / "config.yaml"
    write_checkpoint(config, EPOCHS[-1], data=prepared, factor=1.5)
    before, after = first[0].splitlines(), measured()[0].splitlines()
    assert after[:3] == before[:3], "the header and both priors of the first checkpoint"
    assert all(line not in before for line in after[3:])
    assert len(contents(folder).keys() & files.keys()) == 2 * 4


def test_a_failed_run_deletes_nothing(
    measured: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured()
    files = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr("latentbench.evaluation.evaluate.write_csv", lambda *_, **__: 1 / 0)
        with pytest.raises(AssertionError):
            measured()
    assert contents(folder) == files


def test_the_sources_are_part_of_the_key(tmp_path: Path) -> None:
    package = tmp_path / "latentbench"
    shutil.copytree(
        Path(latentbench.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    first = sources_sha256(FEATURE_SOURCES)
    assert sources_sha256(FEATURE_SOURCES, package) == first
    for name, matters in {
        "models/vae.py": True,
        "data/images.py": True,
        "report/build.py": False,
    }.items():
        with (package / name).open("a") as file:
            file.write("# Changed.\n")
        changed = sources_sha256(FEATURE_SOURCES, package)
        assert (changed != first) is matters, name
        first = changed


def test_unused_files_are_removed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    key, other = cache_key({"a": 1}), cache_key({"a": 2})
    features = np.ones((4, 2), np.float32)
    for name in (key, other):
        cache.write(name, features)
    (tmp_path / f".{key}.npy.partial").write_bytes(b"of a run that was killed")
    fresh = FeatureCache(tmp_path)
    found = fresh.read(key, shape=(4, 2))
    assert found is not None
    assert (found == features).all()
    assert fresh.read(key, shape=(5, 2)) is None
    fresh.remove_unused()
    assert {path.name for path in tmp_path.iterdir()} == {f"{key}.npy", f"{key}.sha256"}
    FeatureCache(tmp_path / "nowhere").remove_unused()
