"""Monitoring of a model in training: losses on both splits, diversity of samples, warnings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import SPLITS
from latentbench.artifacts.thresholds import (
    LOW_DIVERSITY,
    MIN_ACTIVE_FRACTION,
    OVERFITTING_GAP,
    SATURATED_ACCURACY,
)
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model, to_uint8
from latentbench.data.labels import Condition, label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.models.objective import ACTIVE_VARIANCE, HasEncoder, HasSampling, Objective
from latentbench.models.prior import draw_codes
from latentbench.rng import numpy_generator, torch_generator
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

MAX_IMAGES = 1_000  # of each split, the same in every epoch
MAX_CODES = 10_000  # codes of training images
BATCH_SIZE = 250
MAX_COMPARED = 250  # real images for the mean distance between images
NUM_RECONSTRUCTED = 8

Values = dict[str, float | None]


class Monitor:
    """Measures an objective on fixed images, without effect on its weights or random numbers.

    All methods expect the objective in inference mode.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        condition: Condition,
        *,
        seed: int,
        device: torch.device,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._dataset = dataset
        self._condition = condition
        self._seed = seed
        self._device = device
        self._processes = processes
        self._splits = {split: self._choose(split, MAX_IMAGES) for split in SPLITS}
        images, labels = self._first_test_images(MAX_COMPARED)
        self._real_distance = _mean_distance(to_model(images), labels)

    def validate(self, objective: Objective, *, epoch: int) -> Values:
        """Return the validation terms of both splits as `{split}_{term}`.

        The processes share the batches, and all of them must make this call.
        """
        values: Values = {}
        for split in SPLITS:
            for name, value in self._validate(objective, split, epoch).items():
                values[f"{split}_{name}"] = value
        return values

    @torch.no_grad()
    def measure_samples(self, objective: Objective, samples: Images, labels: Tensor) -> Values:
        """Return the diversity of samples and, for models with an encoder, the active units.

        Diversity is the mean distance between two samples over the mean distance between two real
        images, of the same label where there are labels. It is None if all real images are equal.

        Args:
            objective: The model that generated the samples.
            samples: Generated images, uint8 (number, height, width, channel).
            labels: The labels that the samples were generated for, (number, num_labels).
        """
        values: Values = {}
        distance = _mean_distance(to_model(torch.from_numpy(samples).to(self._device)), labels)
        values["diversity"] = distance / self._real_distance if self._real_distance > 0 else None
        # Noise of the size of an image has no units of which some could be unused.
        if isinstance(objective, HasEncoder) and not isinstance(objective, HasSampling):
            codes = torch.cat([objective.encode(*batch) for batch in self._batches("test")])
            values["active_units"] = float((codes.var(dim=0) > ACTIVE_VARIANCE).sum())
        return values

    @property
    def inputs(self) -> Images:
        """The test images that are reconstructed, uint8 (number, height, width, channel)."""
        images: Images = self._first_test_images(NUM_RECONSTRUCTED)[0].cpu().numpy()
        return images

    @torch.no_grad()
    def reconstructions(self, objective: Objective) -> Images | None:
        """Return the reconstructions of `inputs` in the same shape, of models that learn codes.

        Without an encoder there are none, and encoding with an ODE is its inversion at any time.
        """
        if not isinstance(objective, HasEncoder) or isinstance(objective, HasSampling):
            return None
        images, labels = self._first_test_images(NUM_RECONSTRUCTED)
        outputs = objective.sample(objective.encode(to_model(images), labels), labels)
        reconstructed: Images = to_uint8(outputs).cpu().numpy()
        return reconstructed

    @torch.no_grad()
    def training_codes(self, objective: HasEncoder, *, epoch: int) -> Tensor:
        """Return codes (number, latent_dim) of up to MAX_CODES training images, on the CPU.

        Where the encoder returns distributions, a code is a draw, by seed and epoch.
        """
        generator = torch_generator(self._seed, "training codes", epoch)
        codes = []
        for images, labels in _batches(*self._choose("train", MAX_CODES)):
            codes.append(draw_codes(objective, images, labels, generator))
        return torch.cat(codes)

    @torch.no_grad()
    def _validate(self, objective: Objective, split: str, epoch: int) -> dict[str, float]:
        """Return the means of the terms over a split.

        Each process takes some of the batches. A batch has the same random numbers in any process.
        """
        batches = self._batches(split)
        # Sums of each term, and the number of images with a value of it.
        # Float32 is the widest type of MPS.
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        totals = torch.zeros(2, len(objective.terms), dtype=dtype, device=self._device)
        for index in range(self._processes.rank, len(batches), self._processes.world_size):
            images, labels = batches[index]
            generator = torch_generator(self._seed, f"{split} batch {index}", epoch, self._device)
            for name, value in objective.validate(images, labels, generator=generator).items():
                if name not in objective.terms:
                    raise KeyError(f"{type(objective).__name__}.terms lacks {name} of validate.")
                column = objective.terms.index(name)
                totals[:, column] += len(images) * torch.stack([value, torch.ones_like(value)])
        self._processes.all_reduce_sum(totals)
        means = {}
        for name, total, count in zip(objective.terms, *totals.tolist(), strict=True):
            if count:
                means[name] = total / count
        return means

    def _choose(self, split: str, number: int) -> tuple[Tensor, Tensor]:
        """Return random images of a split, uint8, and their labels, float, on the device."""
        images = self._dataset.images(split)
        order = numpy_generator(self._seed, f"monitored {split}").permutation(len(images))
        rows = order[:number]
        labels = torch.from_numpy(label_vectors(self._dataset, split, self._condition)[rows])
        chosen = torch.from_numpy(np.array(images[rows]))
        return chosen.to(self._device), labels.to(self._device, torch.float32)

    def _first_test_images(self, number: int) -> tuple[Tensor, Tensor]:
        images, labels = self._splits["test"]
        return images[:number], labels[:number]

    def _batches(self, split: str) -> list[tuple[Tensor, Tensor]]:
        return list(_batches(*self._splits[split]))


def find_warnings(
    values: Values, *, latent_dim: int, has_prior: bool = True, has_posterior: bool = True
) -> list[str]:
    """Return warnings about an epoch, each `name: explanation`.

    Args:
        values: The loss terms and monitored values of the epoch.
        latent_dim: The number of latent units.
        has_prior: Whether the model is trained to decode latents from N(0, I), which are drawn
            during training; without one, modes have no meaning.
        has_posterior: Whether the encoder returns a distribution, so that a posterior can collapse.
    """
    warnings = []
    diversity = values.get("diversity")
    if has_prior and diversity is not None and diversity < LOW_DIVERSITY:
        warnings.append(
            f"mode collapse: the mean distance between samples is {diversity:.0%} of that "
            "between real images"
        )
    real, fake = values.get("accuracy_real"), values.get("accuracy_fake")
    if real is not None and fake is not None and min(real, fake) >= SATURATED_ACCURACY:
        # What the generator still learns depends on its loss; only minimax loses its gradient.
        warnings.append(
            f"saturated discriminator: it is right on {real:.1%} of the real images and on "
            f"{fake:.1%} of the generated ones"
        )
    seen, unseen = values.get("train_accuracy_real"), values.get("test_accuracy_real")
    if seen is not None and unseen is not None and seen - unseen >= OVERFITTING_GAP:
        warnings.append(
            f"overfitted discriminator: it recognizes {seen:.1%} of the training images as real "
            f"and {unseen:.1%} of the test images; augment helps"
        )
    units = values.get("active_units")
    if units is not None and units < MIN_ACTIVE_FRACTION * latent_dim:
        name = "posterior collapse" if has_posterior else "inactive latents"
        warnings.append(f"{name}: {units:.0f} of {latent_dim} latent units are active")
    return warnings


def _batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images in [-1, 1] with their labels."""
    for batch, of_batch in zip(images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True):
        yield to_model(batch), of_batch


def _mean_distance(images: Tensor, labels: Tensor) -> float:
    """Return the mean Euclidean distance between two images with the same label, 0 without pairs.

    Without labels, all pairs count.
    """
    is_pair = (labels[:, None] == labels[None]).all(dim=2).fill_diagonal_(False)
    if not bool(is_pair.any()):
        return 0.0
    vectors = images.flatten(1)
    return float(torch.cdist(vectors, vectors)[is_pair].mean())
