"""Principal directions: those in which codes, or the images of random latents, vary most."""

from __future__ import annotations

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from latentbench.data.image_grid import Images
from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.model_probe import ModelProbe

MAX_DIRECTIONS = 10
NUM_SAMPLES = 4_000
_CHUNK_SIZE = 1_000  # samples that are decoded at once
# On the plane of the first two directions, in standard deviations; the same for all models.
PLANE_POSITIONS = tuple(np.linspace(-3.0, 3.0, 17).tolist())
_MAX_SIDE = 16  # pixels per side of the images whose components are computed


def explore_principal(probe: ModelProbe) -> Findings:
    """Find the directions of the largest variance and the latent from which they start.

    `principal_directions` (directions, latent_dim) are one standard deviation long;
    `principal_mean` is (latent_dim,). With an encoder they are the principal components of the
    codes of test images and their mean. Without one they are the directions of latents along which
    samples move along their own principal components, found by linear regression as in Härkönen et
    al. (2020, section 2.2), and the mean of the latents. The codes of an ODE vary equally in all
    directions, so theirs are found by regression, too: on the principal components of test images.

    Test images have their positions on the plane of the first two directions in `plane_codes`
    (number, 2), in standard deviations, and their classes in `plane_labels`; see `decode_plane`.
    """
    if probe.has_encoder:
        rows = probe.projected_rows
        latents = probe.projected_codes.cpu().double().numpy()
        features = latents
        if probe.has_ode:
            features = coarse_pixels(probe.images("test", rows))
    else:
        drawn = probe.latents(NUM_SAMPLES, "principal directions")
        labels = probe.label_set.round_robin(NUM_SAMPLES).to(probe.device)
        chunks = zip(drawn.split(_CHUNK_SIZE), labels.split(_CHUNK_SIZE), strict=True)
        features = np.concatenate([coarse_pixels(probe.decode(*chunk)) for chunk in chunks])
        latents = drawn.cpu().double().numpy()
    with threadpool_limits(probe.threads):  # the number of threads changes the order of sums
        directions = principal_directions(latents, features)
    mean = latents.mean(axis=0)
    plane = np.zeros((2, latents.shape[1]))
    plane[: len(directions)] = directions[:2]
    found = decode_plane(probe, mean, plane)
    if probe.has_encoder:
        positions = positions_on(plane, latents - mean).astype(np.float32)
        labels_of_codes = probe.dataset.labels("test")[rows]
        found.interactive.update(plane_codes=positions, plane_labels=labels_of_codes)
    arrays = {
        "principal_directions": directions.astype(np.float32),
        "principal_mean": mean.astype(np.float32),
    }
    return Findings.merge([Findings(arrays), found])


def decode_plane(probe: ModelProbe, mean: Array, plane: Array) -> Findings:
    """Decode a grid on the plane of two directions (2, latent_dim), twice.

    `plane` is (2, second direction, first direction, height, width, channel). In all other
    directions the latents are first those of a real test image, `plane_real`, and then the mean
    (latent_dim,), where hardly any latent of N(0, I) is. Conditional models have the label of the
    image.
    """
    row = probe.shuffled_rows("test", "plane")[:1]
    image, label = probe.images("test", row), probe.labels("test", row)
    code = probe.encode_or_invert(image, label, "plane").cpu().double().numpy()
    rest = code - mean - positions_on(plane, code - mean) @ plane
    second, first = np.meshgrid(PLANE_POSITIONS, PLANE_POSITIONS, indexing="ij")
    around_mean = mean + np.stack([first, second], axis=-1) @ plane
    latents = torch.from_numpy(np.stack([around_mean + rest[0], around_mean])).float()
    images = probe.decode(latents.to(probe.device), label.expand(*latents.shape[:3], -1))
    description = probe.label_set.describe(label[0].int().tolist()) if probe.is_conditional else ""
    facts = {"plane_positions": list(PLANE_POSITIONS), "plane_label": description}
    return Findings(facts=facts, interactive={"plane": images, "plane_real": image[0]})


def positions_on(plane: Array, deviations: Array) -> Array:
    """Return the positions (number, 2) of deviations from the mean on a plane, in its directions.

    They are 0 along a direction without variance.
    """
    positions: Array = deviations @ np.linalg.pinv(plane)
    return positions


def principal_directions(latents: Array, features: Array) -> Array:
    """Return directions (at most 10, latent_dim) of latents, one standard deviation long.

    `latents` are (number, latent_dim), `features` (number, dimensions). Along direction k principal
    component k of the features grows: it is the regression of the latents on that component. Where
    the features are the latents, it is their principal component. Its largest entry is positive.
    Features without variance have no direction.
    """
    centered = features - features.mean(axis=0)
    variances, components = np.linalg.eigh(centered.T @ centered / len(centered))
    order = np.argsort(variances)[::-1][: min(MAX_DIRECTIONS, latents.shape[1])]
    varying = order[variances[order] > 1e-12 * max(variances[order[0]], 1e-12)]
    scores = centered @ components[:, varying]
    deviations = latents - latents.mean(axis=0)
    slopes = scores.T @ deviations / (scores**2).sum(axis=0)[:, None]
    units = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    largest = np.take_along_axis(units, np.abs(units).argmax(axis=1)[:, None], axis=1)
    units *= np.sign(largest)
    steps: Array = units * (deviations @ units.T).std(axis=0)[:, None]
    return steps


def coarse_pixels(images: Images) -> Array:
    """Return uint8 images as float64 (number, dimensions), averaged to at most 16×16 pixels.

    The components with the largest variance are smooth, so averages have them, too.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    side = min(_MAX_SIDE, pixels.shape[2])
    return F.adaptive_avg_pool2d(pixels, side).flatten(1).numpy()
