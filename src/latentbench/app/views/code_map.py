"""The codes of test images in two dimensions, as exploration projected them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from latentbench.app.explorer import Explorer, models_with

PROJECTIONS = {"pca": "PCA", "tsne": "t-SNE"}


def mapped_models(explorer: Explorer, names: Sequence[str]) -> list[str]:
    """Return the models whose codes were projected: those with an encoder."""
    return models_with(explorer, names, "projection_rows")


def series(explorer: Explorer, name: str, projection: str) -> list[tuple[str, list[list[float]]]]:
    """Return the name and the points of each class; without classes all points are one.

    A point is x, y and the row of its test image.
    """
    arrays = explorer.arrays(name)
    places: Any = arrays[f"projection_{projection}"]
    rows, labels = arrays["projection_rows"], arrays["projection_labels"]
    classes = explorer.experiments[name].latent.get("class_names") or []
    found = []
    for label in np.unique(labels).tolist():
        chosen = labels == label
        points = zip(places[chosen].tolist(), rows[chosen].tolist(), strict=True)
        title = classes[label] if 0 <= label < len(classes) else "test images"
        found.append((title, [[round(x, 3), round(y, 3), row] for (x, y), row in points]))
    return found
