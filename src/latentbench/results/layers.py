"""The layers of a network, and the operations between them that architecture.csv lacks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from latentbench.results.experiment import Experiment

Layer = dict[str, Any]

GEOMETRY = ["kernel", "stride", "padding", "dilation"]
COUNTS = ["parameters", "multiply_adds"]
# What a layer of this name is for, where its class does not show it.
_PURPOSES = {
    "near": "half of the channels",
    "far": "the other half",
    "query": "query of self-attention",
    "key": "key of self-attention",
    "value": "value of self-attention",
}


def with_operations(layers: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Return the rows of an experiment in `Study.layers` with those of operations between them.

    These are upsampling, pooling, sums with shortcuts and the last activation; `kind` says what
    they are, and they have no weights.
    """
    rows: list[Layer] = []
    for _, network in layers.groupby("network", sort=False):
        rows += _with_operations(network, experiment)
    return pd.DataFrame(rows)


def _with_operations(network: pd.DataFrame, experiment: Experiment) -> Iterator[Layer]:
    """Return the layers of a network, and the operations between them that are no layers."""
    paths = network["layer"].str
    network = network.assign(block="")
    for shortcut in network["layer"][paths.endswith(".shortcut")]:
        block = shortcut.removesuffix("shortcut")
        network.loc[paths.startswith(block), "block"] = block
    layers = network.to_dict("records")
    for block, inside in groupby(layers, itemgetter("block")):
        members = list(inside)
        yield from _residual_block(members) if block else map(_with_purpose, members)
    settings = experiment.settings
    image = "{channels}×{image_size}×{image_size}".format_map(settings) if settings else ""
    if layers[-1]["output"] == image:  # the model applies the last activation
        is_bernoulli = experiment.model.get("likelihood") == "bernoulli"
        activation = "Mean of the continuous Bernoulli" if is_bernoulli else "Tanh"
        yield _operation(activation, layers[-1])


def _residual_block(layers: list[Layer]) -> Iterator[Layer]:
    """Return the layers of a residual block, the last of which is its shortcut, and the sum.

    A block upsamples before its first layer of the larger size, or downsamples at its end.
    """
    *inner, shortcut = layers
    size = _size(inner[-1])
    kind = f"{shortcut['kind']}, shortcut"
    upsampled = _size(inner[0]) == size
    for layer in inner:
        if not upsampled and _size(layer) == size:
            upsampled = True
            kind += ", then upsampled"
            yield _operation("Upsampling, nearest neighbor", inner[0], size)
        yield _with_purpose(layer)
    if _size(inner[0]) == size and _size(shortcut) < size:
        size = _size(shortcut)
        kind += ", after average pooling"
        yield _operation("Average pooling, 2×2", inner[-1], size)
    yield shortcut | {"kind": kind}
    yield _operation("Sum with the shortcut", inner[-1], size)


def _with_purpose(layer: Layer) -> Layer:
    purpose = _PURPOSES.get(layer["layer"].rpartition(".")[2])
    return layer | {"kind": f"{layer['kind']}, {purpose}"} if purpose else layer


def _size(layer: Layer) -> int:
    return int(layer["output"].rpartition("×")[2])


def _operation(kind: str, layer: Layer, size: int | None = None) -> Layer:
    """Return an operation without weights whose output is that of a layer, at a size if given."""
    output = layer["output"]
    if size is not None:
        output = f"{output.partition('×')[0]}×{size}×{size}"
    empty = dict.fromkeys(GEOMETRY, "") | dict.fromkeys(COUNTS, 0)
    return layer | empty | {"kind": kind, "output": output}
