"""Training of the classifier: on labels or, without labels, on rotations; and on attributes."""

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
from latentbench.evaluation.features.classifier import Classifier
from latentbench.evaluation.features.extract import BATCH_SIZE
from latentbench.evaluation.predictions.attribute_accuracy import AttributeAccuracy
from latentbench.rng import numpy_generator, torch_generator
from latentbench.runtime.adam import Adam
from latentbench.runtime.device import move_network

NUM_ROTATIONS = 4
WARM_UP = 0.25  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Task:
    """What the classifier predicts.

    `make_examples` turns images and labels into `copies` inputs and targets per image; the first
    inputs are the images themselves, and their attributes are predicted as well. `aim` completes
    "trained to".
    """

    name: str
    aim: str
    num_outputs: int
    copies: int
    make_examples: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    attributes: list[str]


def choose_task(dataset: PreparedDataset) -> Task:
    """Return classification where there are at least two classes, else rotation prediction."""
    num_classes, attributes = len(dataset.manifest.class_names), dataset.manifest.attribute_names
    if num_classes >= 2:
        aim = f"predict its {num_classes} classes"
        return Task("labels", aim, num_classes, 1, _label_examples, attributes)
    aim = "predict rotations by 0°, 90°, 180° and 270°"
    return Task("rotations", aim, NUM_ROTATIONS, NUM_ROTATIONS, _rotation_examples, attributes)


def train_classifier(
    dataset: PreparedDataset, task: Task, settings: Reference, *, seed: int, device: torch.device
) -> Classifier:
    """Minimize the cross-entropy of the task and of the attributes with Adam.

    The learning rate follows `learning_rate_factor`.

    Raises:
        DivergenceError: The loss is infinite or NaN at the end.
    """
    network = Classifier(
        image_size=dataset.manifest.image_size,
        channels=dataset.manifest.channels,
        width=settings.width,
        num_outputs=task.num_outputs,
        num_attributes=len(task.attributes),
    )
    move_network(network.initialize_weights(torch_generator(seed, "classifier weights")), device)
    optimizer = Adam(network.parameters(), learning_rate=settings.learning_rate)
    batches = _Batches(dataset, settings, task, seed=seed)
    loss = torch.zeros((), device=device)
    for step, batch in enumerate(track(batches, "classifier", total=len(batches), unit="steps")):
        images, labels = to_model(batch.images.to(device)), batch.labels.to(device)
        inputs, targets = task.make_examples(images, labels)
        features = network.features(inputs)
        loss = functional.cross_entropy(network.class_logits(features), targets)
        if batch.attributes is not None:
            actual = batch.attributes.to(device, torch.float32)
            logits = network.attribute_logits(features[: len(actual)])
            loss = loss + functional.binary_cross_entropy_with_logits(logits, actual)
        loss.backward()
        factor = learning_rate_factor(step / len(batches))
        optimizer.learning_rate = settings.learning_rate * factor
        optimizer.step()
    if not math.isfinite(loss.item()):
        raise DivergenceError(
            f"The loss of the classifier on {dataset.folder} is {loss.item()}. Lower "
            "reference.learning_rate."
        )
    return network.eval()


class ClassifierAccuracy(NamedTuple):
    """The share of correct predictions on the test split, and each attribute's accuracy."""

    share: float
    attributes: dict[str, AttributeAccuracy]


@torch.inference_mode()
def measure_accuracy(
    network: Classifier, dataset: PreparedDataset, task: Task, *, device: torch.device
) -> ClassifierAccuracy:
    """Return the accuracy on the test split."""
    images, labels = dataset.images("test"), dataset.labels("test")
    num_correct = 0
    predictions = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        pixels = to_model(torch.from_numpy(np.array(images[batch])).to(device))
        inputs, targets = task.make_examples(pixels, torch.from_numpy(labels[batch]).to(device))
        features = network.features(inputs)
        num_correct += int((network.class_logits(features).argmax(dim=1) == targets).sum())
        predictions.append(network.attribute_logits(features[: len(pixels)]).cpu() > 0)
    share = num_correct / (task.copies * len(images))
    if not task.attributes:
        return ClassifierAccuracy(share, {})
    predicted = torch.cat(predictions)
    actual = torch.from_numpy(dataset.attributes("test")).bool()
    by_attribute = {}
    for place, name in enumerate(task.attributes):
        columns = predicted[:, place], actual[:, place]
        by_attribute[name] = AttributeAccuracy.from_predictions(*columns)
    return ClassifierAccuracy(share, by_attribute)


def learning_rate_factor(progress: float) -> float:
    """Return the one-cycle factor (Smith & Topin, 2018) at `progress` in [0, 1].

    It rises linearly from 0 to 1, then falls to 0 along a cosine. OneCycleLR of torch.optim has the
    same curve in both phases and needs a torch.optim.Optimizer, which runtime.adam.Adam is not.
    With it, classifiers and metrics would not keep their bits.
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class _Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    attributes: Tensor | None


class _Batches:
    """Shuffled batches of all epochs; the copies of its images count in `batch_size`."""

    def __init__(
        self, dataset: PreparedDataset, settings: Reference, task: Task, *, seed: int
    ) -> None:
        self.images = dataset.images("train")
        self.labels = dataset.labels("train")
        self.attributes = dataset.attributes("train") if task.attributes else None
        self.seed = seed
        self.epochs = settings.epochs
        # Batch norm needs two examples; a small dataset is one batch.
        self.size = min(max(settings.batch_size // task.copies, 2), len(self.images))

    def __len__(self) -> int:
        return self.epochs * (len(self.images) // self.size)

    def __iter__(self) -> Iterator[_Batch]:
        for epoch in range(self.epochs):
            rng = numpy_generator(self.seed, "classifier epoch", epoch)
            order = rng.permutation(len(self.images))
            for start in range(0, len(order) - self.size + 1, self.size):
                # Ascending rows are fastest to read from a memory-mapped file; within a batch order
                # is irrelevant.
                yield self._batch(np.sort(order[start : start + self.size]))

    def _batch(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Batch:
        attributes = None
        if self.attributes is not None:
            attributes = torch.from_numpy(self.attributes[rows])
        images, labels = torch.from_numpy(self.images[rows]), torch.from_numpy(self.labels[rows])
        return _Batch(images, labels, attributes)


def _label_examples(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images, labels


def _rotation_examples(images: Tensor, _labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return all four rotations of each image in one batch (Gidaris et al., 2018, section 3.2)."""
    rotated = [torch.rot90(images, turns, dims=(2, 3)) for turns in range(NUM_ROTATIONS)]
    targets = torch.arange(NUM_ROTATIONS, device=images.device)
    return torch.cat(rotated), targets.repeat_interleave(len(images))
