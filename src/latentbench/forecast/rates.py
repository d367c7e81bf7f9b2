"""What the parts of a study's stages take on this machine: each is run for a moment, as the stages run it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import ExperimentConfig
from latentbench.evaluation.classifier import FEATURE_DIM, Classifier, ClassifierExtractor
from latentbench.evaluation.distances import Distances
from latentbench.evaluation.feature_stats import compute_feature_stats
from latentbench.evaluation.features import prepare_measurement
from latentbench.evaluation.kid import MOST_REAL_IMAGES
from latentbench.evaluation.knn import nearest
from latentbench.evaluation.train_classifier import ROTATIONS
from latentbench.forecast.sizes import Sizes
from latentbench.latent.inversion import invert
from latentbench.latent.projections import tsne
from latentbench.models.networks import Shape
from latentbench.models.objective import HasEncoder, Objective
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator
from latentbench.runtime.adam import Adam
from latentbench.runtime.device import prepare_compute, resolve_precision

BATCH = 250  # of images that are generated, looked at or described
MOST_SEARCHED = 4_000  # rows on either side of a search for nearest neighbors that is timed
INCEPTION_DIM = 2048
INCEPTION_SIDE = 299  # pixels
INCEPTION_BATCH = 8
MOST_TURNS = 3
LONGEST = 1.0  # seconds after which nothing is timed again


@dataclass(frozen=True)
class ModelRates:
    """Seconds of one experiment's parts, and bytes of its weights and of its resumable state."""

    step: float
    look: float  # at an image of either split, after an epoch
    sample: float  # an image generated
    reconstruct: float  # an image encoded and decoded, or searched for and inverted
    weights: int
    state: int


@dataclass(frozen=True)
class MeasureRates:
    """Seconds of what is done to a dataset's images, whatever model made them."""

    learn: float  # a batch of the classifier's training
    describe: float  # an image's features
    compare: float  # one seed's samples beside the real ones, but for their nearest
    search: float  # a pair of images in the search for the nearest
    map: float  # of one code, in two dimensions


def seconds_to_start() -> float:
    """Of a job: the interpreter, and what a stage imports."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import latentbench.training.train"], check=True, capture_output=True
    )
    return time.perf_counter() - start


def model_rates(config: ExperimentConfig, sizes: Sizes) -> ModelRates:
    """Raises ConfigError where the experiment asks for a GPU that is not here."""
    device = prepare_compute(config.compute)
    objective, num_labels = _objective(config, sizes, device)
    size = config.training.batch_size // config.training.processes
    images, labels = _batch(config, size, num_labels, device)
    generator = torch_generator(0, "forecast", 0, device)
    # A whole turn of both players, where one of them moves more often.
    turn = getattr(config.model, "n_critic", 1)
    step = (
        _seconds(
            lambda: [
                objective.step(images, labels, step=n, generator=generator) for n in range(turn)
            ]
        )
        / turn
    )
    objective.eval()
    state = sum(
        tensor.numel() * tensor.element_size() for tensor in objective.training_state().values()
    )
    weights = sum(tensor.numel() * tensor.element_size() for tensor in objective.weights().values())
    images, labels = _batch(config, BATCH, num_labels, device)
    with torch.no_grad():
        look = _seconds(lambda: objective.validate(images, labels, generator=generator)) / BATCH
    latents = torch.randn(BATCH, objective.latent_dim, device=device)
    sample = _seconds(lambda: objective.sample(latents, labels)) / BATCH
    return ModelRates(
        step, look, sample, _reconstruct(config, objective, num_labels, device), weights, state
    )


def measure_rates(config: DatasetConfig, sample: ExperimentConfig, sizes: Sizes) -> MeasureRates:
    """With the settings that `sample`, an experiment on the dataset, is measured by."""
    dataset, reference = config.dataset, config.dataset.reference
    device = prepare_measurement(reference.compute)
    num_outputs = sizes.num_classes if sizes.num_classes >= 2 else ROTATIONS
    network = Classifier(
        image_size=dataset.image_size,
        channels=dataset.channels,
        width=reference.width,
        num_outputs=num_outputs,
    ).initialize_weights(torch_generator(0, "classifier weights"))
    network.to(device)
    optimizer = Adam(network.parameters(), learning_rate=1e-3)
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    images = torch.rand(reference.batch_size, *shape, device=device)
    targets = torch.zeros(reference.batch_size, dtype=torch.int64, device=device)

    def learn() -> None:
        functional.cross_entropy(network(images), targets).backward()
        optimizer.step()

    seconds = _seconds(learn)
    extractor = ClassifierExtractor(network, protocol="", device=device)
    pixels = torch.zeros(BATCH, *shape[1:], shape[0], dtype=torch.uint8)
    describe = (
        _seconds(lambda: extractor(pixels)) / BATCH if "classifier" in reference.extractors else 0.0
    )
    if "inception" in reference.extractors:
        describe += _inception(device)
    dim = INCEPTION_DIM if "inception" in reference.extractors else FEATURE_DIM
    settings = sample.evaluation
    real = torch.randn(min(sizes.num_train, MOST_REAL_IMAGES), dim, device=device)
    drawn = torch.randn(settings.num_samples, dim, device=device)
    distances = Distances(compute_feature_stats(real), real, settings)

    def compare() -> None:
        distances.frechet(drawn)
        distances.kernel_over_subsets(drawn, seed=0)
        distances.overlap(drawn)

    few = (drawn[:MOST_SEARCHED], real[:MOST_SEARCHED].cpu().numpy())
    search = _seconds(lambda: nearest(few[0], few[1], number=1)) / (len(few[0]) * len(few[1]))
    number = min(sample.latent.num_projected, sizes.num_test)
    codes = torch.randn(number, sample.model.latent_dim).double().numpy()
    return MeasureRates(
        seconds, describe, _seconds(compare), search, _seconds(lambda: tsne(codes)) / number
    )


def _objective(
    config: ExperimentConfig, sizes: Sizes, device: torch.device
) -> tuple[Objective, int]:
    condition = config.model.condition
    num_labels = (
        0 if condition is None else sizes.num_classes if condition == "class" else len(condition)
    )
    shape = Shape(config.image_size, config.channels, num_labels=num_labels)
    objective = build_objective(config.model, shape, seed=config.seed).to(device)
    objective.precision = resolve_precision(config.training.precision, device)
    objective.make_optimizers()
    return objective.train(), num_labels


def _batch(
    config: ExperimentConfig, number: int, num_labels: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    images = (
        torch.rand(number, config.channels, config.image_size, config.image_size, device=device) * 2
        - 1
    )
    labels = torch.zeros(number, num_labels, device=device)
    labels[:, :1] = 1
    return images, labels


def _reconstruct(
    config: ExperimentConfig, objective: Objective, num_labels: int, device: torch.device
) -> float:
    """Seconds per image."""
    settings = config.latent
    if isinstance(objective, HasEncoder):
        encoder = objective
        images, labels = _batch(config, BATCH, num_labels, device)
        with torch.no_grad():
            return (
                _seconds(lambda: objective.sample(encoder.encode(images, labels), labels)) / BATCH
            )
    images, labels = _batch(config, settings.num_inverted, num_labels, device)
    tried = settings.model_copy(update={"inversion_steps": 3, "inversion_starts": 1})
    generator = torch_generator(0, "forecast", 1, device)
    # Three steps and a look at what came of them.
    seconds = _seconds(lambda: invert(objective, images, labels, tried, generator=generator)) / 4
    return seconds * settings.inversion_steps / settings.num_inverted


def _inception(device: torch.device) -> float:
    """Seconds per image of clean-fid's network, by torchvision's of the same layers, which needs no download."""
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, init_weights=False).to(device).eval()
    images = torch.rand(INCEPTION_BATCH, 3, INCEPTION_SIDE, INCEPTION_SIDE, device=device)
    with torch.inference_mode():
        return _seconds(lambda: network(images)) / INCEPTION_BATCH


def _seconds(function: Callable[[], object]) -> float:
    """The median of some turns, after one that does not count."""
    taken: list[float] = []
    while len(taken) <= MOST_TURNS and sum(taken) < LONGEST:
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:] or taken)
