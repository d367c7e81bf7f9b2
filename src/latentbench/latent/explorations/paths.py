"""Interpolations between the codes of real images, and how realistic the images along them are."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from latentbench.evaluation.findings import Array, Findings
from latentbench.evaluation.metrics.image_quality import mean_squared_errors
from latentbench.inference.interpolation import PATHS, interpolate
from latentbench.latent.model_probe import ModelProbe

FINE_POINTS = 17  # along the path of a slider, both ends included


def explore_paths(probe: ModelProbe) -> Findings:
    """Decode linear and spherical paths, within classes first and then between classes.

    Conditional models interpolate the label along with the code. The fact `pairs` has, per pair,
    the classes of both images, and how far the decoded images are from them (`mse`) and from the
    training images: `ends`, the mean of both ends, and `middle` and `farthest` of each path.
    """
    rows = choose_pairs(probe)
    ends = probe.images("test", rows.reshape(-1))
    labels = probe.labels("test", rows.reshape(-1))
    codes = probe.encode_or_invert(ends, labels, "interpolation").unflatten(0, (-1, 2))
    labels = labels.unflatten(0, (-1, 2))
    number = probe.settings.num_points
    # The embedding is linear in the label, so this interpolates embeddings linearly.
    path_labels = interpolate(labels[:, 0], labels[:, 1], num_points=number, kind="linear")
    arrays: dict[str, Any] = {"interpolation_real": ends.reshape(len(rows), 2, *ends.shape[1:])}
    pairs: list[dict[str, Any]] = [*_class_names(probe, rows)]
    for kind in PATHS:
        points = interpolate(codes[:, 0], codes[:, 1], num_points=number, kind=kind)
        images = probe.decode(points, path_labels)
        name = f"interpolation_{kind}"
        distances = probe.realism.distances(images)
        arrays[name] = images
        arrays[f"{name}_distance"] = distances
        probabilities = probe.realism.class_probabilities(images)
        if probabilities is not None:
            arrays[f"{name}_classes"] = probabilities
        for pair, path in zip(pairs, distances, strict=True):
            pair[kind] = path_distances(path)
    # Both kinds of path start and end at the same codes.
    decoded = arrays["interpolation_linear"][:, [0, -1]].reshape(ends.shape)
    errors = mean_squared_errors(ends, decoded).reshape(len(rows), 2).mean(axis=1)
    end_distances = arrays["interpolation_linear_distance"][:, [0, -1]].mean(axis=1)
    for place, pair in enumerate(pairs):
        pair["mse"], pair["ends"] = float(errors[place]), float(end_distances[place])
    return Findings(arrays, {"pairs": pairs}, {"path": _fine_path(probe, codes, labels)})


def _fine_path(probe: ModelProbe, codes: Tensor, labels: Tensor) -> Array:
    """Return images (pairs, FINE_POINTS, height, width, channel) along the spherical paths.

    `codes` are (pairs, 2, latent_dim), `labels` (pairs, 2, num_labels).
    """
    points = interpolate(codes[:, 0], codes[:, 1], num_points=FINE_POINTS, kind="spherical")
    path_labels = interpolate(labels[:, 0], labels[:, 1], num_points=FINE_POINTS, kind="linear")
    return probe.decode(points, path_labels)


def path_distances(distances: Array) -> dict[str, float]:
    """Return the distance in the middle of a path (points,), and the largest along it.

    With an even number of points the middle is the mean of the two central ones.
    """
    last = len(distances) - 1
    middle = distances[[last // 2, (last + 1) // 2]].mean()
    return {"middle": float(middle), "farthest": float(distances.max())}


def choose_pairs(probe: ModelProbe) -> Array:
    """Return test rows (pairs, 2), the same for all models of a study.

    With classes, the first half of the pairs are within a class.
    """
    order = probe.shuffled_rows("test", "interpolation")
    number = min(probe.settings.num_pairs, len(order) // 2)
    groups = _rows_by_class(probe, order)
    if len(groups) < 2:
        return order[: 2 * number].reshape(number, 2)
    pairs = []
    for place in range(number):
        group, next_group = groups[place % len(groups)], groups[(place + 1) % len(groups)]
        # Four images of a class: two for a path within it, one for a path to either neighbor.
        if place < number // 2:
            pairs.append(group[:2])
        else:
            pairs.append(np.array([group[2], next_group[3]]))
    return np.stack(pairs)


def _rows_by_class(probe: ModelProbe, order: Array) -> list[Array]:
    """Return the rows of each class with at least four images, in the order of first occurrence."""
    classes = probe.dataset.labels("test")[order]
    groups = []
    for label in dict.fromkeys(classes.tolist()):
        rows = order[classes == label]
        if label >= 0 and len(rows) >= 4:
            groups.append(rows)
    return groups


def _class_names(probe: ModelProbe, rows: Array) -> list[dict[str, str]]:
    """Return the classes of both ends of each pair; empty strings without classes."""
    names = probe.dataset.manifest.class_names
    if not names:
        return [{"from": "", "to": ""} for _ in rows]
    ends = probe.dataset.labels("test")[rows]
    return [{"from": names[first], "to": names[second]} for first, second in ends]
