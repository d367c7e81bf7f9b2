"""Trains the classifier: on the dataset's labels, or on telling rotations apart where it has none; and on attributes
where there are some."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from latentbench.artifacts.progress import track
from latentbench.config.datasets import Reference
from latentbench.data.images import to_model
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DivergenceError
from latentbench.evaluation.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.classifier import Classifier
from latentbench.evaluation.features import BATCH_SIZE
from latentbench.rng import numpy_generator, torch_generator
from latentbench.runtime.adam import Adam

ROTATIONS = 4
WARM_UP = 0.25  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Task:
    """What the classifier predicts. `examples` makes `copies` inputs and targets of each image and label, the images
    as they are first; of these it also predicts the attributes."""

    name: str
    aim: str
    num_outputs: int
    copies: int
    examples: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    attributes: list[str]


def choose_task(dataset: PreparedDataset) -> Task:
    """Labels where there are at least two classes to tell apart, rotations elsewhere."""
    num_classes, attributes = len(dataset.manifest.class_names), dataset.manifest.attribute_names
    if num_classes >= 2:
        return Task(
            "labels", f"tell its {num_classes} classes apart", num_classes, 1, _labeled, attributes
        )
    aim = "tell rotations by 0°, 90°, 180° and 270° apart"
    return Task("rotations", aim, ROTATIONS, ROTATIONS, _rotated, attributes)


def train_classifier(
    dataset: PreparedDataset, task: Task, settings: Reference, *, seed: int, device: torch.device
) -> Classifier:
    """Minimize the cross-entropy, and of attributes the mean of theirs, with Adam, its learning rate rising, then
    falling (Smith & Topin, 2018).

    Raises DivergenceError where the loss became infinite or NaN.
    """
    network = Classifier(
        image_size=dataset.manifest.image_size,
        channels=dataset.manifest.channels,
        width=settings.width,
        num_outputs=task.num_outputs,
        num_attributes=len(task.attributes),
    )
    network.initialize_weights(torch_generator(seed, "classifier weights")).to(device)
    optimizer = Adam(network.parameters(), learning_rate=settings.learning_rate)
    batches = _Batches(dataset, settings, task, seed=seed)
    loss = torch.zeros((), device=device)
    for step, batch in enumerate(track(batches, "classifier", total=len(batches), unit="steps")):
        inputs, targets = task.examples(to_model(batch.images.to(device)), batch.labels.to(device))
        features = network.features(inputs)
        loss = functional.cross_entropy(network.classify(features), targets)
        if batch.attributes is not None:
            there = batch.attributes.to(device, torch.float32)
            seen = network.attributes(features[: len(there)])
            loss = loss + functional.binary_cross_entropy_with_logits(seen, there)
        loss.backward()
        optimizer.learning_rate = settings.learning_rate * one_cycle(step / len(batches))
        optimizer.step()
    if not math.isfinite(loss.item()):
        raise DivergenceError(
            f"The classifier's loss on {dataset.folder} became {loss.item()}; lower reference.learning_rate."
        )
    return network.eval()


class Accuracy(NamedTuple):
    """The share of the test split's examples that a network gets right, and how well it sees attributes there."""

    share: float
    attributes: dict[str, AttributeAccuracy]


@torch.inference_mode()
def accuracy(
    network: Classifier, dataset: PreparedDataset, task: Task, *, device: torch.device
) -> Accuracy:
    images, labels = dataset.images("test"), dataset.labels("test")
    right = 0
    seen = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        pictures = to_model(torch.from_numpy(np.array(images[batch])).to(device))
        inputs, targets = task.examples(pictures, torch.from_numpy(labels[batch]).to(device))
        features = network.features(inputs)
        right += int((network.classify(features).argmax(dim=1) == targets).sum())
        seen.append(network.attributes(features[: len(pictures)]).cpu() > 0)
    recognized = {}
    if task.attributes:
        there = torch.from_numpy(dataset.attributes("test")).bool()
        columns = zip(task.attributes, torch.cat(seen).unbind(1), there.unbind(1), strict=True)
        recognized = {name: AttributeAccuracy.of(*column) for name, *column in columns}
    return Accuracy(right / (task.copies * len(images)), recognized)


def one_cycle(progress: float) -> float:
    """A factor that rises linearly from 0 to 1, then falls along a cosine to 0; progress in [0, 1]."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class _Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    attributes: Tensor | None


class _Batches:
    """Every epoch's images in a new order; each batch fills `batch_size` with all copies of its images."""

    def __init__(
        self, dataset: PreparedDataset, settings: Reference, task: Task, *, seed: int
    ) -> None:
        self.images = dataset.images("train")
        self.labels = dataset.labels("train")
        self.attributes = dataset.attributes("train") if task.attributes else None
        self.seed = seed
        self.epochs = settings.epochs
        # Batch normalization wants two examples, and a small dataset is one batch.
        self.size = min(max(settings.batch_size // task.copies, 2), len(self.images))

    def __len__(self) -> int:
        return self.epochs * (len(self.images) // self.size)

    def __iter__(self) -> Iterator[_Batch]:
        for epoch in range(self.epochs):
            order = numpy_generator(self.seed, "classifier epoch", epoch).permutation(
                len(self.images)
            )
            for start in range(0, len(order) - self.size + 1, self.size):
                # A mapped file is read fastest in its own order, and within a batch no order matters.
                rows = np.sort(order[start : start + self.size])
                attributes = (
                    None if self.attributes is None else torch.from_numpy(self.attributes[rows])
                )
                yield _Batch(
                    torch.from_numpy(self.images[rows]),
                    torch.from_numpy(self.labels[rows]),
                    attributes,
                )


def _labeled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels


def _rotated(images: Tensor, _labels: Tensor) -> tuple[Tensor, Tensor]:
    """All four rotations of each image in one batch (Gidaris et al., 2018, section 3.2)."""
    turned = [torch.rot90(images, quarter, dims=(2, 3)) for quarter in range(ROTATIONS)]
    quarters = torch.arange(ROTATIONS, device=images.device)
    return torch.cat(turned), quarters.repeat_interleave(len(images))
