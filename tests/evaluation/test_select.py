"""The select stage: the trial closest to the validation images, by an independent computation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentbench.artifacts.dependencies import select_config
from latentbench.artifacts.files import (
    read_array,
    read_manifest,
    write_array,
    write_manifest,
    write_text,
    write_yaml,
)
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    DIVERGED,
    EVALUATION_ARRAYS,
    METRICS,
    SELECT_CONFIG,
    SELECT_RECORD,
    SELECTED,
    SPLITS,
    VALIDATION,
    checkpoint_path,
    images_name,
    labels_name,
    reference_files,
)
from latentbench.artifacts.verification import is_up_to_date
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.images import to_uint8
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.pretrained import load_pretrained
from latentbench.evaluation.metrics.cmmd import CMMD
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.models.objective import draw_latents
from latentbench.rng import torch_generator
from tests.evaluation.conftest import (
    evaluate,
    record_arrays,
    run,
    scratch_of,
    write_checkpoint,
)

CPU = torch.device("cpu")
NUMBER = 24


@pytest.fixture
def prepared(make_prepared: Callable[..., Path]) -> Path:
    """Squares with 60 validation images, of which the fourth class has fewer than the others."""
    data = make_prepared(num_train=120, num_test=80)
    images, labels = data / images_name("test"), np.arange(60) % 4
    labels[:4] = 0
    write_array(data / labels_name(VALIDATION), labels)
    write_array(data / images_name(VALIDATION), np.flip(read_array(images)[:60], axis=1))
    record_arrays(data, (*SPLITS, VALIDATION))
    return data


@pytest.fixture
def searched(
    prepared: Path, build_reference: Callable[..., Path], make_config: Callable[..., Path]
) -> tuple[ExperimentConfig, Path, Path]:
    """An experiment with two trials, whose networks differ: config, results and reference."""
    path = make_config("dcgan", search={"width": [4, 8]})
    config = read_config(path, ExperimentConfig)
    for trial in config.trials():
        place = path.parents[1] / trial.name / "config.yaml"
        write_yaml(place, trial.model_dump(mode="json"))
        write_checkpoint(place, trial.training.epochs, data=prepared)
    write_text(path.parent / SELECT_CONFIG, select_config(config))
    return config, path.parent, build_reference(prepared)


def select(results: Path, reference: Path, data: Path) -> None:
    folders = {"data": data, "reference": reference, "results": results}
    result = run("select", config=results / SELECT_CONFIG, **folders, scratch=scratch_of(results))
    assert result.exit_code == 0, result.output


def test_the_closest_trial_is_selected(
    searched: tuple[ExperimentConfig, Path, Path], prepared: Path
) -> None:
    from cleanfid.fid import frechet_distance

    config, results, reference = searched
    select(results, reference, prepared)
    extractor = ClassifierExtractor.load(reference / "classifier.safetensors", device=CPU)
    real = extractor(torch.from_numpy(read_array(prepared / images_name(VALIDATION))))
    real = real.double().numpy()
    means = []
    for trial in config.trials():
        trained = load_checkpoint(trial, results.parent / trial.name, 3, device=CPU)
        distances = []
        for place in range(2):
            generator = torch_generator(trial.seed, "evaluation", place)
            latents = draw_latents(NUMBER, 6, generator)
            labels = trained.label_set.sample(NUMBER, generator)
            images = to_uint8(trained.objective.sample(latents, labels))
            drawn = extractor(images).double().numpy()
            distances.append(
                frechet_distance(
                    *(drawn.mean(axis=0), np.cov(drawn, rowvar=False)),
                    *(real.mean(axis=0), np.cov(real, rowvar=False)),
                )
            )
        means.append(np.mean(distances))
    selection = read_manifest(results / SELECTED)
    assert [trial["mean"] for trial in selection["trials"]] == pytest.approx(means, rel=1e-4)
    assert selection["values"] == {"width": [4, 8][int(np.argmin(means))]}
    assert selection["num_images"] == 60
    assert selection["class_counts"] == {"a": 18, "b": 14, "c": 14, "d": 14}
    seeds = {trial["seed"] for trial in selection["trials"]}
    assert seeds.isdisjoint(range(config.seed, config.seed + 1000))


def test_trials_are_compared_by_cmmd_over_clip(
    searched: tuple[ExperimentConfig, Path, Path],
    prepared: Path,
    build_reference: Callable[..., Path],
    transformer_settings: dict[str, str],
) -> None:
    config, results, _ = searched
    reference = build_reference(prepared, extractors=["classifier", "clip"], **transformer_settings)
    select(results, reference, prepared)
    selection = read_manifest(results / SELECTED)
    assert selection["metric"] == "cmmd"
    assert selection["num_images"] == 60
    path, sha256 = transformer_settings["clip_path"], transformer_settings["clip_sha256"]
    extractor = load_pretrained("clip", path, sha256=sha256, device=CPU)
    distance = CMMD(extractor(torch.from_numpy(read_array(prepared / images_name(VALIDATION)))))
    for trial, found in zip(config.trials(), selection["trials"], strict=True):
        trained = load_checkpoint(trial, results.parent / trial.name, 3, device=CPU)
        expected = []
        for place in range(2):
            generator = torch_generator(trial.seed, "evaluation", place)
            latents = draw_latents(NUMBER, 6, generator)
            labels = trained.label_set.sample(NUMBER, generator)
            expected.append(
                distance(extractor(to_uint8(trained.objective.sample(latents, labels))))
            )
        assert found["mean"] == pytest.approx(np.mean(expected), rel=1e-3)


def test_a_selection_is_the_same_again_and_has_a_record(
    searched: tuple[ExperimentConfig, Path, Path], prepared: Path
) -> None:
    config, results, reference = searched
    select(results, reference, prepared)
    before = (results / SELECTED).read_bytes()
    assert is_up_to_date(results / SELECT_RECORD, "select", results / SELECT_CONFIG)
    select(results, reference, prepared)
    assert (results / SELECTED).read_bytes() == before
    trial = config.trials()[1]
    path = results.parent / trial.name / "config.yaml"
    write_checkpoint(path, 3, data=prepared, factor=1.1)
    assert not is_up_to_date(results / SELECT_RECORD, "select", results / SELECT_CONFIG)


def test_a_missing_trial_is_an_error(
    searched: tuple[ExperimentConfig, Path, Path], prepared: Path
) -> None:
    config, results, reference = searched
    path = checkpoint_path(results.parent / config.trials()[1].name, 3)
    path.unlink()
    folders = {"data": prepared, "reference": reference, "results": results}
    result = run("select", config=results / SELECT_CONFIG, **folders, scratch=scratch_of(results))
    assert result.exit_code == 1
    assert str(path) in result.output
    assert not (results / SELECTED).exists()


def let_diverge(trial: ExperimentConfig, folder: Path, data: Path) -> None:
    """Replace the checkpoint of a trial by the reason why it has none."""
    checkpoint_path(folder, trial.training.epochs).unlink()
    reason = {"settings": trial.training_settings(), "reason": "the loss became nan"}
    digest = read_manifest(data / DATASET_MANIFEST)["digest"]
    write_manifest(folder / DIVERGED, reason | {"data_digest": digest})


def test_a_trial_that_diverged_is_not_selected(
    searched: tuple[ExperimentConfig, Path, Path], prepared: Path
) -> None:
    config, results, reference = searched
    select(results, reference, prepared)
    before = read_manifest(results / SELECTED)
    best = config.combinations().index(before["values"])
    first, second = config.trials()[best], config.trials()[1 - best]
    let_diverge(first, results.parent / first.name, prepared)
    assert not is_up_to_date(results / SELECT_RECORD, "select", results / SELECT_CONFIG)
    select(results, reference, prepared)
    after = read_manifest(results / SELECTED)
    assert after["values"] == config.combinations()[1 - best]
    assert after["trials"][best]["mean"] is None
    assert after["trials"][1 - best] == before["trials"][1 - best]
    let_diverge(second, results.parent / second.name, prepared)
    folders = {"data": prepared, "reference": reference, "results": results}
    result = run("select", config=results / SELECT_CONFIG, **folders, scratch=scratch_of(results))
    assert result.exit_code == 1
    assert "all trials" in result.output
    assert read_manifest(results / SELECTED) == after


def change_images(data: Path, split: str) -> None:
    """Turn the images of a split upside down, which changes the distances of all samples."""
    path = data / images_name(split)
    write_array(path, read_array(path)[:, ::-1])
    record_arrays(data, (*SPLITS, VALIDATION))


def test_test_images_have_no_part_in_the_selection(
    searched: tuple[ExperimentConfig, Path, Path],
    prepared: Path,
    build_reference: Callable[..., Path],
) -> None:
    _, results, reference = searched
    select(results, reference, prepared)
    before = (results / SELECTED).read_bytes()
    change_images(prepared, "test")
    changed = build_reference(prepared)
    select(results, changed, prepared)
    assert (results / SELECTED).read_bytes() == before


def test_validation_images_change_the_selection_and_nothing_that_is_reported(
    searched: tuple[ExperimentConfig, Path, Path],
    prepared: Path,
    build_reference: Callable[..., Path],
    make_experiment: Callable[..., Path],
) -> None:
    _, results, reference = searched

    def reported() -> tuple[list[bytes], list[float]]:
        experiment = make_experiment(prepared)
        assert evaluate(experiment, build_reference(prepared), prepared).exit_code == 0
        select(results, reference, prepared)
        trials = read_manifest(results / SELECTED)["trials"]
        files = [(experiment / name).read_bytes() for name in (METRICS, EVALUATION_ARRAYS)]
        files += [(reference / name).read_bytes() for name in reference_files(["classifier"])]
        return files, [trial["mean"] for trial in trials]

    files, distances = reported()
    change_images(prepared, VALIDATION)
    same_files, other_distances = reported()
    assert same_files == files
    assert all(
        after != pytest.approx(before, rel=1e-3)
        for before, after in zip(distances, other_distances, strict=True)
    )


def test_a_search_without_validation_images_is_an_error(
    searched: tuple[ExperimentConfig, Path, Path], prepared: Path
) -> None:
    _, results, reference = searched
    manifest = read_manifest(prepared / DATASET_MANIFEST)
    del manifest[VALIDATION]
    write_manifest(prepared / DATASET_MANIFEST, manifest)
    folders = {"data": prepared, "reference": reference, "results": results}
    result = run("select", config=results / SELECT_CONFIG, **folders, scratch=scratch_of(results))
    assert result.exit_code == 1
    assert "datasets.squares.validation_fraction" in result.output
    assert not (results / SELECTED).exists()
