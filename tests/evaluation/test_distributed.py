"""Samples that several processes share have the features, and so the metrics, of one process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from latentbench.artifacts.files import file_sha256
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.evaluation.evaluate import Folders, evaluate_experiment
from tests.evaluation.conftest import EPOCHS, scratch_of, write_checkpoint

Make = Callable[..., Path]


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    return {
        path.name: file_sha256(path)
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }


def test_two_processes_give_the_bits_of_one(
    prepared: Path,
    build_reference: Make,
    make_config: Make,
    launched: Callable[[list[str]], Result],
) -> None:
    reference = build_reference(prepared)
    # Batches that neither divide the samples nor go round evenly.
    config = make_config(
        "dcgan", training={"processes": 2}, evaluation={"num_samples": 50, "batch_size": 20}
    )
    results = config.parent
    for epoch in EPOCHS:
        write_checkpoint(config, epoch, data=prepared)
    found = []
    folders = Folders(prepared, reference, results, scratch_of(results))
    options = {"config": config, "data": prepared, "reference": reference, "results": results}
    options |= {"scratch": folders.scratch}
    words = [word for name, path in options.items() for word in (f"--{name}", str(path))]
    for together in (False, True):
        if together:
            result = launched(["evaluate", *words])
            assert result.exit_code == 0, result.output
        else:
            evaluate_experiment(read_config(config, ExperimentConfig), folders)
        found.append(
            digests(results, "metrics.*", "evaluation/*")
            | digests(folders.scratch, "features/*.npy")
        )
        shutil.rmtree(folders.scratch)
        (results / "metrics.csv").unlink()
    assert len(found[0]) == 2 + 1 + len(EPOCHS) * 2
    assert found[1] == found[0]
