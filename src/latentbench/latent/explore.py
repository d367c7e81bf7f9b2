"""Samples, reconstructions and interpolations of an experiment's last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import write_array, write_json
from latentbench.artifacts.layout import EXPLORATION
from latentbench.artifacts.progress import say
from latentbench.config.experiments import ExperimentConfig
from latentbench.data.images import to_model, to_uint8
from latentbench.data.labels import label_vectors
from latentbench.data.mosaic import Images, mosaic, write_png
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.evaluation.checkpoints import Trained, load_checkpoint
from latentbench.latent.interpolation import interpolate
from latentbench.latent.inversion import invert
from latentbench.models.compute import prepare_compute
from latentbench.models.objective import Encodes, draw_latents
from latentbench.rng import numpy_generator, torch_generator

# Latents of the same seed begin alike whatever the model's dimension, so that models are shown for the same draw.
MOST_DIMENSIONS = 1024
STUDY_STREAM_SEED = 0


def explore_experiment(config: ExperimentConfig, data: Path, results: Path) -> None:
    """Write latent/*.npy, the pictures made of them and latent/explore.json, the last."""
    device = prepare_compute(config.compute)
    dataset = PreparedDataset.open(data)
    epoch = config.training.checkpoint_epochs[-1]
    trained = load_checkpoint(config, results, epoch, device=device)
    explorer = _Explorer(config, trained, dataset, device)
    folder = (results / EXPLORATION).parent
    (results / EXPLORATION).unlink(missing_ok=True)

    samples = explorer.sample()
    write_array(folder / "samples.npy", samples)
    write_png(folder / "samples.png", mosaic(samples, columns=8))

    say(f"{config.name}: reconstructing and interpolating by {explorer.method}.")
    settings = config.latent
    reals, labels = explorer.choose(explorer.num_reconstructions, "reconstruction")
    models = explorer.decode(explorer.codes(reals, labels, "reconstruction"), labels)
    write_array(folder / "reconstruction-real.npy", reals)
    write_array(folder / "reconstruction-model.npy", models)
    write_png(folder / "reconstruction.png", mosaic(np.concatenate([reals, models]), columns=len(reals)))

    ends, labels = explorer.choose(2 * explorer.num_pairs, "interpolation")
    paths = explorer.paths(ends, labels)
    write_array(folder / "interpolation-real.npy", ends.reshape(explorer.num_pairs, 2, *ends.shape[1:]))
    write_array(folder / "interpolation.npy", paths)
    write_png(folder / "interpolation.png", _with_ends(paths, ends))

    write_json(
        results / EXPLORATION,
        {
            "epoch": epoch,
            "seed": config.seed,
            "method": explorer.method,
            "interpolation": settings.interpolation,
        }
        | explorer.effort()
        | {"num_images": len(reals)}
        | reconstruction_error(reals, models),
    )


def reconstruction_error(reals: Images, models: Images) -> dict[str, float]:
    """Mean squared error in units of [0, 1], and its peak signal-to-noise ratio in dB, the mean over images."""
    squares = ((reals.astype(np.float64) - models.astype(np.float64)) / 255) ** 2
    errors = squares.reshape(len(reals), -1).mean(axis=1)
    # An exact copy would have no bound; half a level of 255 is as exact as 8 bits are.
    psnr = -10 * np.log10(np.maximum(errors, (0.5 / 255) ** 2))
    return {"mse": float(errors.mean()), "psnr": float(psnr.mean())}


class _Explorer:
    """One model beside the real images that it is asked about."""

    def __init__(
        self, config: ExperimentConfig, trained: Trained, dataset: PreparedDataset, device: torch.device
    ) -> None:
        self.settings = config.latent
        self.seed = config.seed
        self.objective = trained.objective
        self.kinds = trained.labels
        self.images = dataset.images("test")
        self.labels = label_vectors(dataset, "test", config.model.condition)
        self.device = device
        self.method = "encoding" if isinstance(self.objective, Encodes) else "inversion"
        # A small dataset is explored as far as it goes, rather than refused once the training is over.
        number = len(self.images)
        if number < 2:
            raise DataError(f"{dataset.folder} has {number} test images, but a path needs two ends; raise test_share.")
        self.num_reconstructions = min(self.settings.num_reconstructions, number)
        self.num_pairs = min(self.settings.num_pairs, number // 2)
        if self.num_reconstructions < self.settings.num_reconstructions or self.num_pairs < self.settings.num_pairs:
            say(f"There are {number} test images: fewer are reconstructed or joined by paths than was asked for.")

    def sample(self) -> Images:
        generator = torch_generator(STUDY_STREAM_SEED, "study samples")
        latents = draw_latents(self.settings.num_samples * MOST_DIMENSIONS, 1, generator)
        latents = latents.reshape(self.settings.num_samples, MOST_DIMENSIONS)[:, : self.objective.latent_dim]
        return self.decode(latents.to(self.device), self.kinds.cycle(len(latents)).to(self.device))

    def choose(self, number: int, purpose: str) -> tuple[Images, Tensor]:
        """Real test images, the same for all models of a study, and their labels."""
        order = numpy_generator(STUDY_STREAM_SEED, purpose).permutation(len(self.images))
        rows = np.sort(order[:number])
        return np.asarray(self.images[rows]), torch.from_numpy(self.labels[rows]).to(self.device, torch.float32)

    def codes(self, reals: Images, labels: Tensor, purpose: str) -> Tensor:
        images = to_model(torch.from_numpy(reals).to(self.device))
        if isinstance(self.objective, Encodes):
            with torch.no_grad():
                return self.objective.encode(images, labels)
        return invert(
            self.objective,
            images,
            labels,
            self.settings,
            generator=torch_generator(self.seed, f"inversion for {purpose}", device=self.device),
        )

    def decode(self, codes: Tensor, labels: Tensor) -> Images:
        images: Images = to_uint8(self.objective.sample(codes, labels)).cpu().numpy()
        return images

    def paths(self, ends: Images, labels: Tensor) -> Images:
        """(pairs, points, height, width, channel) between the codes of each two images, and between their labels."""
        num_points = self.settings.num_points
        codes = self.codes(ends, labels, "interpolation").unflatten(0, (-1, 2))
        points = interpolate(codes[:, 0], codes[:, 1], num_points=num_points, kind=self.settings.interpolation)
        asked = labels.unflatten(0, (-1, 2))
        # The embedding is linear in the label, so this is the straight line between two embeddings.
        asked = interpolate(asked[:, 0], asked[:, 1], num_points=num_points, kind="linear")
        images = self.decode(points.flatten(0, 1), asked.flatten(0, 1))
        return images.reshape(len(points), num_points, *images.shape[1:])

    def effort(self) -> dict[str, Any]:
        """What finding a code took."""
        if self.method == "encoding":
            return {}
        return {"starts": self.settings.inversion_starts, "steps": self.settings.inversion_steps}


def _with_ends(paths: Images, ends: Images) -> Images:
    """A row per pair: the real image, the path from its code, the other real image."""
    ends = ends.reshape(len(paths), 2, *ends.shape[1:])
    rows = np.concatenate([ends[:, :1], paths, ends[:, 1:]], axis=1)
    return mosaic(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
