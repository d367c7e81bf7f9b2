"""Paths between the codes of real images, and how real the images along them are."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.interpolation import PATHS, interpolate
from latentbench.latent.model_probe import ModelProbe


def explore_paths(subject: ModelProbe) -> Findings:
    """Straight and spherical paths; first within classes, then between them, where the data have classes.

    Of a conditional model the label goes from the one's to the other's along with the code.
    """
    rows = choose_pairs(subject)
    ends = subject.images("test", rows.reshape(-1))
    labels = subject.labels("test", rows.reshape(-1))
    codes = subject.codes(ends, labels, "interpolation").unflatten(0, (-1, 2))
    asked = labels.unflatten(0, (-1, 2))
    number = subject.settings.num_points
    # The embedding is linear in the label, so this is the straight line between two embeddings.
    labels_along = interpolate(asked[:, 0], asked[:, 1], num_points=number, kind="linear")
    arrays: dict[str, Any] = {"interpolation_real": ends.reshape(len(rows), 2, *ends.shape[1:])}
    for kind in PATHS:
        points = interpolate(codes[:, 0], codes[:, 1], num_points=number, kind=kind)
        images = subject.decode(points, labels_along)
        name = f"interpolation_{kind}"
        arrays[name] = images
        arrays[f"{name}_distance"] = subject.realism.distances(images)
        probabilities = subject.realism.probabilities(images)
        if probabilities is not None:
            arrays[f"{name}_classes"] = probabilities
    return Findings(arrays, {"pairs": _titles(subject, rows)})


def choose_pairs(subject: ModelProbe) -> Array:
    """Rows of the test split (pairs, 2), the same for all models of a study: half of them within a class, if there are
    classes."""
    order = subject.order("test", "interpolation")
    number = min(subject.settings.num_pairs, len(order) // 2)
    classes = subject.dataset.labels("test")[order]
    by_class = {
        label: order[classes == label] for label in dict.fromkeys(classes.tolist()) if label >= 0
    }
    by_class = {label: rows for label, rows in by_class.items() if len(rows) >= 4}
    if len(by_class) < 2:
        return order[: 2 * number].reshape(number, 2)
    groups = list(by_class.values())
    pairs = []
    for turn in range(number):
        own, other = groups[turn % len(groups)], groups[(turn + 1) % len(groups)]
        # Four images of a class: two for a path within it, one for a path to either neighbor.
        pairs.append(own[:2] if turn < number // 2 else np.array([own[2], other[3]]))
    return np.stack(pairs)


def _titles(subject: ModelProbe, rows: Array) -> list[dict[str, str]]:
    """The classes of both ends of each pair; empty words where there are none."""
    names = subject.dataset.manifest.class_names
    labels = subject.dataset.labels("test")

    def title(row: int) -> str:
        return names[labels[row]] if names else ""

    return [{"from": title(first), "to": title(second)} for first, second in rows.tolist()]
