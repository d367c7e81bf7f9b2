"""Quantities of the latent space: on paths, along the directions of attributes, in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from latentbench.results.experiment import Experiment, RunGroup
from latentbench.results.formatting import escape_markdown, percent
from latentbench.results.quantities import Quantity
from latentbench.results.study import Study

PATHS = ("linear", "spherical")
_MAX_DIRECTIONS = 6


def path_pairs(experiment: Experiment) -> pd.DataFrame:
    """Return a row per pair of real images with a path between them; empty without paths.

    `mse` is the squared error of the decoded ends, of pixels in [0, 1]. The other columns are
    distances to the nearest training image, in units of that of a typical test image: `ends` is the
    mean of both ends; per kind of path, `linear.farthest` is the largest along it and `linear.rise`
    the distance in the middle less that of the ends.
    """
    pairs = pd.json_normalize(list(experiment.latent.get("pairs") or []))
    if "ends" not in pairs:
        return pd.DataFrame()
    columns = {"mse": pairs["mse"], "ends": pairs["ends"]}
    for kind in PATHS:
        columns[f"{kind}.farthest"] = pairs[f"{kind}.farthest"]
        columns[f"{kind}.rise"] = pairs[f"{kind}.middle"] - pairs["ends"]
    return pd.DataFrame(columns)


def path_errors(run: RunGroup) -> pd.DataFrame:
    """Return mean and std over pairs (columns) of each column of `path_pairs` (rows).

    Trainings share their pairs: a pair's values are first averaged over those that are explored.
    Empty unless all of these were.
    """
    pairs = [path_pairs(member) for member in run.explored]
    if any(each.empty for each in pairs):
        return pd.DataFrame()
    return pd.concat(pairs).groupby(level=0).mean().agg(["mean", "std"]).T


def _path_distance(column: str, name: str) -> Quantity:
    def compute(experiment: Experiment) -> float | None:
        pairs = path_pairs(experiment)
        return None if pairs.empty else float(pairs[column].mean())

    return Quantity(f"path_{column}", name, -1, compute=compute)


def _active_fraction(experiment: Experiment) -> float | None:
    units = experiment.latent.get("active_units")
    variance = experiment.latent_arrays.get("variance_per_dimension")
    return None if units is None or variance is None else units / len(variance)


PATH_DISTANCES = (
    _path_distance("ends", "at the ends"),
    _path_distance("linear.farthest", "linear paths"),
    _path_distance("spherical.farthest", "spherical paths"),
)
ACTIVE_FRACTION = Quantity(
    "active_fraction",
    "Active dimensions",
    1,
    lambda fraction, _: percent(fraction, 0),
    _active_fraction,
)


def classified_directions(experiment: Experiment) -> Sequence[Mapping[str, Any]]:
    """Return the first directions whose images the classifier has seen."""
    directions = experiment.latent["directions"]
    return [direction for direction in directions if direction.get("predicted")][:_MAX_DIRECTIONS]


def walk_changes(study: Study) -> pd.DataFrame:
    """Return a row per experiment, direction and attribute that the classifier predicts.

    `change` is the share of images with the attribute at the last step less that at the first.
    """
    present, _ = study.with_latent("directions", facts=["directions"])
    rows = []
    for experiment in present:
        for direction in classified_directions(experiment):
            for attribute, shares in direction["predicted"].items():
                names = (experiment.name, direction["attribute"], attribute)
                rows.append((*names, float(shares[-1] - shares[0])))
    return pd.DataFrame(rows, columns=["experiment", "direction", "attribute", "change"])


def walk_quantities(study: Study, runs: Sequence[RunGroup]) -> list[Quantity]:
    """Return a quantity per attribute: how its share of images changes along its direction."""
    members = [member.name for run in runs for member in run.members]
    changes = walk_changes(study)
    own = changes[changes["experiment"].isin(members)].query("direction == attribute")
    return [_walk_quantity(str(name), rows) for name, rows in own.groupby("attribute", sort=False)]


def _walk_quantity(attribute: str, changes: pd.DataFrame) -> Quantity:
    values: dict[str, float] = changes.set_index("experiment")["change"].to_dict()

    def compute(experiment: Experiment) -> float | None:
        return values.get(experiment.name)

    title = attribute_title(attribute)
    return Quantity(f"walk_{attribute}", title, 1, percentage_points, compute)


def percentage_points(change: float, _: int = 0) -> str:
    """Return a change in percentage points with its sign: `+12`."""
    return f"{100 * change:+.0f}".replace("-", "\N{MINUS SIGN}")


def attribute_title(attribute: str) -> str:
    """Return the name of an attribute as Markdown."""
    return escape_markdown(attribute.replace("_", " "))
