"""GANs on few images: the distance to unseen images and the share of copies, as training goes on.

    snakemake -j1 --configfile benchmarks/few_images.yaml -- data/prepared/faces-300 \
        data/reference/faces-1500
    python benchmarks/few_images.py data --train faces-300 --reference faces-1500

Each row is one training of a DCGAN without and with augmentation. The Fréchet distance is to the
test images, over the classifier of the reference. A sample counts as a copy as in the report: it is
closer to a training image than 95 % of the test images are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import test_features_name
from latentbench.config.base import Compute
from latentbench.config.models import DCGANModel
from latentbench.data.image_grid import image_grid, write_png
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.features.extract import FeatureExtractor, extract_features
from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.memorization import Memorization
from latentbench.models.networks.architectures import Shape
from latentbench.models.objective import Objective, draw_latents
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator
from latentbench.runtime.device import move_network, prepare_compute
from latentbench.training.batches import Batches, step_generator

OPERATIONS = ["color", "translation", "cutout"]
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "augment": {"augment": OPERATIONS},
    "adaptive": {
        "augment": OPERATIONS,
        "augment_target": 0.6,
        "augment_ramp_images": 20_000,
    },
    "r1": {"r1_weight": 1.0},
}
MODEL = {"name": "dcgan", "latent_dim": 64, "learning_rate": 1e-3, "ema_decay": 0.995}
BATCH = 32
SAMPLES = 1_500
CHUNK = 250
GRID = 64


def main() -> None:
    """Train each variant with each seed, and print a row per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="Folder with prepared/ and reference/.")
    parser.add_argument("--train", default="faces-300")
    parser.add_argument("--reference", default="faces-1500")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--every", type=int, default=1_000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--grids", type=Path, help="Folder for grids of samples.")
    options = parser.parse_args()
    device = prepare_compute(Compute(device="cpu"))
    dataset = PreparedDataset.open(options.data / "prepared" / options.train)
    folder = options.data / "reference" / options.reference
    reference = ReferenceManifest.read(folder)
    extractor = reference.load_extractor("classifier", folder, device=device)
    unseen = torch.from_numpy(np.load(folder / test_features_name("classifier")))
    seen = torch.cat(list(extract_features(extractor, dataset.images("train"))))
    measure = Measurement(extractor, seen, unseen)
    print(f"{len(seen)} training images against {len(unseen)} unseen: {measure.row(seen)}")
    for seed in options.seeds:
        for variant in options.variants:
            train(dataset, measure, variant, seed, options)


class Measurement:
    """What is measured of the features of samples."""

    def __init__(self, extractor: FeatureExtractor, seen: Tensor, unseen: Tensor) -> None:
        self.extractor = extractor
        self.unseen = compute_feature_stats(unseen.double())
        self.seen = compute_feature_stats(seen.double())
        self.memorization, _ = Memorization.from_test_features(seen.numpy(), unseen)

    def row(self, features: Tensor) -> str:
        """Return the distances to unseen and training images, and the share of copies."""
        stats = compute_feature_stats(features.double())
        copied = self.memorization.copied(self.memorization.nearest(features)[0][:, 0])
        return (
            f"FD unseen {frechet_distance(self.unseen, stats):.2f}, "
            f"FD training {frechet_distance(self.seen, stats):.2f}, copies {copied:.3f}"
        )


def train(
    dataset: PreparedDataset,
    measure: Measurement,
    variant: str,
    seed: int,
    options: argparse.Namespace,
) -> None:
    """Train one model and print a row every so many steps."""
    device = torch.device("cpu")
    config = DCGANModel(**MODEL, width=options.width, **VARIANTS[variant])
    manifest = dataset.manifest
    shape = Shape(manifest.image_size, manifest.channels)
    objective = move_network(build_objective(config, shape, seed=seed), device)
    objective.make_optimizers()
    objective.train()
    batches = Batches(
        dataset, condition=None, batch_size=BATCH, flip=False, seed=seed, device=device
    )
    started, terms, right = time.process_time(), {}, []
    for step in range(options.steps):
        generator = step_generator(seed, step, device)
        images, labels = batches.batch(step, generator)
        terms = objective.step(images, labels, step=step, generator=generator)
        right.append(terms["accuracy_real"].item())
        if (step + 1) % options.every == 0:
            objective.eval()
            images = _samples(objective, seed)
            accuracy = [_accuracy(objective, dataset, split) for split in ("train", "test")]
            objective.train()
            features = torch.cat(list(extract_features(measure.extractor, images)))
            strength = terms.get("augment_probability", torch.tensor(float(bool(config.augment))))
            print(
                f"{variant}, seed {seed}, step {step + 1}, {(step + 1) * BATCH:,} images: "
                f"{measure.row(features)}; right on training {accuracy[0]:.2f}, unseen "
                f"{accuracy[1]:.2f}, in training {np.mean(right[-200:]):.2f}; p {strength:.2f}; "
                f"{time.process_time() - started:.0f} s",
                flush=True,
            )
            if options.grids is not None:
                options.grids.mkdir(parents=True, exist_ok=True)
                name = f"{options.train}-{variant}-{seed}-{step + 1}.png"
                write_png(options.grids / name, image_grid(images[:GRID], columns=16))


def _samples(objective: Objective, seed: int) -> np.ndarray[Any, Any]:
    """Return samples as 8-bit images, (number, height, width, channel)."""
    latents = draw_latents(SAMPLES, objective.latent_dim, torch_generator(seed, "samples"))
    parts = []
    for chunk in latents.split(CHUNK):
        images = objective.sample(chunk, torch.zeros(len(chunk), 0))
        parts.append(((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1))
    return torch.cat(parts).numpy()


@torch.no_grad()
def _accuracy(objective: Any, dataset: PreparedDataset, split: str) -> float:
    """Return the share of real images of a split that the discriminator recognizes."""
    images = torch.from_numpy(np.array(dataset.images(split)[:300]))
    scores = objective.discriminate(
        images.permute(0, 3, 1, 2) / 127.5 - 1, torch.zeros(len(images), 0)
    )
    return float((scores > 0).float().mean())


if __name__ == "__main__":
    main()
