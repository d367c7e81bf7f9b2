"""Samples of checkpoints: 8-bit images and their features, which are cached for the next run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from latentbench.artifacts.dependencies import FEATURE_SOURCES, sources_sha256
from latentbench.artifacts.files import file_sha256
from latentbench.artifacts.paths import checkpoint_path
from latentbench.artifacts.progress import track
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.models import PriorKind
from latentbench.data.images import to_uint8
from latentbench.errors import DivergenceError
from latentbench.evaluation.cache import FeatureCache, cache_key
from latentbench.evaluation.features.extract import FeatureExtractor, require_finite
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.inference.checkpoints import load_checkpoint
from latentbench.inference.model import Model
from latentbench.rng import torch_generator
from latentbench.runtime.device import float64_device
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup


@dataclass(frozen=True)
class SampleSet:
    """One seed's samples of a checkpoint.

    `latents` (number, latent_dim) and `labels` (number, num_labels) are on the CPU, the features
    (number, dim) of each extractor on `float64_device`, where metrics are computed.
    """

    latents: Tensor
    labels: Tensor
    features: dict[str, Tensor]


class Sampler:
    """Draws samples of one experiment.

    All its checkpoints decode the same latents from N(0, I). A fitted prior is the checkpoint's.
    """

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

    def load(self, epoch: int) -> Model:
        """Load the checkpoint of an epoch; it must be trained on the reference's dataset."""
        digest = self.reference.data_digest
        return load_checkpoint(
            self.config, self.results, epoch, device=self.device, data_digest=digest
        )

    def draw(self, trained: Model, epoch: int, seed_index: int, prior: PriorKind) -> SampleSet:
        """Draw one seed's samples, and compute the features that are not in the cache.

        `prior` is one of the model's: the distribution of the latents.
        Latents and labels are drawn at once on the CPU, so they depend neither on the batch size
        nor on the device. Labels have the frequencies of the training data. All processes of a
        group make this call, and each computes the features of its share of the batches.
        """
        number = self.settings.num_samples
        generator = torch_generator(self.config.seed, "evaluation", seed_index)
        latents = trained.priors[prior].sample(number, generator)
        labels = trained.label_set.sample(number, generator)
        checkpoint = file_sha256(checkpoint_path(self.results, epoch))
        keys = {}
        for name in self.extractors:
            keys[name] = self._key(trained, checkpoint, prior, name, seed_index)
        features: dict[str, Tensor] = {}
        for name, extractor in self.extractors.items():
            cached = self.cache.read(keys[name], shape=(number, extractor.dim))
            if cached is not None:
                features[name] = torch.from_numpy(cached)
        missing = [name for name in self.extractors if name not in features]
        self.processes.barrier()  # every process has read before the first one writes
        if missing:
            computed = self._compute_features(missing, trained, latents, labels, epoch)
            for name, values in computed.items():
                if self.processes.is_first:
                    self.cache.write(keys[name], values.numpy())
            features |= computed
        device = float64_device(self.device)
        on_device = {name: features[name].to(device) for name in self.extractors}
        return SampleSet(latents, labels, on_device)

    def decode(
        self, trained: Model, latents: Tensor, labels: Tensor, epoch: int
    ) -> Iterator[Tensor]:
        """Yield uint8 images (batch, height, width, channel), as image files would hold them.

        Raises:
            DivergenceError: A pixel is not finite.
        """
        if not len(latents):
            return
        size = self.settings.batch_size
        batches = track(
            zip(latents.split(size), labels.split(size), strict=True),
            f"{self.config.name}, epoch {epoch}",
            total=-(-len(latents) // size),
            unit="batches",
        )
        for latent, label in batches:
            images = trained.objective.sample(latent.to(self.device), label.to(self.device))
            if not bool(torch.isfinite(images).all()):
                raise DivergenceError(
                    f"{checkpoint_path(self.results, epoch)} generates infinite or NaN pixels: its "
                    "training diverged. Train the experiment again with a lower learning rate."
                )
            yield to_uint8(images)

    def _compute_features(
        self,
        names: Sequence[str],
        trained: Model,
        latents: Tensor,
        labels: Tensor,
        epoch: int,
    ) -> dict[str, Tensor]:
        """Return the samples' features, float32 (number, dim) on the CPU, by extractor.

        Batches do not depend on the number of processes, so the features do not either.
        """
        features = {name: torch.zeros(len(latents), self.extractors[name].dim) for name in names}
        batches = torch.arange(len(latents)).split(self.settings.batch_size)
        own = batches[self.processes.rank :: self.processes.world_size]
        rows = torch.cat(own) if own else torch.arange(0)
        decoded = self.decode(trained, latents[rows], labels[rows], epoch)
        for batch, images in zip(own, decoded, strict=True):
            for name in names:
                values = self.extractors[name](images)
                require_finite(values, self.extractors[name])
                features[name][batch] = values.cpu()
        for values in features.values():
            self.processes.all_reduce_sum(values)  # each row is zero in all processes but one
        return features

    def _key(
        self, trained: Model, checkpoint: str, prior: PriorKind, extractor: str, seed_index: int
    ) -> str:
        """Return the cache key, of everything that determines the features' bits."""
        facts = {
            "checkpoint": checkpoint,
            "prior": prior,
            "sampling": asdict(trained.sampling) if trained.sampling else None,
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
        return cache_key(facts)
