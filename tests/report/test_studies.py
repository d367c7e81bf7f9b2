"""The studies that ship: every required item has a section in a notebook and files of a stage.

An item names the chapter, its section, the function that shows it, and the files that the function
reads. The test fails where any of these goes missing, or the experiments that make it possible.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from latentbench.artifacts import paths
from latentbench.artifacts.metrics import METRICS
from latentbench.config.load import read_params
from latentbench.config.params import NOTEBOOKS
from latentbench.models.networks.architectures import Shape, count_parameters
from latentbench.models.registry import build_objective
from latentbench.report.comparison.ablations import PAPERS

ROOT = Path(__file__).parents[2]
PARAMS = read_params(ROOT / "params.yaml")
Models = list[dict[str, Any]]


@dataclass(frozen=True)
class Item:
    what: str
    chapter: str
    section: str
    shown_by: str
    files: tuple[str, ...] = field(default=())


def item(what: str, place: str, shown_by: str, *files: str) -> Item:
    chapter, _, section = place.partition(": ")
    return Item(what, chapter, section, shown_by, files)


SAMPLES = item(
    "random images", "latent: Random samples", "sample_grids.samples", paths.LATENT_ARRAYS
)
PATHS = item(
    "interpolation between real images",
    "latent: Interpolations",
    "interpolation.interpolations",
    paths.LATENT_ARRAYS,
)
LOSSES = item("losses", "training: Losses", "curves.loss_curves", paths.HISTORY)
BOTH_SPLITS = item(
    "by split", "training: Training and test images", "curves.split_curves", paths.HISTORY
)
LAYERS = item("layers and shapes", "training: Networks", "layers.architectures", paths.ARCHITECTURE)
STABILITY = item("stability", "training: Signs of trouble", "warnings.table", paths.HISTORY)
OVER_TIME = item(
    "mosaics over time",
    "training: Samples over time",
    "evolution.samples_by_epoch",
    str(paths.samples_path(Path(), 1)),
)
ANIMATION = item(
    "animation", "training: Samples over time", "evolution.animation", paths.EVOLUTION[1]
)
CHANGES = item(
    "what settings change", "comparison: Changes of settings", "ablations.describe", paths.METRICS
)
SHORT = item(
    "the question answered", "comparison: Result", "conclusions.summarize", paths.LAST_METRICS
)
CLASSES = item("images of each class", "data: Images", "dataset.samples", paths.LATENT_ARRAYS)
RATIONALE = item("design rationale", "background: The networks of DCGAN", "@radford2016")
OVER_EPOCHS = item(
    "reconstructions after each epoch",
    "training: Reconstructions over time",
    "evolution.reconstructions_by_epoch",
    paths.RECONSTRUCTIONS,
)
ITERATIONS = item(
    "losses by iteration", "training: Losses", "curves.iteration_curves", paths.ITERATIONS
)
RECONSTRUCTION = item(
    "reconstruction errors",
    "latent: Reconstructions",
    "reconstruction.reconstruction_errors",
    paths.LATENT_FACTS,
)

CHECKLIST = {
    "faces": [
        item(
            "distances during training",
            "comparison: Quality over training",
            "curves.metric_curves",
            paths.METRICS,
        ),
        item(
            "strengths",
            "comparison: Strengths and weaknesses",
            "strengths.strengths",
            paths.LAST_METRICS,
        ),
        *(CHANGES, SHORT, LOSSES, PATHS, SAMPLES, LAYERS, STABILITY),
    ],
    "autoencoders": [
        item(
            "single samples",
            "latent: Reconstructions",
            "reconstruction.best_and_worst",
            paths.LATENT_ARRAYS,
        ),
        item("scaled codes", "latent: Around the mean", "perturbation.scaled", paths.LATENT_ARRAYS),
        item("the ELBO", "background: Variational autoencoders", "@kingma2014vae"),
        item("both compared", "comparison: Result", "tables.summary", paths.LAST_METRICS),
        *(
            RECONSTRUCTION,
            BOTH_SPLITS,
            PATHS,
            SAMPLES,
            LOSSES,
            LAYERS,
            STABILITY,
            OVER_TIME,
            CHANGES,
            SHORT,
        ),
    ],
    "initialization": [
        item("initializations", "background: Initialization", "@glorot2010"),
        item("loss explained", "background: Variational autoencoders", "@kingma2014vae"),
        *(
            CLASSES,
            RATIONALE,
            CHANGES,
            SHORT,
            ITERATIONS,
            OVER_TIME,
            ANIMATION,
            LOSSES,
            RECONSTRUCTION,
            OVER_EPOCHS,
        ),
    ],
    "conditional": [
        item("optimization", "training: Settings", "settings.settings", paths.CONFIG),
        item("device, duration", "training: Provenance", "settings.provenance", paths.PROVENANCE),
        item(
            "generated and real images",
            "comparison: Classes",
            "classes.samples_by_class",
            paths.EVALUATION_ARRAYS,
        ),
        item("diversity per class", "comparison: Classes", "classes.diversity", paths.LAST_METRICS),
        item(
            "predictions",
            "comparison: Discriminators",
            "discriminators.score_histograms",
            paths.EVALUATION_ARRAYS,
        ),
        item(
            "per class",
            "comparison: Discriminators",
            "discriminators.judgments_by_class",
            paths.LAST_METRICS,
        ),
        item("mean images", "latent: Around the mean", "perturbation.means", paths.LATENT_ARRAYS),
        item(
            "noise on latents",
            "latent: Around the mean",
            "perturbation.noise_around_mean",
            paths.LATENT_ARRAYS,
        ),
        item(
            "noise on labels",
            "latent: Label embeddings",
            "perturbation.noise_around_labels",
            paths.LATENT_ARRAYS,
        ),
        item(
            "random labels",
            "latent: Label embeddings",
            "perturbation.random_embeddings",
            paths.LATENT_ARRAYS,
        ),
        item(
            "1-NN",
            "latent: Label embeddings",
            "perturbation.embedding_agreement",
            paths.LATENT_FACTS,
        ),
        *(LAYERS, LOSSES, BOTH_SPLITS, CHANGES, SHORT, PATHS, CLASSES),
    ],
    "families": [
        item("loss by noise level", "training: Losses", "noise_levels.curves", paths.HISTORY),
        item(
            "denoising step by step",
            "latent: Random samples",
            "denoising.steps",
            paths.LATENT_ARRAYS,
        ),
        item(
            "strengths",
            "comparison: Strengths and weaknesses",
            "strengths.strengths",
            paths.LAST_METRICS,
        ),
        item("costs", "training: Cost", "costs.table", paths.PROVENANCE),
        item("flow matching", "background: Diffusion models", "@lipman2023"),
        item("their relation", "background: Diffusion models", "@karras2022edm"),
        item("guidance", "background: Diffusion models", "@ho2021"),
        *(SHORT, SAMPLES, PATHS, RECONSTRUCTION, LOSSES, BOTH_SPLITS, OVER_TIME, LAYERS, STABILITY),
    ],
    "evolution": [
        *(LAYERS, LOSSES, ITERATIONS, STABILITY, OVER_TIME, ANIMATION, CLASSES, RATIONALE, SAMPLES)
    ],
}


def models_of(study: str) -> Models:
    """Return the settings of its experiments, each with its dataset's source."""
    experiments = {
        name: PARAMS.experiments[name].model_dump() for name in PARAMS.study(study).experiments
    }
    return [
        settings | {"source": PARAMS.datasets[settings["dataset"]].source}
        for settings in experiments.values()
    ]


def objectives(models: Models) -> set[str]:
    return {each["model"]["name"] for each in models}


def varied(models: Models, objective: str) -> set[str]:
    """Return the settings in which the models of an objective differ."""
    found = [each["model"] for each in models if each["model"]["name"] == objective]
    return {key for key in found[0] if len({json.dumps(model[key]) for model in found}) > 1}


EXPERIMENTS: dict[str, Callable[[Models], bool]] = {
    "faces": lambda models: (
        {"vae", "dcgan", "wgan_gp"} <= objectives(models)
        and {"learning_rate", "n_critic", "layers_per_stage", "architecture", "dilation"}
        <= varied(models, "wgan_gp")
        and {each["source"] for each in models} == {"celeba"}
        and all(len(each["training"]["checkpoints"]) >= 4 for each in models)
    ),
    "autoencoders": lambda models: (
        {"autoencoder", "vae", "dcgan"} == objectives(models)
        and varied(models, "autoencoder")
        == {"architecture", "code_penalty", "decoder_weight_decay"}
        and varied(models, "dcgan") == {"learning_rate"}
        and {each["model"]["latent_dim"] for each in models} == {128}
        and {each["source"] for each in models} == {"fashion_mnist"}
    ),
    "initialization": lambda models: (
        {each["source"] for each in models} == {"fashion_mnist", "cifar10"}
        and varied(models, "dcgan") == {"initialization"}
        and len({each["model"]["initialization"] for each in models}) == 5
        and all(each["repeats"] >= 3 for each in models)
        and {each["source"] for each in models if each["model"]["name"] == "vae"} == {"cifar10"}
    ),
    "conditional": lambda models: (
        all(each["model"]["condition"] == "class" for each in models)
        and {each["dataset"] for each in models} == {"mnist", "emnist-letters", "emnist-balanced"}
        and {each["model"]["architecture"] for each in models}
        == {"fully_connected", "convolutional"}
        and objectives(models) == {"cgan", "dcgan"}
        # Techniques, each with its paper.
        and varied(models, "dcgan")
        == {"label_smoothing", "spectral_norm", "discriminator_learning_rate", "ema_decay"}
        and all(technique in PAPERS for technique in varied(models, "dcgan"))
    ),
    "few_images": lambda models: (
        {each["source"] for each in models} == {"celeba"}
        and {PARAMS.datasets[each["dataset"]].max_train_images for each in models} == {300, 1000}
        and varied(models, "dcgan") == {"augment", "augment_target", "r1_weight"}
        and all(technique in PAPERS for technique in varied(models, "dcgan"))
        and all(each["repeats"] >= 2 for each in models)
    ),
    "families": lambda models: (
        {each["source"] for each in models} == {"cifar10", "celeba"}
        and {(each["source"], each["model"]["name"]) for each in models}
        == set(product(("cifar10", "celeba"), ("vae", "dcgan", "wgan_gp", "diffusion")))
        and len(models) == 8
        and all(each["repeats"] >= 3 for each in models)
    ),
    "evolution": lambda models: (
        {each["source"] for each in models} == {"mnist", "cifar10", "fashion_mnist"}
        and {
            each["training"]["sample_grid"] for each in models if each["model"]["condition"] is None
        }
        == {7}
        and {each["training"]["sample_grid"] for each in models if each["model"]["condition"]}
        == {10}
    ),
}


@pytest.fixture(scope="module")
def sections() -> dict[tuple[str, str], str]:
    """Return the source of every section of every notebook."""
    found = {}
    for chapter in NOTEBOOKS:
        cells = json.loads(
            (ROOT / "report" / paths.notebook_name(chapter)).read_text(encoding="utf-8")
        )["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        for part in re.split(r'(?m)^## |page\.section\("', text)[1:]:
            heading = re.match(r'[^"\n]*', part)
            assert heading
            found[chapter, heading[0]] = part
    return found


def made() -> set[str]:
    """Return the files that the stages of an experiment write, with a checkpoint at epoch 1."""
    trained = map(str, paths.training_files([1], learns_codes=True))
    others = (*paths.EVALUATION_FILES, *paths.EXPLORATION_FILES, paths.CONFIG, paths.PROVENANCE)
    return {*trained, *others}


@pytest.mark.parametrize("study", CHECKLIST)
def test_every_item_of_a_study_has_its_section_and_its_files(
    study: str, sections: dict[tuple[str, str], str]
) -> None:
    for each in CHECKLIST[study]:
        assert each.chapter in PARAMS.studies[study].notebooks, each
        assert (each.chapter, each.section) in sections, each
        assert each.shown_by in sections[each.chapter, each.section], each
        assert set(each.files) <= made(), each


@pytest.mark.parametrize("study", EXPERIMENTS)
def test_a_study_has_the_experiments_that_its_question_needs(study: str) -> None:
    assert EXPERIMENTS[study](models_of(study))


@pytest.mark.parametrize(
    "study", ["faces", "autoencoders", "initialization", "conditional", "families"]
)
def test_models_that_are_compared_have_the_same_tuning_budget(study: str) -> None:
    """Experiments without a search are those whose point is a rate: they vary nothing else."""
    models = models_of(study)
    searched = [each["search"] for each in models if each["search"]]
    assert all(search == searched[0] for search in searched)
    with_search = [without_rate(each) for each in models if each["search"]]
    for each in models:
        assert without_rate(each) in with_search


def without_rate(experiment: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return experiment["dataset"], experiment["model"] | {"learning_rate": None}


def test_every_setting_that_has_a_paper_exists() -> None:
    known = set().union(*(model["model"] for study in PARAMS.studies for model in models_of(study)))
    assert {key.split()[0] for key in PAPERS} <= known


@pytest.mark.parametrize("dataset", ["cifar10", "celeba"])
def test_families_have_equal_sizes_and_see_equally_many_images(dataset: str) -> None:
    """Within 5 %, in all networks together: averaged copies do not count."""
    parameters, trainings = {}, []
    for name in PARAMS.study("families").experiments:
        config = PARAMS.experiment(name)
        if config.dataset != dataset:
            continue
        config.model.check_image_size(config.image_size)
        shape = Shape(config.image_size, config.channels)
        networks = build_objective(config.model, shape, seed=0).networks()
        parameters[name] = sum(map(count_parameters, networks.values()))
        trainings.append(config.training)
    assert len(parameters) == 4
    assert max(parameters.values()) <= 1.05 * min(parameters.values()), parameters
    assert all(training == trainings[0] for training in trainings)


def test_the_first_metric_of_faces_is_the_inception_distance() -> None:
    extractors = PARAMS.datasets["celeba"].reference.extractors
    assert next(metric.key for metric in METRICS if metric.extractor in extractors) == "fid"
