"""Synthetic arrays of evaluation and exploration: blurred blobs, placed and colored by class."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Facts = dict[str, Any]

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIGMAS = [0.1, 0.5, 1.0, 1.5, 2.0]
POINTS = 8


class Imagination:
    """Draws of one model; `shared` ones are the same for all models."""

    def __init__(self, seed: int, *, side: int, channels: int) -> None:
        self.random = np.random.default_rng([seed, 1])
        self.shared = np.random.default_rng(9)
        self.side = side
        self.channels = channels

    def blobs(
        self, *leading: int, labels: Array | None = None, shared: bool = False, blur: float = 1.0
    ) -> Array:
        """uint8 (*leading, side, side, channels); `labels` broadcasts against the leading axes."""
        random = self.shared if shared else self.random
        label = np.broadcast_to(
            random.integers(0, 10, leading) if labels is None else labels, leading
        )
        angle = 2 * np.pi * label / 10 + random.normal(0, 0.2, leading)
        across = np.linspace(-1, 1, self.side)
        x, y = (across - 0.5 * f(angle)[..., None] for f in (np.cos, np.sin))
        width = blur * random.uniform(0.03, 0.15, leading)[..., None, None]
        bumps = np.exp(-(x[..., None, :] ** 2 + y[..., :, None] ** 2) / width)
        tint = 0.55 + 0.45 * np.cos(angle[..., None] + np.array([0.0, 2.1, 4.2])[: self.channels])
        tint = tint if self.channels > 1 else np.ones_like(tint)
        noise = random.normal(0, 0.02, (*bumps.shape, 1))
        return (
            255 * np.clip(0.08 + bumps[..., None] * tint[..., None, None, :] + noise, 0, 1)
        ).astype(np.uint8)


def examined(
    see: Imagination,
    *,
    discriminates: bool,
    has_likelihood: bool,
    probabilities: bool,
    conditional: bool,
    classes: list[str],
) -> tuple[Facts, Facts]:
    """Arrays of evaluation, and what metrics.json says of them."""
    number = len(classes)
    labels = see.random.integers(0, 10, 16)
    arrays: Facts = {
        "memorization_samples": see.blobs(16, labels=labels),
        "memorization_nearest": see.blobs(16, 3, labels=labels[:, None]),
        "memorization_distances": see.random.uniform(1, 3, (16, 3)).astype(np.float32),
    }
    memory = {
        "extractor": "classifier",
        "num_samples": 5000,
        "num_training": 10_000,
        "median_distance": 2.5,
    }
    memory |= {"copied": 0.02}
    facts: Facts = {"memorization": memory | {"warning": "" if conditional else "It copies."}}
    if number:
        arrays["class_samples"] = see.blobs(number, 10, labels=np.arange(number)[:, None])
        arrays["class_counts"] = np.array([10] * (number - 1) + [4])
        facts["classes_by"] = "requested" if conditional else "predicted"
        facts["classes"] = [
            {
                "name": name,
                "num_samples": 400 + 20 * place,
                "label_accuracy": 0.9 - 0.02 * place if conditional else None,
                "label_accuracy_std": 0.01 if conditional else None,
                "diversity": 10.0 - 0.3 * place,
                "real_diversity": 12.0,
            }
            for place, name in enumerate(classes)
        ]
    if discriminates:
        for place, name in enumerate(("train", "test", "generated")):
            arrays[f"scores_{name}"] = see.random.normal(1.0 - place**2 / 2, 1.0, 1000).astype(
                np.float32
            )
        for kind in ("real", "generated"):
            sign = 1 if kind == "real" else -1
            scores = sign * np.array([[6, 5, 4, 3, 2], [0, 0.1, -0.1, 0.2, 0.3], [-3, -2, 1, 2, 3]])
            arrays[f"judged_{kind}"] = see.blobs(3, 5)
            arrays[f"judged_{kind}_scores"] = scores.astype(np.float32)
        rows = [_judged(name, 0.03 * place) for place, name in enumerate(["all", *classes])]
        facts["discriminator"] = {
            "threshold": 0.0,
            "estimates_probability": probabilities,
            "all": rows[0],
            "classes": rows[1:],
        }
    if has_likelihood:
        facts["likelihood"] = {"num_images": 100, "num_draws": 500, "bounds": [_bounds()]}
    return arrays, facts


def _bounds() -> Facts:
    row: Facts = {"prior": "standard", "gap_nats": 2.75, "gap_nats_std_error": 0.0625}
    for name, nats in (("elbo", -730.25), ("bound", -727.5)):
        row |= {f"{name}_nats": nats, f"{name}_nats_std_error": 1.5}
        row[f"{name}_bits_per_dimension"] = 7 - nats / 710
        row[f"{name}_bits_per_dimension_std_error"] = 0.002
    return row


def _judged(name: str, less: float) -> Facts:
    return {
        "name": name,
        "num_real": 500,
        "num_generated": 500,
        "accuracy": 0.8 - less,
        "predicted_fake": 0.55,
        "false_positives": 0.15 + less,
        "false_negatives": 0.25 + less,
    }


def explored(
    see: Imagination, *, encodes: bool, conditional: bool, classes: list[str]
) -> tuple[Facts, Facts]:
    """Arrays of exploration, and what explore.json says of them."""
    parts = [
        _prior(see, encodes, conditional, classes),
        _reconstructed(see, encodes),
        _paths(see, classes),
    ]
    parts.append(_data(see, classes))
    if conditional:
        parts.append(_embeddings(see, classes))
    if encodes:
        parts.append(_codes(see, classes))
    arrays, facts = (
        {key: value for part in parts for key, value in part[place].items()} for place in (0, 1)
    )
    return arrays, facts


def interactive(
    see: Imagination, *, encodes: bool, conditional: bool, classes: list[str]
) -> tuple[Facts, Facts]:
    """Arrays of the figures with a slider, and what explore.json says of them."""
    positions = np.linspace(-3, 3, 5)
    arrays: Facts = {
        "plane": see.blobs(2, 5, 5, labels=np.arange(5)),
        "plane_real": see.blobs(1, labels=np.array([3]), shared=True)[0],
        "path": see.blobs(6, 5, labels=np.arange(6)[:, None]),
    }
    facts: Facts = {"plane_positions": positions.tolist(), "plane_label": ""}
    if encodes:
        arrays["plane_codes"] = see.random.normal(size=(600, 2)).astype(np.float32)
        arrays["plane_labels"] = see.random.integers(0, 10, 600) if classes else np.full(600, -1)
        arrays["directions"] = see.blobs(6, 4, 5, labels=np.arange(6)[:, None, None])
    elif classes and not conditional:
        arrays["directions"] = see.blobs(2, 4, 5, labels=np.arange(2)[:, None, None])
        facts["class_directions"] = [
            {"class": name, "accuracy": 0.9, "base_rate": 0.8} for name in classes[:2]
        ]
    if conditional:
        facts["plane_label"] = classes[1]
        facts["mixes"] = [
            {"from": classes[0], "to": classes[1]},
            {"from": classes[0], "to": classes[2]},
        ]
        arrays["mixes"] = see.blobs(2, 2, 5, labels=np.arange(2)[:, None, None])
    return arrays, facts


def denoising(see: Imagination) -> tuple[Facts, Facts]:
    """Return the path of three latents from noise to image in 10 steps."""
    labels = np.array([[1], [4], [7]])
    arrays = {
        "denoising_states": see.blobs(3, 9, labels=labels, blur=3.0),
        "denoising_estimates": see.blobs(3, 9, labels=labels),
    }
    facts: Facts = {
        "times": np.linspace(1, 0, 9).tolist(),
        "steps": 10,
        "loss_times": [0.0, 0.5, 1.0],
        "loss_of_pixels": [0.9, 0.7, 0.4],
    }
    return arrays, {"denoising": facts}


def ode(see: Imagination) -> tuple[Facts, Facts]:
    """Return errors of eight images that fall with the square of the steps."""
    steps = [2, 5, 10, 20, 40]
    spread = see.random.lognormal(0, 0.3, 8)[:, None]
    errors = 0.01 * spread / np.square(steps)
    return {"ode_error": errors}, {"method": "ODE", "ode_steps": steps}


def _data(see: Imagination, classes: list[str]) -> tuple[Facts, Facts]:
    """Images of the dataset: three of the second class; without classes an unfilled last row."""
    counts = [3 if place == 1 else 400 for place in range(len(classes))] or [40]
    labels = np.arange(len(counts)) % 10
    arrays = {
        "data_samples": see.blobs(
            len(counts), 8 if classes else 40, labels=labels[:, None], shared=True
        ),
        "data_means": see.blobs(len(counts), labels=labels, blur=3.0, shared=True),
    }
    facts = {
        "name": "glyphs",
        "source": "glyphs",
        "image_size": see.side,
        "channels": see.channels,
        "images": {"train": sum(counts), "test": 50 * len(counts)},
        "classes": [
            {"name": name, "train": number, "test": 50}
            for name, number in zip(classes, counts, strict=False)
        ],
        "attributes": [{"name": "Wearing_Hat", "train": 0.25, "test": 0.2}],
        "num_averaged": counts,
    }
    return arrays, {"data": facts}


def pictured(
    see: Imagination, epochs: list[int], *, columns: int
) -> tuple[dict[int, Array], Array]:
    """Grids of samples by epoch, 8 rows with gaps of 2 pixels, and rows of 8 reconstructions."""
    step = see.side + 2
    mosaics = {}
    for epoch in epochs:
        image_grid = np.full((8 * step - 2, columns * step - 2, see.channels), 255, np.uint8)
        images = see.blobs(8, columns, labels=np.arange(columns) % 10, blur=1 + 4 / epoch)
        for row, column in np.ndindex(8, columns):
            image_grid[
                row * step : row * step + see.side, column * step : column * step + see.side
            ] = images[row, column]
        mosaics[epoch] = image_grid
    rows = see.blobs(1 + max(epochs), 8, labels=np.arange(8))
    return mosaics, rows.swapaxes(1, 2).reshape(-1, 8 * see.side, see.channels)


def _prior(
    see: Imagination, encodes: bool, conditional: bool, classes: list[str]
) -> tuple[Facts, Facts]:
    titles = classes if conditional else ["zero vector", *(classes if encodes else [])]
    labels = np.arange(10)
    arrays = {
        "samples": see.blobs(64),
        "truncated": np.stack(
            [see.blobs(10, labels=labels, blur=1 + 0.3 * row) for row in range(4)]
        ),
        "means": see.blobs(len(titles), labels=np.arange(len(titles)), blur=2.0),
        "noise_latent": np.stack([see.blobs(10, labels=labels, blur=2 - s / 2) for s in SIGMAS]),
    }
    facts = {
        "truncations": [None, 2.0, 1.0, 0.5],
        "means": titles,
        "means_source": "zero vector",
        "sigmas": SIGMAS,
        "label_names": classes if conditional else [],
    }
    return arrays, facts


def _reconstructed(see: Imagination, encodes: bool) -> tuple[Facts, Facts]:
    scales = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0]
    labels = np.arange(16) % 10
    worst = np.linspace(0.09, 0.05, 6)
    arrays = {
        "reconstruction_real": see.blobs(16, labels=labels, shared=True),
        "reconstruction_decoded": see.blobs(16, labels=labels, blur=1.5),
        "best_real": see.blobs(6, labels=labels[:6]),
        "best_decoded": see.blobs(6, labels=labels[:6]),
        "best_errors": np.linspace(0.001, 0.002, 6),
        "worst_real": see.blobs(6, labels=labels[:6]),
        "worst_decoded": see.blobs(6, labels=labels[6:12]),
        "worst_errors": worst,
        "scaled_real": see.blobs(6, labels=labels[:6], shared=True),
        "scaled": see.blobs(6, len(scales), labels=labels[:6, None]),
    }
    number = 1000 if encodes else 64
    quality = {
        "train": {"mse": 0.010, "psnr": 20.1, "ssim": 0.81},
        "test": {"mse": 0.012, "psnr": 19.2, "ssim": 0.78},
    }
    for split, values in quality.items():
        arrays |= {f"{split}_{name}": np.full(number, value) for name, value in values.items()}
    facts: Facts = {
        "method": "encoding" if encodes else "inversion",
        "reconstruction": {
            split: {"num_images": number} | values for split, values in quality.items()
        },
        "scales": scales,
    }
    if not encodes:
        steps = np.arange(201)
        spread = see.random.lognormal(0, 0.3, 64)[:, None]
        arrays["inversion_error"] = spread * (
            0.012 + 0.2 * np.exp(-steps / (20 + 20 * see.random.uniform()))
        )
        facts |= {"inversion_starts": 512, "inversion_steps": steps.tolist()}
    return arrays, facts


def _paths(see: Imagination, classes: list[str]) -> tuple[Facts, Facts]:
    pairs = 6
    ends = np.array([[0, 0], [3, 3], [5, 5], [0, 1], [2, 7], [4, 9]]) % (len(classes) or 10)
    arrays: Facts = {"interpolation_real": see.blobs(pairs, 2, labels=ends, shared=True)}
    along = np.linspace(0, 1, POINTS)
    for kind, height in (("linear", 1.2), ("spherical", 0.5)):
        labels = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * along
        arrays[f"interpolation_{kind}"] = see.blobs(pairs, POINTS, labels=labels)
        bow = height * np.sin(np.pi * along)
        arrays[f"interpolation_{kind}_distance"] = (
            1 + bow + see.random.normal(0.2, 0.1, (pairs, POINTS))
        )
        if classes:
            shares = np.full((pairs, POINTS, len(classes)), 0.01)
            turn = 1 / (1 + np.exp(-12 * (along - see.random.uniform(0.4, 0.6))))
            for pair, (first, last) in enumerate(ends):
                shares[pair, :, first] += 0.9 * (1 - turn)
                shares[pair, :, last] += 0.9 * turn
            arrays[f"interpolation_{kind}_classes"] = shares
    described = []
    for pair, (a, b) in enumerate(ends):
        facts = {"from": classes[a] if classes else "", "to": classes[b] if classes else ""}
        for kind in ("linear", "spherical"):
            path = arrays[f"interpolation_{kind}_distance"][pair]
            facts[kind] = {"middle": float(path[POINTS // 2]), "farthest": float(path.max())}
        path = arrays["interpolation_linear_distance"][pair]
        facts |= {"mse": 0.01 + 0.001 * pair, "ends": float(path[[0, -1]].mean())}
        described.append(facts)
    return arrays, {"pairs": described, "class_names": classes}


def _embeddings(see: Imagination, classes: list[str]) -> tuple[Facts, Facts]:
    arrays = {
        "noise_embedding": np.stack(
            [see.blobs(len(classes), labels=np.arange(len(classes))) for _ in SIGMAS]
        ),
        "random_embedding": see.blobs(8, 10, labels=np.arange(8)[:, None]),
    }
    described = [
        {
            "nearest": classes[place],
            "distance": 0.5 + place / 10,
            "predicted": {classes[place]: 0.7, classes[-1]: 0.3},
        }
        for place in range(8)
    ]
    return arrays, {"random_embeddings": described, "embedding_agreement": 0.7}


def _codes(see: Imagination, classes: list[str]) -> tuple[Facts, Facts]:
    number = 600
    labels = see.random.integers(0, 10, number)
    angle = 2 * np.pi * labels / 10
    centers = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    variance = np.exp(-np.arange(32) / 4)
    arrays = {
        "projection_pca": (centers + see.random.normal(0, 0.5, (number, 2))).astype(np.float32),
        "projection_tsne": (30 * centers + see.random.normal(0, 5, (number, 2))).astype(np.float32),
        "projection_labels": labels if classes else np.full(number, -1),
        "variance_per_dimension": see.random.permutation(variance),
        "kl_per_dimension": see.random.permutation(3 * variance),
        "directions": see.blobs(6, 4, 7, labels=np.arange(6)[:, None, None]),
    }
    attributes = ["Smiling", "Eyeglasses", "Male", "Wearing_Lipstick", "Blond_Hair", "No_Beard"]
    facts = {
        "pca_variance": [0.21, 0.12],
        "active_units": int((variance > 0.01).sum()),
        "active_variance": 0.01,
        "directions": [
            {"attribute": name, "accuracy": 0.9 - place / 50, "base_rate": 0.6}
            | _walked(attributes, name)
            for place, name in enumerate(attributes)
        ],
        "direction_steps": [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0],
    }
    return arrays, facts


def _walked(attributes: list[str], along: str) -> Facts:
    """Shares that rise by 80 points for the own attribute, and by ±6 for the others."""
    steps = np.linspace(0, 1, 7)
    seen = {
        name: (0.1 + 0.8 * steps if name == along else 0.5 + 0.06 * (-1) ** place * steps).tolist()
        for place, name in enumerate(attributes)
    }
    return {"num_images": 100, "predicted": seen}
