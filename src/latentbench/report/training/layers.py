"""The networks layer by layer, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from latentbench.report.presentation.formatting import join_words
from latentbench.report.presentation.page import Table
from latentbench.report.results.tables import pipe_table
from latentbench.results.study import Experiment, Study

Layer = Mapping[str, str]

_GEOMETRY = ("kernel", "stride", "padding")
_COUNTS = ("parameters", "multiply_adds")
# By what a layer is called in the network: what it is there for, where its kind does not say.
_PURPOSES = {
    "near": "half of the channels",
    "far": "the other half",
    "query": "query of self-attention",
    "key": "key of self-attention",
    "value": "value of self-attention",
}


def architectures(study: Study) -> list[tuple[str, Table]]:
    """Networks, a row per layer, for one image, under the names of those who have them; last, what is missing."""
    present, notes = study.with_files("architecture.csv", "train", lambda e: e.layers)
    missing = [("others", Table(None, notes))] if notes else []
    owners: dict[str, list[str]] = {}
    for experiment in present:
        owners.setdefault(_table(experiment), []).append(f"**{experiment.name}**")
    return [*((join_words(names), Table(table)) for table, names in owners.items()), *missing]


def _table(experiment: Experiment) -> str:
    dilated = any(layer["dilation"] not in ("", "1×1") for layer in experiment.layers)
    geometry = [*_GEOMETRY, *["dilation"] * dilated]
    rows: list[list[str]] = []
    for network, layers in groupby(experiment.layers, lambda layer: layer["network"]):
        for place, layer in enumerate(_told(list(layers), experiment)):
            shown = [
                network if place == 0 else "",
                *(layer[key] for key in ("kind", *geometry, "output")),
            ]
            rows.append(
                [*shown, *(f"{int(layer[key]):,}" if int(layer[key]) else "" for key in _COUNTS)]
            )
    total = [f"{sum(int(layer[key]) for layer in experiment.layers):,}" for key in _COUNTS]
    rows.append(["*all*", *[""] * (len(geometry) + 2), *total])
    header = [
        "Network",
        "Layer",
        *(key.capitalize() for key in geometry),
        "Output",
        "Parameters",
        "Multiply-adds",
    ]
    return pipe_table(header, rows, texts=len(header) - 2)


def _told(layers: Sequence[Layer], experiment: Experiment) -> Iterator[Layer]:
    """The layers of a network and what they are for, with what is computed beside them."""
    for block, inside in groupby(layers, lambda layer: _block(layer, layers)):
        told = list(inside)
        yield from _residual(told) if block else map(_with_purpose, told)
    settings = experiment.settings or {}
    image = "{channels}×{image_size}×{image_size}".format_map(settings) if settings else ""
    if layers[-1]["output"] == image:  # before the activation that each objective gives it
        likelihood = settings["model"].get("likelihood")
        yield _computed(
            "Mean of the continuous Bernoulli" if likelihood == "bernoulli" else "Tanh", image
        )


def _block(layer: Layer, layers: Sequence[Layer]) -> str:
    """The path of the residual block that the layer is part of, or nothing."""
    parts = layer["layer"].split(".")
    paths = {each["layer"] for each in layers}
    above = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((path for path in above if f"{path}.shortcut" in paths), "")


def _residual(layers: Sequence[Layer]) -> list[Layer]:
    """A residual block, the doubling or halving of which is no layer of its own."""
    *inner, shortcut = layers
    before, behind, beside = (_side(layer) for layer in (inner[0], inner[-1], shortcut))
    told = [_with_purpose(layer) for layer in inner]
    side, resampled = behind, ""
    if behind > before:
        larger = next(place for place, layer in enumerate(inner) if _side(layer) == behind)
        told.insert(larger, _computed("Doubling, nearest neighbors", _of_side(inner[0], behind)))
        resampled = ", doubled behind it"
    elif beside < behind:
        side, resampled = beside, ", halved before it"
        told.append(_computed("Halving, mean of four", _of_side(inner[-1], side)))
    told.append({**shortcut, "kind": f"{shortcut['kind']}, shortcut{resampled}"})
    return [*told, _computed("Sum with the shortcut", _of_side(inner[-1], side))]


def _side(layer: Layer) -> int:
    return int(layer["output"].rpartition("×")[2])


def _of_side(layer: Layer, side: int) -> str:
    """What the layer would give at another side."""
    return f"{layer['output'].partition('×')[0]}×{side}×{side}"


def _with_purpose(layer: Layer) -> Layer:
    purpose = _PURPOSES.get(layer["layer"].rpartition(".")[2])
    return {**layer, "kind": f"{layer['kind']}, {purpose}"} if purpose else layer


def _computed(kind: str, output: str) -> Layer:
    """What has no weights and stands in no network, as a layer."""
    nothing = dict.fromkeys((*_GEOMETRY, "dilation"), "") | dict.fromkeys(_COUNTS, "0")
    return {**nothing, "kind": kind, "output": output}
