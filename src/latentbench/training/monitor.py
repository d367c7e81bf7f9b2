"""What a careful person would watch while a model trains: both splits, diversity, and signs of trouble in words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import SPLITS
from latentbench.artifacts.thresholds import MIN_ACTIVE_FRACTION, LOW_DIVERSITY, SATURATED_ACCURACY
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model, to_uint8
from latentbench.data.labels import Condition, label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.models.objective import ACTIVE_VARIANCE, HasEncoder, Objective
from latentbench.rng import numpy_generator, torch_generator
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

MOST_IMAGES = 1_000  # of each split, the same at every look
BATCH_SIZE = 250
MOST_COMPARED = 250  # real images whose distances from each other are taken
NUM_SHOWN = 8  # reconstructions in a picture

Values = dict[str, float | None]


class Monitor:
    """Looks at an objective from outside its training: no weight and no random draw of training depends on it."""

    def __init__(
        self,
        dataset: PreparedDataset,
        condition: Condition,
        *,
        seed: int,
        device: torch.device,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._seed = seed
        self._device = device
        self._processes = processes
        self._splits = {split: self._choose(dataset, split, condition) for split in SPLITS}
        images, labels = (tensor[:MOST_COMPARED] for tensor in self._splits["test"])
        self._real_distance = _mean_distance(to_model(images), labels)

    def validate(self, objective: Objective, *, epoch: int) -> Values:
        """Terms of both splits, all processes together; the objective is to be in inference mode."""
        return {
            f"{split}_{name}": value
            for split in SPLITS
            for name, value in self._validate(objective, split, epoch).items()
        }

    @torch.no_grad()
    def look(self, objective: Objective, samples: Images, labels: Tensor) -> Values:
        """Diversity and active units; the objective is to be in inference mode.

        `samples` are generated, uint8 (number, height, width, channel), as `labels` (number, num_labels) asked. How
        far they are from each other is compared with how far real images are; where there are labels, with the same.
        """
        values: Values = {}
        generated = _mean_distance(to_model(torch.from_numpy(samples).to(self._device)), labels)
        values["diversity"] = generated / self._real_distance if self._real_distance > 0 else None
        if isinstance(objective, HasEncoder):
            codes = torch.cat([objective.encode(*batch) for batch in self._batches("test")])
            values["active_units"] = float((codes.var(dim=0) > ACTIVE_VARIANCE).sum())
        return values

    @property
    def inputs(self) -> Images:
        """The test images that are reconstructed, uint8 (number, height, width, channel)."""
        images: Images = self._splits["test"][0][:NUM_SHOWN].cpu().numpy()
        return images

    @torch.no_grad()
    def reconstructions(self, objective: Objective) -> Images | None:
        """What the objective makes of the inputs, in their shape; None where it cannot encode."""
        if not isinstance(objective, HasEncoder):
            return None
        images, labels = (tensor[:NUM_SHOWN] for tensor in self._splits["test"])
        models: Images = (
            to_uint8(objective.sample(objective.encode(to_model(images), labels), labels))
            .cpu()
            .numpy()
        )
        return models

    @torch.no_grad()
    def _validate(self, objective: Objective, split: str, epoch: int) -> dict[str, float]:
        """Each process takes some of the batches; a batch draws the same whoever takes it."""
        batches = self._batches(split)
        totals = torch.zeros(2, len(objective.terms), dtype=torch.float64, device=self._device)
        for index in range(self._processes.rank, len(batches), self._processes.world_size):
            images, labels = batches[index]
            generator = torch_generator(self._seed, f"{split} batch {index}", epoch, self._device)
            for name, value in objective.validate(images, labels, generator=generator).items():
                # How many images a value is of: none have the terms that only training has.
                totals[:, objective.terms.index(name)] += len(images) * torch.stack(
                    [value, torch.ones_like(value)]
                )
        self._processes.all_reduce_sum(totals)
        pairs = zip(objective.terms, *totals.tolist(), strict=True)
        return {name: total / number for name, total, number in pairs if number}

    def _choose(
        self, dataset: PreparedDataset, split: str, condition: Condition
    ) -> tuple[Tensor, Tensor]:
        """Images as uint8 and labels as float, on the device."""
        images = dataset.images(split)
        rows = numpy_generator(self._seed, f"monitored {split}").permutation(len(images))[
            :MOST_IMAGES
        ]
        labels = torch.from_numpy(label_vectors(dataset, split, condition)[rows])
        return torch.from_numpy(np.array(images[rows])).to(self._device), labels.to(
            self._device, torch.float32
        )

    def _batches(self, split: str) -> list[tuple[Tensor, Tensor]]:
        parts = (tensor.split(BATCH_SIZE) for tensor in self._splits[split])
        return [(to_model(images), labels) for images, labels in zip(*parts, strict=True)]


def troubles(values: Values, *, latent_dim: int, has_prior: bool = True) -> list[str]:
    """What is going wrong by an epoch's values, a sentence for each sign."""
    found = []
    diversity = values.get("diversity")
    if has_prior and diversity is not None and diversity < LOW_DIVERSITY:
        found.append(
            f"mode collapse: samples differ from each other by {diversity:.0%} of what real images differ by"
        )
    accuracies = [values.get(f"accuracy_{kind}") for kind in ("real", "fake")]
    if all(accuracy is not None and accuracy >= SATURATED_ACCURACY for accuracy in accuracies):
        found.append(
            "saturated discriminator: it is hardly ever wrong, and the generator learns little from it"
        )
    units = values.get("active_units")
    if units is not None and units < MIN_ACTIVE_FRACTION * latent_dim:
        found.append(
            f"posterior collapse: {units:.0f} of {latent_dim} latent units carry anything of the image"
        )
    return found


def _mean_distance(images: Tensor, labels: Tensor) -> float:
    """The mean Euclidean distance between two images of the same label; without labels, between any two."""
    alike = (labels[:, None] == labels[None]).all(dim=2).fill_diagonal_(False)
    if not bool(alike.any()):
        return 0.0
    return float(torch.cdist(images.flatten(1), images.flatten(1))[alike].mean())
