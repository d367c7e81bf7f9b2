"""Training batches from uint8 images in memory."""

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
    """Batches of the training split in an order that depends on (seed, epoch) only.

    The images stay uint8. They are on the device if they fit into half of its free memory, else
    on the host. Batches are gathered, flipped and converted on the device. The last batch of an
    epoch is dropped if it is smaller than the others, because batch norm would treat it
    differently.
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
                f"{dataset.folder} has {len(images)} training images, fewer than "
                f"training.batch_size ({batch_size}). Lower training.batch_size."
            )
        self.batch_size = batch_size
        self.flip = flip
        self.seed = seed
        self.device = device
        self.processes = processes
        self.steps_per_epoch = len(images) // batch_size
        self._images = self._load_images(dataset.folder / images_name("train"))
        self._labels = torch.from_numpy(label_vectors(dataset, "train", condition)).to(
            self._images.device
        )
        self._order = torch.empty(0)
        self._order_epoch = -1

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return this process's shard of a batch; steps count from 0 over all epochs.

        Returns:
            Images, float (shard, channel, height, width) in [-1, 1], and labels, float
            (shard, num_labels) of 0 and 1.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._order_epoch:
            order = numpy_generator(self.seed, "order", epoch).permutation(len(self._images))
            self._order = torch.from_numpy(order).to(self._images.device)
            self._order_epoch = epoch
        batch_rows = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        rows = self.processes.local_shard(batch_rows)
        images = to_model(self._to_device(self._images[rows]))
        if self.flip:
            # Drawn for the whole batch, so that the shards of several processes match it.
            size = (len(batch_rows), 1, 1, 1)
            is_flipped = torch.rand(size, generator=generator, device=self.device) < 0.5
            images = torch.where(self.processes.local_shard(is_flipped), images.flip(3), images)
        return images, self._to_device(self._labels[rows]).float()

    def _to_device(self, rows: Tensor) -> Tensor:
        # MPS reads the host's memory later, when it may have other contents.
        return rows.to(self.device, non_blocking=self.device.type == "cuda")

    def _load_images(self, path: Path) -> Tensor:
        # Copy-on-write memory: torch warns about read-only memory, and nothing writes to it.
        images = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            if images.nbytes < free / 2:
                return images.to(self.device)
        return images


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the generator of all random numbers of one training step."""
    return torch_generator(seed, "training", step, device)
