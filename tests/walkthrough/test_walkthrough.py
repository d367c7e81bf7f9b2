"""The walkthrough runs on every objective, and its losses are those of the models."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
import torch

from latentbench.artifacts.dependencies import SOURCES
from latentbench.artifacts.files import read_manifest, write_csv, write_manifest, write_yaml
from latentbench.artifacts.paths import (
    ARCHITECTURE,
    METRICS,
    REPORT_RECORD,
    record_name,
)
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.data.labels import label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.models.gan_losses import discriminator_loss, generator_loss
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.layer_table import COLUMNS, describe_networks
from latentbench.models.registry import build_objective
from latentbench.models.wgan_gp import gradient_penalty
from latentbench.walkthrough.build import applicable_cells, build_walkthrough, facts_of
from latentbench.walkthrough.sample import MAX_IMAGES, write_sample
from tests.evaluation.conftest import write_checkpoint

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "report" / "walkthrough.ipynb"
VARIANTS: list[dict[str, Any]] = [
    {"name": "autoencoder"},
    {"name": "vae", "decoder_std": 0.7, "kl_weight": 2.0},
    {"name": "vae", "likelihood": "optimal_gaussian", "condition": "class"},
    {"name": "vae", "likelihood": "bernoulli"},
    {"name": "dcgan"},
    {"name": "dcgan", "loss": "minimax", "condition": "class"},
    {"name": "cgan", "loss": "hinge"},
    {"name": "dcgan", "loss": "least_squares"},
    {"name": "wgan_gp", "n_critic": 2, "condition": "class"},
    {"name": "wgan_gp", "architecture": "fully_connected"},
]
MakeStudy = Callable[..., Path]


@pytest.fixture
def make_study(tmp_path: Path, make_prepared: Callable[..., Path]) -> MakeStudy:
    """Write results/tiny: untrained models of these settings on the squares, as if evaluated."""
    data = make_prepared()
    prepared = data.rename(data.with_name("squares"))

    def make(*models: dict[str, Any], notebooks: tuple[str, ...] = ("walkthrough",)) -> Path:
        results = tmp_path / "results" / "tiny"
        experiments = {}
        for place, model in enumerate(models):
            experiments[f"model-{place}"] = {
                "study": "tiny",
                "dataset": "squares",
                "model": {"latent_dim": 6, "width": 4} | model,
                "training": {"epochs": 2, "checkpoints": [2], "batch_size": 8},
                "compute": {"device": "cpu"},
            }
        raw = {
            "studies": {"tiny": {"title": "Tiny", "notebooks": list(notebooks)}},
            "datasets": {
                "squares": {"source": "folder", "path": "x", "image_size": 32, "channels": 1}
            },
            "experiments": experiments,
        }
        params = parse_params(raw, where="params.yaml")
        write_yaml(results / "study.yaml", params.study("tiny").model_dump(mode="json"))
        for name in experiments:
            _write_model(results / name, params.experiment(name), prepared)
        return results

    return make


def _write_model(folder: Path, config: ExperimentConfig, prepared: Path) -> None:
    path = folder / "config.yaml"
    write_yaml(path, config.model_dump(mode="json"))
    write_checkpoint(path, 2, data=prepared)
    num_labels = 4 if config.model.condition else 0
    shape = Shape(config.image_size, config.channels, num_labels)
    layers = describe_networks(build_objective(config.model, shape, seed=0), shape)
    write_csv(folder / ARCHITECTURE, layers, columns=COLUMNS)
    rows = [
        {
            "epoch": 2,
            "num_samples": 24,
            "num_seeds": 2,
            "fd_classifier": 1.5,
            "fd_classifier_std": 0.1,
        }
    ]
    write_csv(folder / METRICS, rows, columns=list(rows[0]))
    for stage in ("train", "evaluate"):
        write_manifest(folder / record_name(stage), {"stage": stage})


def run_cells(results: Path, data: Path) -> dict[str, Any]:
    """Run the code of the cells that apply to a study in this process; return the variables."""
    names = sorted(path.parent.name for path in results.glob("*/config.yaml"))
    experiments = [read_config(results / name / "config.yaml", ExperimentConfig) for name in names]
    facts = facts_of(experiments[0], experiments)
    cells = applicable_cells(nbformat.read(TEMPLATE, as_version=4), facts)
    variables: dict[str, Any] = {}
    chosen = {"results": str(results), "data": str(data), "experiment": names[0]}
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), variables)
        if "parameters" in cell.metadata.get("tags", []):
            variables |= chosen | {"models": names, "epochs": 2}
    return variables


@pytest.fixture(autouse=True)
def without_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = mpl.get_backend()
    mpl.use("agg")
    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    yield
    mpl.use(backend)


@pytest.mark.parametrize("model", VARIANTS, ids=lambda model: "-".join(map(str, model.values())))
def test_every_objective_runs_with_the_loss_of_the_model(
    model: dict[str, Any], make_study: MakeStudy, tmp_path: Path
) -> None:
    results = make_study(model)
    found = run_cells(results, tmp_path / "data" / "prepared")
    assert found["table"]["model-0"].to_dict() == {"fd_classifier": 1.5}
    images = found["images"][:6]
    labels = found["labels"][:6]
    objective = found["untrained"]
    name = model["name"]
    losses = found["distances"] if name == "wgan_gp" else found["losses"]
    if isinstance(losses, dict):
        assert losses.keys() == {"discriminator", "generator"}
        losses = losses["discriminator"]
    assert len(losses) == 2 * (40 // 8)
    assert np.isfinite(losses).all()
    if name in ("autoencoder", "vae"):
        torch.manual_seed(3)
        own = found["loss_of"](images, labels)
        assert own.item() == pytest.approx(_expected_loss(objective, images, labels), rel=1e-5)
    elif name == "wgan_gp":
        fakes = torch.rand_like(images)
        torch.manual_seed(3)
        own = found["gradient_penalty"](images, fakes, labels)
        torch.manual_seed(3)
        expected = gradient_penalty(
            lambda points: objective.discriminator(points, labels),
            real=images,
            fake=fakes,
            weights=torch.rand(6, 1, 1, 1),
        )
        torch.testing.assert_close(own, expected)
    else:
        real, fake = torch.randn(7), torch.randn(7)
        kind = objective.config.loss
        torch.testing.assert_close(
            found["discriminator_loss"](real, fake), discriminator_loss(kind, real=real, fake=fake)
        )
        torch.testing.assert_close(found["generator_loss"](fake), generator_loss(kind, fake))


def _expected_loss(objective: Any, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the loss of the trained networks, without the constants that the notebook omits."""
    pixels = images[0].numel()
    if objective.terms[1] == "mse":
        codes = objective.encoder(images, labels)
        rebuilt = objective.decoder(codes, labels).tanh()
        return (images - rebuilt).square().sum().item() / len(images)
    torch.manual_seed(3)
    noise = torch.randn(len(images), objective.latent_dim)
    networks = {"encoder": objective.encoder, "decoder": objective.decoder}
    terms = objective._elbo_terms(images, labels, noise, networks)
    config = objective.config
    constant = {
        "gaussian": 0.5 * math.log(2 * math.pi * (config.decoder_std or 1) ** 2),
        "optimal_gaussian": 0.5 * math.log(2 * math.pi),
        "bernoulli": math.log(2),
    }[config.likelihood]
    loss = terms["reconstruction"] + config.kl_weight * terms["kl"] - pixels * constant
    return loss.item()


def test_models_of_all_kinds_are_compared(make_study: MakeStudy, tmp_path: Path) -> None:
    results = make_study({"name": "vae"}, {"name": "cgan"}, {"name": "wgan_gp"})
    found = run_cells(results, tmp_path / "data" / "prepared")
    assert list(found["trained"]) == ["model-0", "model-1", "model-2"]
    assert list(found["table"].columns) == ["model-0", "model-1", "model-2"]


@pytest.mark.slow
def test_it_is_the_same_again_and_finds_its_images(make_study: MakeStudy, tmp_path: Path) -> None:
    results = make_study(
        {"name": "dcgan"}, {"name": "autoencoder", "architecture": "fully_connected"}
    )
    output = tmp_path / "walkthrough" / "tiny"
    made = []
    for _ in range(2):
        build_walkthrough(results, tmp_path / "data" / "prepared", TEMPLATE.parent, output)
        files = sorted(path for path in output.rglob("*") if path.is_file())
        made.append({str(path.relative_to(output)): path.read_bytes() for path in files})
    assert made[0] == made[1]
    record = read_manifest(output / REPORT_RECORD)
    assert set(record["outputs"]) | {REPORT_RECORD} == set(made[0])
    notebook = nbformat.read(output / "walkthrough.ipynb", as_version=4)
    nbformat.validate(notebook)
    parameters = next(cell for cell in notebook.cells if cell.cell_type == "code").source
    assert 'results = "../../results/tiny"' in parameters
    assert 'data = "data"' in parameters
    assert 'experiment = "model-1"' in parameters  # the first with an encoder
    sources = [cell.source for cell in notebook.cells]
    assert any("loss_of" in source for source in sources)
    assert not any("discriminator_loss" in source for source in sources)
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    pictures = [each for each in outputs if "image/png" in each.get("data", {})]
    assert len(pictures) >= 6
    assert all(list(each["data"]) == ["image/png"] for each in pictures)


def test_without_the_chapter_the_folder_is_empty(make_study: MakeStudy, tmp_path: Path) -> None:
    results = make_study({"name": "vae"}, notebooks=("data",))
    output = tmp_path / "walkthrough"
    (output / "data").mkdir(parents=True)
    (output / "walkthrough.ipynb").write_text("of an earlier run")
    build_walkthrough(results, tmp_path / "nowhere", tmp_path / "nowhere", output)
    assert list(output.iterdir()) == []


def test_a_sample_is_a_prepared_dataset(
    make_prepared: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PreparedDataset.open(make_prepared(num_train=40, num_test=20))
    monkeypatch.setitem(MAX_IMAGES, "train", 4)
    monkeypatch.setitem(MAX_IMAGES, "test", 12)
    write_sample(whole, tmp_path / "sample", min_train=10)
    sample = PreparedDataset.open(tmp_path / "sample")
    assert len(sample.images("train")) == 10  # a batch
    assert len(sample.images("test")) == 12
    for split in ("train", "test"):
        rows = [
            np.flatnonzero((whole.images(split) == image).all((1, 2, 3)))
            for image in sample.images(split)
        ]
        places = np.concatenate(rows)
        assert (np.diff(places) > 0).all()
        np.testing.assert_array_equal(sample.labels(split), whole.labels(split)[places])
    vectors = label_vectors(sample, "train", "class")
    assert vectors.shape == (10, 4)
    assert sample.manifest.digest != whole.manifest.digest


def test_the_stage_depends_on_what_the_notebook_imports() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    listed = {part.removesuffix(".py") for part in SOURCES["walkthrough"]}
    imported = {part.partition(".")[0] for part in _after(text, "from latentbench.")}
    assert {"models", "data"} <= imported <= listed


def _after(text: str, prefix: str) -> list[str]:
    return [part.split()[0] for part in text.split(prefix)[1:]]
