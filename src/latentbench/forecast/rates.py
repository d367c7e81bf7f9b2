"""Rates of this machine: short runs of what the stages do, in seconds and bytes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.artifacts.paths import extractor_of
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import Evaluation, ExperimentConfig
from latentbench.evaluation.features.classifier import FEATURE_DIM, Classifier, ClassifierExtractor
from latentbench.evaluation.features.extract import prepare_measurement
from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.features.train_classifier import NUM_ROTATIONS
from latentbench.evaluation.features.transformer import RECIPES
from latentbench.evaluation.features.vision_transformer import VisionTransformer, quick_gelu
from latentbench.evaluation.metrics import cmmd, kid
from latentbench.evaluation.metrics.cmmd import gaussian_kernel_mean
from latentbench.evaluation.metrics.distances import Distances
from latentbench.evaluation.metrics.knn import nearest_neighbors
from latentbench.forecast.sizes import DatasetSizes
from latentbench.inference.inversion import invert
from latentbench.latent.explorations.projections import tsne
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import HasEncoder, HasLikelihood, HasSampling, Objective, Sampling
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator
from latentbench.runtime.adam import Adam
from latentbench.runtime.device import (
    float64_device,
    move_network,
    prepare_compute,
    resolve_precision,
    select_device,
    synchronize,
)

BATCH_SIZE = 250  # of sampling, validation and feature extraction
MAX_SEARCH_ROWS = 4_000  # rows on each side of the timed nearest-neighbor search
INVERSION_STEPS = 3
INCEPTION_SIDE = 299  # pixels
INCEPTION_BATCH_SIZE = 8
TRANSFORMER_BATCH_SIZES = {"cpu": 1, "cuda": 64, "mps": 8}
TRANSFORMER_DEPTH = 24  # of DINOv2 and CLIP
FEATURE_DIMS = {"classifier": FEATURE_DIM, "inception": 2048, "dinov2": 1024, "clip": 768}
MAX_KERNEL_ROWS = 2_000  # rows on each side of CMMD's timed kernel
MAX_REPEATS = 3
QUICK_CODES = 300  # t-SNE of 2,000 takes as long per code, within a fifth
_repeats = ContextVar("repeats", default=MAX_REPEATS)
MAX_SECONDS = 1.0  # nothing is repeated after this


@dataclass(frozen=True)
class ModelRates:
    """Rates of an experiment's model."""

    step: float  # seconds per training step
    validation: float  # seconds per image, to compute the loss terms after an epoch
    sample: float  # seconds per generated image
    reconstruction: float  # seconds per image, encoded and decoded or inverted
    weight_bytes: int
    state_bytes: int  # of the resumable state
    has_likelihood: bool  # whether evaluation bounds the likelihood of test images


@dataclass(frozen=True)
class DatasetRates:
    """Rates of a dataset's evaluation, which are the same for all models."""

    classifier_step: float  # seconds per training step of the classifier
    feature: float  # seconds per image, for the features of all networks
    feature_dim: int  # features per image, of all networks
    distances: float  # seconds per set of samples, without the nearest-neighbor search
    pair: float  # seconds per pair of images in the nearest-neighbor search
    projection: float  # seconds per code, to project it to two dimensions


@contextmanager
def quick_measurement() -> Iterator[None]:
    """Measure once after a warm-up, not three times, and t-SNE on fewer codes.

    For the demo this takes 5 s of CPU time instead of 15 s.
    """
    token = _repeats.set(1)
    try:
        yield
    finally:
        _repeats.reset(token)


def measure_start_seconds() -> float:
    """Return the seconds to start a job: the interpreter and the imports of a stage."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import latentbench.training.train"], check=True, capture_output=True
    )
    return time.perf_counter() - start


def measure_model_rates(config: ExperimentConfig, sizes: DatasetSizes) -> ModelRates:
    """Return the rates of an experiment's model.

    Raises ConfigError if the experiment needs a GPU and there is none.
    """
    device = prepare_compute(config.compute)
    objective, num_labels = _build_objective(config, sizes, device)
    size = config.training.batch_size // config.training.processes
    images, labels = _random_batch(config, size, num_labels, device)
    generator = torch_generator(0, "forecast", 0, device)
    # One cycle of a GAN: the generator takes one step in every n_critic.
    cycle = getattr(config.model, "n_critic", 1)

    def train_cycle() -> None:
        for step in range(cycle):
            objective.step(images, labels, step=step, generator=generator)

    step_seconds = _median_seconds(train_cycle) / cycle
    objective.eval()
    state_bytes = _num_bytes(objective.training_state().values())
    weight_bytes = _num_bytes(objective.weights().values())
    images, labels = _random_batch(config, BATCH_SIZE, num_labels, device)
    with torch.no_grad():
        validation = _median_seconds(
            lambda: objective.validate(images, labels, generator=generator)
        )
    latents = torch.randn(BATCH_SIZE, objective.latent_dim, device=device)
    decodings = reconstructions = 1.0
    if isinstance(objective, HasSampling):
        # An ODE is measured with one step; its time is proportional to the network's evaluations.
        own, one = objective.sampling, replace(objective.sampling, steps=1)
        decodings = own.decoding_evaluations / one.decoding_evaluations
        reconstructions = _both_ways(own) / _both_ways(one)
        objective.sampling = one
    sample = _median_seconds(lambda: objective.sample(latents, labels)) / BATCH_SIZE
    reconstruction = _reconstruction_seconds(config, objective, num_labels, device)
    return ModelRates(
        step=step_seconds,
        validation=validation / BATCH_SIZE,
        sample=decodings * sample,
        reconstruction=reconstructions * reconstruction,
        weight_bytes=weight_bytes,
        state_bytes=state_bytes,
        has_likelihood=isinstance(objective, HasLikelihood),
    )


def _both_ways(sampling: Sampling) -> int:
    """Return the evaluations of a network that encoding and decoding an image need."""
    return sampling.encoding_evaluations + sampling.decoding_evaluations


def measure_dataset_rates(
    config: DatasetConfig, experiment: ExperimentConfig, sizes: DatasetSizes
) -> DatasetRates:
    """Return the rates of a dataset's evaluation, with the settings of one of its experiments."""
    reference = config.dataset.reference
    device = prepare_measurement(reference.compute)
    classifier_step, feature = _classifier_seconds(config, sizes, device)
    feature *= reference.repeats if "classifier" in reference.extractors else 0
    distances = pair = 0.0
    for extractor in reference.extractors:
        if extractor != "classifier":
            feature += _pretrained_seconds(extractor, device)
        number = reference.repeats if extractor == "classifier" else 1
        per_set, per_pair = _distance_seconds(experiment.evaluation, sizes, extractor, device)
        distances += number * per_set
        pair += number * per_pair
    num_codes = min(experiment.latent.num_projected, sizes.num_test)
    if _repeats.get() < MAX_REPEATS:
        num_codes = min(num_codes, QUICK_CODES)
    dim = experiment.model.num_latent_dims(experiment.image_size, experiment.channels)
    codes = torch.randn(num_codes, dim).double().numpy()
    return DatasetRates(
        classifier_step=classifier_step,
        feature=feature,
        feature_dim=sum(FEATURE_DIMS[extractor_of(name)] for name in reference.networks),
        distances=distances,
        pair=pair,
        projection=_median_seconds(lambda: tsne(codes)) / num_codes,
    )


def _classifier_seconds(
    config: DatasetConfig, sizes: DatasetSizes, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of a training step and of an image's features."""
    dataset, reference = config.dataset, config.dataset.reference
    network = Classifier(
        image_size=dataset.image_size,
        channels=dataset.channels,
        width=reference.width,
        num_outputs=sizes.num_classes if sizes.num_classes >= 2 else NUM_ROTATIONS,
    ).initialize_weights(torch_generator(0, "classifier weights"))
    move_network(network, device)
    optimizer = Adam(network.parameters(), learning_rate=1e-3)
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    images = torch.rand(reference.batch_size, *shape, device=device)
    targets = torch.zeros(reference.batch_size, dtype=torch.int64, device=device)

    def step() -> None:
        functional.cross_entropy(network(images), targets).backward()
        optimizer.step()

    step_seconds = _median_seconds(step)
    extractor = ClassifierExtractor(network, protocol="", device=device)
    pixels = torch.zeros(BATCH_SIZE, *shape[1:], shape[0], dtype=torch.uint8)
    return step_seconds, _median_seconds(lambda: extractor(pixels)) / BATCH_SIZE


def _pretrained_seconds(extractor: str, device: torch.device) -> float:
    """Return the seconds per image of a pretrained network's features.

    Nothing is downloaded: the weights are random. Inception is torchvision's, which has the same
    layers. Of a vision transformer, a single block is timed.
    """
    if extractor == "inception":
        from torchvision.models import inception_v3

        device = float64_device(device)  # as InceptionExtractor
        network: nn.Module = inception_v3(weights=None, init_weights=False)
        side, size, factor = INCEPTION_SIDE, INCEPTION_BATCH_SIZE, 1
    else:
        side, size = RECIPES[extractor].input_size, TRANSFORMER_BATCH_SIZES[device.type]
        factor = TRANSFORMER_DEPTH
        network = VisionTransformer(
            image_size=side,
            patch_size=14,
            width=1024,
            depth=1,
            hidden_dim=4096,
            activation=quick_gelu,
            norm_epsilon=1e-6,
            is_clip=False,
        )
    network.to(device).eval()
    images = torch.rand(size, 3, side, side, device=device)
    with torch.inference_mode():
        return factor * _median_seconds(lambda: network(images)) / size


def _distance_seconds(
    settings: Evaluation, sizes: DatasetSizes, extractor: str, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of a set of samples' metrics, and of a pair in the search."""
    device = float64_device(device)
    dim = FEATURE_DIMS[extractor]
    real = torch.randn(min(sizes.num_train, kid.MAX_REAL_IMAGES), dim, device=device)
    generated = torch.randn(settings.num_samples, dim, device=device)
    distances = Distances(extractor, compute_feature_stats(real), real, settings)
    seconds = _median_seconds(lambda: distances.precision_recall(generated))
    if extractor == "clip":
        rows = real[:MAX_KERNEL_ROWS]
        kernel = _median_seconds(lambda: gaussian_kernel_mean(rows, rows)) / len(rows) ** 2
        num_real = min(sizes.num_train, cmmd.MAX_REAL_IMAGES)
        seconds += kernel * settings.num_samples * (settings.num_samples + num_real)
    else:
        seconds += _median_seconds(lambda: distances.measure(generated, seed=0))
    queries, searched = generated[:MAX_SEARCH_ROWS], real[:MAX_SEARCH_ROWS].cpu().numpy()
    search = _median_seconds(lambda: nearest_neighbors(queries, searched, num_neighbors=1))
    return seconds, search / (len(queries) * len(searched))


def _build_objective(
    config: ExperimentConfig, sizes: DatasetSizes, device: torch.device
) -> tuple[Objective, int]:
    """Return the objective, ready to train, and the length of its label vectors."""
    condition = config.model.condition
    if condition is None:
        num_labels = 0
    elif condition == "class":
        num_labels = sizes.num_classes
    else:
        num_labels = len(condition)
    shape = Shape(config.image_size, config.channels, num_labels=num_labels)
    objective = move_network(build_objective(config.model, shape, seed=config.seed), device)
    objective.precision = resolve_precision(config.training.precision, device)
    objective.make_optimizers()
    return objective.train(), num_labels


def _random_batch(
    config: ExperimentConfig, size: int, num_labels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return uniform noise as images, and the first class or attribute as their label."""
    shape = (size, config.channels, config.image_size, config.image_size)
    labels = torch.zeros(size, num_labels, device=device)
    labels[:, :1] = 1
    return torch.rand(shape, device=device) * 2 - 1, labels


def _reconstruction_seconds(
    config: ExperimentConfig, objective: Objective, num_labels: int, device: torch.device
) -> float:
    """Return the seconds per image to encode and decode it, or to invert it."""
    if isinstance(objective, HasEncoder):
        encoder = objective
        images, labels = _random_batch(config, BATCH_SIZE, num_labels, device)

        def reconstruct() -> None:
            objective.sample(encoder.encode(images, labels), labels)

        with torch.no_grad():
            return _median_seconds(reconstruct) / BATCH_SIZE
    settings = config.latent.model_copy(
        update={"inversion_steps": INVERSION_STEPS, "inversion_starts": 1}
    )
    images, labels = _random_batch(config, settings.num_inverted, num_labels, device)
    generator = torch_generator(0, "forecast", 1, device)
    seconds = _median_seconds(
        lambda: invert(objective, images, labels, settings, generator=generator)
    )
    # The loss is evaluated once more after the last step.
    seconds_per_step = seconds / (INVERSION_STEPS + 1)
    return seconds_per_step * config.latent.inversion_steps / settings.num_inverted


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _median_seconds(function: Callable[[], object]) -> float:
    """Return the median wall time of some calls, without the first if there are several."""
    seconds: list[float] = []
    while len(seconds) <= _repeats.get() and sum(seconds) < MAX_SECONDS:
        start = time.perf_counter()
        function()
        synchronize(select_device("auto"))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:] or seconds)
