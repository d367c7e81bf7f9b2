"""The stages reference and evaluate on the command line: files, numbers and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import Result
from torch import Tensor

from latentbench.artifacts.files import (
    file_sha256,
    read_array,
    read_csv,
    read_json,
    read_manifest,
    write_array,
    write_json,
    write_manifest,
    write_yaml,
)
from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, METRICS, PRDC
from latentbench.artifacts.paths import DATASET_MANIFEST, checkpoint_path
from latentbench.artifacts.tensors import read_tensors, write_tensors
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.data.images import to_model, to_uint8
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation import reference as stage
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.kid import KernelDistance
from latentbench.evaluation.real_scores import NUM_SETS
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.models.gan import GAN
from latentbench.models.objective import draw_latents
from latentbench.rng import numpy_generator, torch_generator
from tests.evaluation.conftest import (
    EPOCHS,
    evaluate,
    forget_classes,
    give_attributes,
    run,
    write_checkpoint,
)

Make = Callable[..., Path]
CPU = torch.device("cpu")


def sign(reference: Path) -> None:
    """Record the files of a reference as they are now."""
    manifest = read_manifest(reference / "reference.json")
    manifest["files"] = {name: file_sha256(reference / name) for name in manifest["files"]}
    write_manifest(reference / "reference.json", manifest)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def sentence(result: Result) -> str:
    """The one line that a user sees."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    [line] = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    return line


def test_reference_contains_features_and_statistics(prepared: Path, build_reference: Make) -> None:
    reference = build_reference(prepared)
    files = {
        "classifier.safetensors",
        "classifier-features.npy",
        "classifier-statistics.safetensors",
    }
    files |= {"rows.npy", "classifier-test-features.npy", "reference.json"}
    assert set(digests(reference)) == files
    manifest = read_manifest(reference / "reference.json")
    described = manifest["extractors"]["classifier"]
    features = read_array(reference / "classifier-features.npy")
    assert manifest["data_digest"] == read_manifest(prepared / DATASET_MANIFEST)["digest"]
    assert (manifest["num_images"], manifest["split"]) == (120, "train")
    assert features.shape == (120, described["feature_dim"])
    assert features.dtype == np.float32
    assert described["sha256"] == file_sha256(reference / "classifier.safetensors")
    assert (described["metric"], described["kernel_metric"], described["task"]) == (
        "fd_classifier",
        "kd_classifier",
        "labels",
    )
    assert (read_array(reference / "rows.npy") == np.arange(120)).all()

    extractor = ClassifierExtractor.load(reference / "classifier.safetensors", device=CPU)
    images = torch.from_numpy(np.array(read_array(prepared / "train-images.npy")[60:63]))
    np.testing.assert_allclose(extractor(images).numpy(), features[60:63], rtol=1e-4, atol=1e-5)
    images = torch.from_numpy(np.array(read_array(prepared / "test-images.npy")))
    unseen = read_array(reference / "classifier-test-features.npy")
    np.testing.assert_allclose(extractor(images).numpy(), unseen, rtol=1e-4, atol=1e-5)


def test_reference_uses_a_seeded_subset_of_the_images(
    prepared: Path, build_reference: Make
) -> None:
    everything = read_array(build_reference(prepared) / "classifier-features.npy")
    reference = build_reference(prepared, max_images=30)
    part, rows = (read_array(reference / name) for name in ("classifier-features.npy", "rows.npy"))
    assert part.shape[0] == 30
    assert (np.diff(rows) > 0).all()
    # The same network, and the images that the rows list.
    np.testing.assert_allclose(part, everything[rows], atol=1e-4)


def test_reference_of_pictures_without_classes(prepared: Path, build_reference: Make) -> None:
    reference = build_reference(forget_classes(prepared))
    described = read_manifest(reference / "reference.json")["extractors"]["classifier"]
    assert described["task"] == "rotations"
    assert "rotations" in described["protocol"]


def test_reference_is_the_same_to_the_bit(prepared: Path, build_reference: Make) -> None:
    first = digests(build_reference(prepared))
    assert digests(build_reference(prepared)) == first


def test_metrics_agree_with_cleanfid_on_the_same_samples(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    """The stage agrees with an independent evaluation of a checkpoint."""
    from cleanfid.fid import frechet_distance

    reference = build_reference(prepared)
    results = make_experiment(prepared, evaluation={"num_samples": 90})
    assert evaluate(results, reference, prepared).exit_code == 0
    rows = read_csv(results / "metrics.csv")
    assert [int(row["epoch"]) for row in rows] == list(EPOCHS)

    config = read_config(results / "config.yaml", ExperimentConfig)
    extractor = ClassifierExtractor.load(reference / "classifier.safetensors", device=CPU)
    real = read_array(reference / "classifier-features.npy").astype(np.float64)
    distances = []
    for seed_index in range(2):
        trained = load_checkpoint(config, results, EPOCHS[-1], device=CPU)
        generator = torch_generator(config.seed, "evaluation", seed_index)
        latents = draw_latents(90, trained.objective.latent_dim, generator)
        labels = trained.label_set.sample(90, generator)
        drawn = extractor(to_uint8(trained.objective.sample(latents, labels))).double().numpy()
        distances.append(
            frechet_distance(
                drawn.mean(axis=0),
                np.cov(drawn, rowvar=False),
                real.mean(axis=0),
                np.cov(real, rowvar=False),
            )
        )
    assert float(rows[-1]["fd_classifier"]) == pytest.approx(np.mean(distances), rel=1e-5)
    assert float(rows[-1]["fd_classifier_std"]) == pytest.approx(
        np.std(distances, ddof=1), rel=1e-3
    )


def test_last_metrics_contain_their_protocol(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    shown = evaluate(results, reference, prepared).output
    last, rows = read_json(results / "metrics.json"), read_csv(results / "metrics.csv")
    assert rows[-1].pop("prior") == last["prior"] == "standard"
    assert (last["prior_components"], last["other_priors"]) == (1, {})
    assert {key: float(value) for key, value in rows[-1].items()} == {
        key: last[key] for key in rows[-1]
    }
    assert (last["num_samples"], last["num_seeds"], last["num_reference"]) == (24, 2, 120)
    described = read_manifest(reference / "reference.json")["extractors"]["classifier"]
    assert last["protocols"]["classifier"].startswith(described["protocol"])
    assert "3 subsets of 10" in last["protocols"]["classifier"]
    floor = last["test_scores"]
    assert floor["label_accuracy"] == described["accuracy"]
    assert floor["closer_to_train_classifier"] == 0.5
    overlaps = {f"{name}_classifier" for name in PRDC}
    measured = {metric.key for metric in METRICS if metric.extractor == "classifier"}
    measured |= overlaps | {"fd_class_shares"}
    measured |= {f"{name}_std" for name in measured}
    assert floor.keys() == measured | {"closer_to_train_classifier", "label_accuracy"}
    assert (last["num_test_images"], last["num_test_compared"], last["num_test_sets"]) == (
        24,
        24,
        NUM_SETS,
    )
    assert last["has_random_classes"] is True
    assert all(value is not None for value in floor.values())
    assert last["train_halves"] == described["train_halves"]
    assert last["train_halves"]["num_images"] == 60
    assert last["fd_class_shares"] >= 0
    assert all(0 <= last[name] <= 24 / 5 for name in overlaps)
    assert "24 real" in last["protocols"]["classifier"]
    assert "5 nearest" in last["protocols"]["classifier"]
    assert last["test_scores"]["fd_classifier"] < last["fd_classifier"], (
        "an untrained model is worse than real images"
    )
    sizes = last["sample_sizes"]["fd_classifier"]
    assert sizes["num_samples"][-1] == 24
    assert (sizes["fitted_from"], sizes["infinite"]) == (96, None)
    [warning] = last["warnings"]
    assert "24 generated images" in warning
    assert warning in shown


@pytest.mark.parametrize("prior", ["standard", "gaussian", "mixture"])
def test_only_a_model_without_a_prior_gets_a_warning(
    prior: str, prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    results = make_experiment(prepared, "autoencoder", model={"prior": prior})
    output = evaluate(results, reference, prepared).output
    warnings = [each for each in read_json(results / "metrics.json")["warnings"] if "prior" in each]
    assert len(warnings) == (prior == "standard")
    assert all(warning in output for warning in warnings)


def test_samples_of_each_prior_are_measured(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    """The first row is of the fitted prior, the second that of a model whose prior is N(0, I)."""
    reference, results = build_reference(prepared), make_experiment(prepared, "vae")
    assert evaluate(results, reference, prepared).exit_code == 0
    rows, last = read_csv(results / "metrics.csv"), read_json(results / "metrics.json")
    assert [(int(row["epoch"]), row["prior"]) for row in rows] == [
        (epoch, prior) for epoch in EPOCHS for prior in ("mixture", "standard")
    ]
    of_standard = last["other_priors"]["standard"]
    assert (last["prior"], last["prior_components"], list(last["other_priors"])) == (
        "mixture",
        2,
        ["standard"],
    )
    for found, row in ((last, rows[-2]), (of_standard, rows[-1])):
        assert found["fd_classifier"] == float(row["fd_classifier"])
        assert 0 <= found["memorization"]["copied"] <= 1
    assert last["fd_classifier"] != of_standard["fd_classifier"]

    plain = make_experiment(prepared, "vae", model={"prior": "standard"})
    assert evaluate(plain, reference, prepared).exit_code == 0
    assert read_csv(plain / "metrics.csv") == rows[1::2]


def test_inception_end_to_end(
    make_prepared: Make, make_inception: Make, build_reference: Make, make_experiment: Make
) -> None:
    data, network = make_prepared(channels=3, num_train=60), make_inception()
    reference = build_reference(
        data,
        channels=3,
        extractors=["inception", "classifier"],
        inception_path=str(network),
        inception_sha256=file_sha256(network),
    )
    results = make_experiment(data, channels=3)
    result = evaluate(results, reference, data)
    assert result.exit_code == 0, result.output
    row = read_csv(results / "metrics.csv")[-1]
    assert row.pop("prior") == "standard"
    measured = []
    for extractor in ("inception", "classifier"):
        measured += [metric.key for metric in METRICS if metric.extractor == extractor]
        measured += [f"{name}_{extractor}" for name in (*PRDC, CLOSER_TO_TRAIN)]
    measured.append("fd_class_shares")
    assert list(row)[4:] == [f"{name}{suffix}" for name in measured for suffix in ("", "_std")]
    assert all(math.isfinite(float(value)) for value in row.values())
    assert set(read_json(results / "metrics.json")["protocols"]) == {"inception", "classifier"}

    before = digests(results)
    network.write_bytes(network.read_bytes() + b" ")
    assert "has the SHA-256" in sentence(evaluate(results, reference, data))
    assert digests(results) == before


def test_evaluation_ignores_the_batch_size(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    found = []
    for batch_size in (250, 7):
        results = make_experiment(prepared, evaluation={"batch_size": batch_size})
        assert evaluate(results, reference, prepared).exit_code == 0
        row = read_csv(results / "metrics.csv")[-1]
        found.append([float(row[name]) for name in row if name != "prior"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_evaluation_gives_the_same_bits_twice(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared, "vae")
    contents = []
    for _ in range(2):
        assert evaluate(results, reference, prepared).exit_code == 0
        contents.append([(results / name).read_bytes() for name in ("metrics.csv", "metrics.json")])
    assert contents[0] == contents[1]


def test_one_seed_has_no_standard_deviation(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference = build_reference(prepared)
    results = make_experiment(prepared, "wgan_gp", evaluation={"num_seeds": 1})
    assert evaluate(results, reference, prepared).exit_code == 0
    assert read_csv(results / "metrics.csv")[-1]["fd_classifier_std"] == ""
    assert read_json(results / "metrics.json")["fd_classifier_std"] is None


def test_checkpoint_of_another_config_is_refused(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    config = yaml.safe_load((results / "config.yaml").read_text())
    config["model"]["learning_rate"] = 0.5
    write_yaml(results / "config.yaml", config)
    message = sentence(evaluate(results, reference, prepared))
    assert "epoch-0001.safetensors" in message
    assert "model.learning_rate was 0.0002, is now 0.5" in message


def test_evaluation_settings_may_change_after_training(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    config = yaml.safe_load((results / "config.yaml").read_text())
    config["evaluation"]["num_samples"] = 30
    config["training"] |= {"checkpoints": [3], "log_every": 7}
    write_yaml(results / "config.yaml", config)
    assert evaluate(results, reference, prepared).exit_code == 0
    assert [row["num_samples"] for row in read_csv(results / "metrics.csv")] == ["30"]


def test_truncated_and_missing_checkpoints_are_refused(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    path = checkpoint_path(results, EPOCHS[1])
    path.write_bytes(path.read_bytes()[:-10])
    assert "epoch-0003.safetensors is damaged" in sentence(evaluate(results, reference, prepared))
    path.unlink()
    assert "epoch-0003.safetensors is missing" in sentence(evaluate(results, reference, prepared))
    assert not (results / "metrics.csv").exists()


def test_checkpoint_with_other_networks_is_refused(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    path = checkpoint_path(results, EPOCHS[0])
    weights, metadata = read_tensors(path)
    write_tensors(path, {f"{name}.old": tensor for name, tensor in weights.items()}, metadata)
    assert "epoch-0001.safetensors" in sentence(evaluate(results, reference, prepared))


def test_diverged_checkpoint_is_an_error(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    write_checkpoint(results / "config.yaml", EPOCHS[0], data=prepared, factor=math.nan)
    message = sentence(evaluate(results, reference, prepared))
    assert "epoch-0001.safetensors" in message
    assert "NaN" in message


def test_missing_reference_is_an_error(
    prepared: Path, tmp_path: Path, make_experiment: Make
) -> None:
    message = sentence(evaluate(make_experiment(prepared), tmp_path / "nowhere", prepared))
    assert "reference.json is missing" in message


def test_reference_of_other_data_is_refused(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    manifest = read_manifest(reference / "reference.json")
    write_manifest(reference / "reference.json", manifest | {"data_digest": "0" * 64})
    message = sentence(evaluate(results, reference, prepared))
    assert "another version of squares" in message
    write_manifest(
        prepared / DATASET_MANIFEST,
        read_manifest(prepared / DATASET_MANIFEST) | {"digest": "0" * 64},
    )
    message = sentence(evaluate(results, reference, prepared))
    assert "epoch-0001.safetensors was trained on another" in message
    write_manifest(reference / "reference.json", manifest | {"dataset": "circles"})
    message = sentence(evaluate(results, reference, prepared))
    assert "was built from circles" in message


def test_damaged_reference_is_an_error(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    path = reference / "reference.json"
    manifest = read_manifest(path)
    for change, named in (
        ({"num_images": None}, "num_images"),
        ({"format": 99}, "99"),
        ({"files": {}}, "reference.json"),
    ):
        write_manifest(path, manifest | change)
        assert named in sentence(evaluate(results, reference, prepared))
        # Without a new checksum.
        write_json(path, manifest | change)
        assert "reference.json" in sentence(evaluate(results, reference, prepared))
    halves = manifest["extractors"]["classifier"]["train_halves"]
    for name in ("num_images", "num_splits"):
        number = halves.pop(name)
        write_manifest(path, manifest)
        assert name in sentence(evaluate(results, reference, prepared))
        halves[name] = number
    manifest["extractors"]["classifier"]["sha256"] = "0" * 64
    write_manifest(path, manifest)
    assert "classifier.safetensors" in sentence(evaluate(results, reference, prepared))


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("classifier-features.npy", lambda array: array * np.nan, "NaN"),
        ("classifier-features.npy", lambda array: array[:0], "(120, 64)"),
        ("classifier-features.npy", lambda array: array.astype(np.float64), "float32"),
        ("classifier-test-features.npy", lambda array: array * np.inf, "NaN"),
        ("classifier-test-features.npy", lambda array: array[:, :24], "(80, 64)"),
        ("rows.npy", lambda array: array[:7], "(120,)"),
        ("rows.npy", lambda array: array + 1, "120"),
        ("rows.npy", lambda array: array - 1, "-1"),
    ],
)
def test_invalid_features_are_an_error(
    name: str,
    change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    named: str,
    prepared: Path,
    build_reference: Make,
    make_experiment: Make,
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    write_array(reference / name, change(read_array(reference / name)))
    assert name in sentence(evaluate(results, reference, prepared))
    sign(reference)
    message = sentence(evaluate(results, reference, prepared))
    assert name in message
    assert named in message
    assert not (results / "metrics.json").exists()


def test_statistics_of_another_extractor_are_refused(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared), make_experiment(prepared)
    path = reference / "classifier-statistics.safetensors"
    compute_feature_stats(torch.randn(120, 24)).save(path)
    sign(reference)
    assert "statistics of 24 features" in sentence(evaluate(results, reference, prepared))
    compute_feature_stats(torch.full((120, 64), torch.nan)).save(path)
    sign(reference)
    assert path.name in sentence(evaluate(results, reference, prepared))


def test_pictures_of_another_size_are_refused(
    make_prepared: Make, prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    data = make_prepared(image_size=64, num_train=40)
    reference = build_reference(data)
    message = sentence(evaluate(make_experiment(prepared), reference, data))
    assert "64×64" in message
    assert "32×32" in message


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_images_are_an_error(
    number: int, make_prepared: Make, make_dataset_config: Make, tmp_path: Path
) -> None:
    data = make_prepared(num_test=number)
    result = run(
        "reference", config=make_dataset_config(), data=data, output=tmp_path / "reference"
    )
    assert f"has {number} test images" in sentence(result)


def test_halves_are_disjoint(prepared: Path, build_reference: Make) -> None:
    reference = build_reference(prepared)
    features = torch.from_numpy(read_array(reference / "classifier-features.npy"))
    halves = read_manifest(reference / "reference.json")["extractors"]["classifier"]["train_halves"]
    distances, kernels = [], []
    for split in range(stage.NUM_SPLITS):
        order = numpy_generator(0, "halves", split).permutation(120)
        one, other = features[order[:60]], features[order[60:]]
        first, second = compute_feature_stats(one), compute_feature_stats(other)
        distances.append(frechet_distance(first, second))
        everyone = torch.arange(60)[None]
        kernels.append(KernelDistance(one, everyone)(other, everyone).item())
    assert (halves["num_images"], halves["num_splits"]) == (60, stage.NUM_SPLITS)
    for metric, values in (("fd_classifier", distances), ("kd_classifier", kernels)):
        assert halves[metric] == pytest.approx(np.mean(values), abs=1e-9)
        assert halves[f"{metric}_std"] == pytest.approx(np.std(values, ddof=1))


def test_repeats_of_the_classifier_are_averaged(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    results = make_experiment(prepared)
    assert evaluate(results, build_reference(prepared), prepared).exit_code == 0
    single = read_json(results / "metrics.json")
    reference = build_reference(prepared, repeats=2)
    files = set(digests(reference))
    assert {
        "classifier.safetensors",
        "classifier-2.safetensors",
        "classifier-2-features.npy",
    } <= files
    networks = read_manifest(reference / "reference.json")["extractors"]
    assert networks["classifier"]["sha256"] != networks["classifier-2"]["sha256"]
    assert evaluate(results, reference, prepared).exit_code == 0
    both = read_json(results / "metrics.json")

    config = read_config(results / "config.yaml", ExperimentConfig)
    path = reference / "classifier-2.safetensors"
    extractor = ClassifierExtractor.load(path, device=CPU, name="classifier-2")
    real = torch.from_numpy(read_array(reference / "classifier-2-features.npy"))
    trained = load_checkpoint(config, results, EPOCHS[-1], device=CPU)
    repeat = []
    for seed_index in range(2):
        generator = torch_generator(config.seed, "evaluation", seed_index)
        latents = draw_latents(24, trained.objective.latent_dim, generator)
        labels = trained.label_set.sample(24, generator)
        drawn = extractor(to_uint8(trained.objective.sample(latents, labels)))
        statistics = compute_feature_stats(real), compute_feature_stats(drawn)
        repeat.append(frechet_distance(*statistics))
    expected = (single["fd_classifier"] + np.mean(repeat)) / 2
    assert both["fd_classifier"] == pytest.approx(expected, rel=1e-5)
    between = np.std([single["fd_classifier"], np.mean(repeat)], ddof=1)
    assert both["fd_classifier_std"] >= 0.99 * between
    values = np.array(both["values_by_network"]["fd_classifier"])
    assert values[:, 1] == pytest.approx(repeat, rel=1e-5)
    assert values.mean() == pytest.approx(both["fd_classifier"])
    assert values.mean(axis=0)[0] == pytest.approx(single["fd_classifier"])
    assert "values_by_network" not in single
    # What single images are compared by stays the first classifier's.
    assert both["classes"] == single["classes"]
    halves = [networks[name]["train_halves"] for name in ("classifier", "classifier-2")]
    assert both["train_halves"]["num_images"] == 60
    for key in ("fd_classifier", "kd_classifier"):
        assert both["train_halves"][key] == pytest.approx(np.mean([each[key] for each in halves]))
    assert "2 such networks" in both["protocols"]["classifier"]
    assert list(both["protocols"]) == ["classifier"]


def test_halves_of_three_images_have_no_distance(
    prepared: Path, build_reference: Make, make_experiment: Make
) -> None:
    reference, results = build_reference(prepared, max_images=3), make_experiment(prepared)
    assert (
        read_manifest(reference / "reference.json")["extractors"]["classifier"]["train_halves"]
        == {}
    )
    assert evaluate(results, reference, prepared).exit_code == 0
    assert read_json(results / "metrics.json")["train_halves"] == {}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["_write_train_features", "_train_halves"])
def test_an_interrupted_reference_stage_keeps_the_earlier_reference(
    prepared: Path, build_reference: Make, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = build_reference(prepared)
    undisturbed = digests(folder)
    with monkeypatch.context() as patch:
        patch.setattr(stage._Builder, moment, interrupt)
        with pytest.raises(AssertionError):
            build_reference(prepared)
    assert digests(folder) == undisturbed


def test_label_accuracy_of_a_class_conditional_model(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator returns a real image of the class; for the first class, of the second."""
    reference = build_reference(prepared)
    dataset = PreparedDataset.open(prepared)
    labels = dataset.labels("test")
    first = [
        int(np.flatnonzero(labels == label)[0])
        for label in range(len(dataset.manifest.class_names))
    ]
    first[0] = first[1]
    images = to_model(torch.from_numpy(np.array(dataset.images("test")[np.array(first)])))
    extractor = ClassifierExtractor.load(reference / "classifier.safetensors", device=CPU)
    right = extractor.predict_classes(extractor(to_uint8(images))) == torch.arange(len(first))

    assert not right.all()
    results = make_experiment(
        prepared, model={"condition": "class"}, evaluation={"num_samples": 90}
    )
    monkeypatch.setattr(GAN, "decode", lambda self, latents, labels: images[labels.argmax(dim=1)])
    assert evaluate(results, reference, prepared).exit_code == 0
    metrics = read_json(results / "metrics.json")
    requested = [
        load_checkpoint(
            read_config(results / "config.yaml", ExperimentConfig), results, EPOCHS[-1], device=CPU
        )
        .label_set.sample(90, _after_latents(0, seed_index, dim=6))
        .argmax(dim=1)
        for seed_index in range(2)
    ]
    expected = np.mean([right[classes].float().mean().item() for classes in requested])
    assert metrics["label_accuracy"] == pytest.approx(expected)
    assert "label_accuracy" not in read_json(
        _unconditional(make_experiment, prepared, reference) / "metrics.json"
    )


def test_label_accuracy_of_a_model_conditioned_on_attributes(
    prepared: Path, build_reference: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator draws a low square on request, else low and high ones in turn."""
    reference = build_reference(
        give_attributes(forget_classes(prepared)), epochs=6, learning_rate=1e-2
    )
    known = read_manifest(reference / "reference.json")["extractors"]["classifier"]
    assert known["task"] == "rotations"
    assert known["attribute_accuracy"]["low"] == {"present": 1, "absent": 1}
    high, low = to_model(
        torch.from_numpy(np.array(PreparedDataset.open(prepared).images("test")[:3:2]))
    )

    def decode(self: GAN, latents: Tensor, labels: Tensor) -> Tensor:
        requested = labels[:, 0] > 0
        turn = (~requested).cumsum(dim=0) % 2 == 0
        return torch.where((requested | turn)[:, None, None, None], low, high)

    condition = {"condition": ["low", "coin"]}
    results = make_experiment(
        prepared, model=condition, evaluation={"num_samples": 80, "batch_size": 80}
    )
    monkeypatch.setattr(GAN, "decode", decode)
    assert evaluate(results, reference, prepared).exit_code == 0
    metrics = read_json(results / "metrics.json")
    rows = {(row["name"], row["requested"]): row for row in metrics["attributes"]}
    assert list(rows) == [("low", True), ("low", False), ("coin", True), ("coin", False)]
    assert rows["low", True] == {
        "name": "low",
        "requested": True,
        "label_accuracy": 1,
        "label_accuracy_std": 0,
        "real": 1,
    }
    assert rows["low", False]["label_accuracy"] == pytest.approx(0.5, abs=0.03)
    # The random attribute does not depend on the request.
    assert rows["coin", True]["label_accuracy"] + rows["coin", False][
        "label_accuracy"
    ] == pytest.approx(1, abs=0.2)
    assert metrics["label_accuracy"] == pytest.approx(
        np.mean([row["label_accuracy"] for row in rows.values()])
    )
    assert metrics["test_scores"]["label_accuracy"] == pytest.approx(
        np.mean([row["real"] for row in rows.values()])
    )
    assert float(read_csv(results / "metrics.csv")[-1]["label_accuracy"]) == pytest.approx(
        metrics["label_accuracy"]
    )


def _after_latents(seed: int, seed_index: int, *, dim: int) -> torch.Generator:
    generator = torch_generator(seed, "evaluation", seed_index)
    draw_latents(90, dim, generator)
    return generator


def _unconditional(make_experiment: Make, prepared: Path, reference: Path) -> Path:
    results = make_experiment(prepared, "vae")
    assert evaluate(results, reference, prepared).exit_code == 0
    return results
