"""What checkpoints generate: 8-bit images and their features, which are kept for the next run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentbench.artifacts.dependencies import FEATURE_SOURCES, sources_sha256
from latentbench.artifacts.files import file_sha256
from latentbench.artifacts.paths import checkpoint_path
from latentbench.artifacts.progress import track
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.images import to_uint8
from latentbench.errors import DivergenceError
from latentbench.evaluation.cache import FeatureCache, key_of
from latentbench.evaluation.checkpoints import TrainedModel, load_checkpoint
from latentbench.evaluation.features import FeatureExtractor, require_finite
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.models.objective import draw_latents
from latentbench.rng import torch_generator
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup


@dataclass(frozen=True)
class SampleSet:
    """One seed's samples of a checkpoint: latents (number, latent_dim) and labels (number, num_labels) on the CPU, and
    by extractor the features (number, dim) on the device."""

    latents: Tensor
    labels: Tensor
    features: dict[str, Tensor]


class Samples:
    """Samples of one experiment. All its checkpoints decode the same latents."""

    def __init__(  # noqa: PLR0913
        self,
        config: ExperimentConfig,
        results: Path,
        *,
        reference: ReferenceManifest,
        extractors: Mapping[str, FeatureExtractor],
        cache: FeatureCache,
        device: torch.device,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.config = config
        self.settings = config.evaluation
        self.results = results
        self.reference = reference
        self.extractors = extractors
        self.cache = cache
        self.device = device
        self.processes = processes
        self.sources = sources_sha256(FEATURE_SOURCES)

    def load(self, epoch: int) -> TrainedModel:
        digest = self.reference.data_digest
        return load_checkpoint(
            self.config, self.results, epoch, device=self.device, data_digest=digest
        )

    def draw(self, trained: TrainedModel, epoch: int, seed_index: int) -> SampleSet:
        """One seed's samples; the features are decoded and computed only where the cache has none.

        Latents and labels are drawn at once, on the CPU: neither the batch size nor the device changes one. Labels
        are as frequent as in the training data, which the samples are compared with. Where there are several
        processes, each makes this call, and computes the features of some of the batches.
        """
        number = self.settings.num_samples
        generator = torch_generator(self.config.seed, "evaluation", seed_index)
        latents = draw_latents(number, trained.objective.latent_dim, generator)
        labels = trained.labels.sample(number, generator)
        checkpoint = file_sha256(checkpoint_path(self.results, epoch))
        keys = {name: self._key(checkpoint, name, seed_index) for name in self.extractors}
        kept = {
            name: self.cache.read(keys[name], shape=(number, extractor.dim))
            for name, extractor in self.extractors.items()
        }
        found = {
            name: torch.from_numpy(features)
            for name, features in kept.items()
            if features is not None
        }
        missing = [name for name in self.extractors if name not in found]
        self.processes.barrier()  # all have looked before one of them writes
        if missing:
            computed = self._features(missing, trained, latents, labels, epoch)
            for name, features in computed.items():
                if self.processes.is_first:
                    self.cache.write(keys[name], features.numpy())
            found |= computed
        return SampleSet(
            latents, labels, {name: found[name].to(self.device) for name in self.extractors}
        )

    def images(
        self, trained: TrainedModel, latents: Tensor, labels: Tensor, epoch: int
    ) -> Iterator[Tensor]:
        """Batches of uint8 images (batch, height, width, channel): 8 bits, as a user would save them.

        Raises DivergenceError where a pixel is not finite.
        """
        if not len(latents):
            return
        size = self.settings.batch_size
        inputs = zip(latents.split(size), labels.split(size), strict=True)
        for latent, label in track(
            inputs,
            f"{self.config.name}, epoch {epoch}",
            total=-(-len(latents) // size),
            unit="batches",
        ):
            images = trained.objective.sample(latent.to(self.device), label.to(self.device))
            if not bool(torch.isfinite(images).all()):
                raise DivergenceError(
                    f"{checkpoint_path(self.results, epoch)} generates infinite or NaN pixels: its training "
                    "diverged; train the experiment again with a lower learning rate."
                )
            yield to_uint8(images)

    def _features(
        self, names: list[str], trained: TrainedModel, latents: Tensor, labels: Tensor, epoch: int
    ) -> dict[str, Tensor]:
        """Of the samples, float32 (number, dim) on the CPU by extractor, filled batch by batch.

        Batches are the same whichever process computes them, and so are the features.
        """
        kept = {name: torch.zeros(len(latents), self.extractors[name].dim) for name in names}
        batches = torch.arange(len(latents)).split(self.settings.batch_size)
        own = batches[self.processes.rank :: self.processes.world_size]
        rows = torch.cat(own) if own else torch.arange(0)
        for batch, images in zip(
            own, self.images(trained, latents[rows], labels[rows], epoch), strict=True
        ):
            for name in names:
                features = self.extractors[name](images)
                require_finite(features, self.extractors[name])
                kept[name][batch] = features.cpu()
        for features in kept.values():
            self.processes.all_reduce_sum(features)  # each row is zero in all but one
        return kept

    def _key(self, checkpoint: str, extractor: str, seed_index: int) -> str:
        """Of whatever decides the features' bits."""
        return key_of(
            {
                "checkpoint": checkpoint,
                "extractor": [
                    self.reference.extractors[extractor].sha256,
                    self.extractors[extractor].protocol,
                ],
                "seed": [self.config.seed, seed_index],
                "num_samples": self.settings.num_samples,
                "batch_size": self.settings.batch_size,
                "device": self.device.type,
                "threads": self.config.compute.threads,
                "torch": torch.__version__,
                "sources": self.sources,
            }
        )
