"""Batches of real images from uint8 data held on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import images_name
from latentbench.data.images import to_model
from latentbench.data.labels import Condition, label_vectors
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.rng import numpy_generator, torch_generator
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup


class Batches:
    """The training split in an order that depends on (seed, epoch) alone.

    The images stay uint8, on the device where they fit into half of its free memory and on the host otherwise;
    a batch is gathered, mirrored and converted on the device. The last batch of an epoch is dropped where it
    would be smaller, because batch norm would see it differently.
    """

    def __init__(  # noqa: PLR0913
        self,
        dataset: PreparedDataset,
        *,
        condition: Condition,
        batch_size: int,
        flip: bool,
        seed: int,
        device: torch.device,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        images = dataset.images("train")
        if len(images) < batch_size:
            raise DataError(
                f"{dataset.folder} has {len(images)} training images, fewer than training.batch_size "
                f"({batch_size}); lower it."
            )
        self.batch_size = batch_size
        self.flip = flip
        self.seed = seed
        self.device = device
        self.processes = processes
        self.steps_per_epoch = len(images) // batch_size
        self._images = self._place(dataset.folder / images_name("train"))
        self._labels = torch.from_numpy(label_vectors(dataset, "train", condition)).to(
            self._images.device
        )
        self._order = torch.empty(0)
        self._order_epoch = -1

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The images and labels of a step, counted from 0 over all epochs: this process's share of them.

        Float (batch, channel, height, width) in [-1, 1] and (batch, num_labels) of 0 and 1.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._order_epoch:
            order = numpy_generator(self.seed, "order", epoch).permutation(len(self._images))
            self._order = torch.from_numpy(order).to(self._images.device)
            self._order_epoch = epoch
        whole = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        chosen = self.processes.local_shard(whole)
        images = to_model(self._images[chosen].to(self.device, non_blocking=True))
        if self.flip:
            mirrored = (
                torch.rand(len(whole), 1, 1, 1, generator=generator, device=self.device) < 0.5
            )
            images = torch.where(self.processes.local_shard(mirrored), images.flip(3), images)
        labels = self._labels[chosen].to(self.device, torch.float32, non_blocking=True)
        return images, labels

    def _place(self, path: Path) -> Tensor:
        # Copy-on-write: torch wants memory that it could write, and nothing ever does.
        images = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            if images.nbytes < free / 2:
                return images.to(self.device)
        return images


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """All randomness of one training step."""
    return torch_generator(seed, "training", step, device)
