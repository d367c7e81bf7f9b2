"""The layers of the networks, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from latentbench.results import Experiment, Study, Table, formatting
from latentbench.results.tables import pipe_table

Layer = dict[str, Any]

GEOMETRY = ["kernel", "stride", "padding", "dilation"]
COUNTS = ["parameters", "multiply_adds"]
_UNETS = ("unet", "ddpmpp")
# What a layer of this name is for, where its class does not show it.
_PURPOSES = {
    "near": "half of the channels",
    "far": "the other half",
    "query": "query of self-attention",
    "key": "key of self-attention",
    "value": "value of self-attention",
}


def architectures(study: Study) -> list[tuple[str, Table]]:
    """Return a table of layers for each architecture, with the names of its models.

    Counts are for one image. The last table holds a note on models that were not trained.
    """
    owners: dict[str, list[str]] = {}
    for name, layers in study.layers.groupby("experiment", sort=False):
        owners.setdefault(_table(layers, study[name]), []).append(f"**{study[name].in_markdown}**")
    tables = [(formatting.join_words(names), Table(table)) for table, names in owners.items()]
    _, notes = study.with_rows(study.layers, "architecture.csv", "train")
    if notes:
        tables.append(("others", Table(None, notes)))
    return tables


def describe_blocks(study: Study) -> str:
    """Return what a block of a U-Net is; empty if no model has one."""
    if all(each.model.get("architecture") not in _UNETS for each in study):
        return ""
    return (
        "A block of a U-Net also adds a linear map of the embedded time and label to its feature "
        "maps between the two convolutions, and a shortcut around both. Joined feature maps are "
        "those of the layer before and, as further channels, those of a block of the same size on "
        "the way down [@ho2020, appendix B]. Each layer is a row of `architecture.csv`."
    )


def _table(layers: pd.DataFrame, experiment: Experiment) -> str:
    table = _with_all_operations(layers, experiment)
    table = table[["network", "kind", *GEOMETRY, "output", *COUNTS]]
    table["network"] = table["network"].mask(table["network"].duplicated(), "")
    total = {"network": "*all*"} | layers[COUNTS].sum().to_dict()
    table = pd.concat([table, pd.DataFrame([total])]).fillna("")
    table[COUNTS] = table[COUNTS].map(lambda count: f"{count:,}" if count else "")
    if table["dilation"].isin(["", "1×1"]).all():
        table = table.drop(columns="dilation")
    table = table.rename(columns={"kind": "layer", "multiply_adds": "multiply-adds"})
    num_text = table.shape[1] - len(COUNTS)
    return pipe_table(table.rename(columns=str.capitalize), num_text=num_text)


def _with_all_operations(layers: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Return the rows of an experiment in `Study.layers` with those of operations between them.

    These are upsampling, pooling, sums with shortcuts and the last activation; `kind` says what
    they are, and they have no weights.
    """
    describe = _with_operations
    if experiment.model.get("architecture") in _UNETS:
        describe = _blocks_of_unet
    rows: list[Layer] = []
    for _, network in layers.groupby("network", sort=False):
        rows += describe(network, experiment)
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
        is_bilinear = experiment.model.get("architecture") == "resnet"
        upsampling = "bilinear" if is_bilinear else "nearest neighbor"
        if block:
            yield from _residual_block(members, upsampling)
        else:
            yield from map(_with_purpose, members)
    settings = experiment.settings
    image = "{channels}×{image_size}×{image_size}".format_map(settings) if settings else ""
    if layers[-1]["output"] == image:  # the model applies the last activation
        is_bernoulli = experiment.model.get("likelihood") == "bernoulli"
        activation = "Mean of the continuous Bernoulli" if is_bernoulli else "Tanh"
        yield _operation(activation, layers[-1])


def _residual_block(layers: list[Layer], upsampling: str) -> Iterator[Layer]:
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
            yield _operation(f"Upsampling, {upsampling}", inner[0], size)
        yield _with_purpose(layer)
    if _size(inner[0]) == size and _size(shortcut) < size:
        size = _size(shortcut)
        kind += ", after average pooling"
        yield _operation("Average pooling, 2×2", inner[-1], size)
    yield shortcut | {"kind": kind}
    yield _operation("Sum with the shortcut", inner[-1], size)


def _blocks_of_unet(network: pd.DataFrame, experiment: Experiment) -> Iterator[Layer]:
    """Return a row per residual block of a U-Net and per layer between blocks.

    Layers of a block have paths such as `down.2.first.0`, a single layer has `down.1`.
    """
    settings = experiment.settings
    image = "{channels}×{image_size}×{image_size}".format_map(settings)
    patch = settings["model"]["patch_size"]
    places = network["layer"].str.extract(r"^((?:down|middle|up)\.\d+)\.", expand=False)
    layers = network.assign(block=places.fillna("")).to_dict("records")
    for block, inside in groupby(layers, itemgetter("block")):
        members = list(inside)
        if block:
            yield _block_of_unet(members, block)
            continue
        for layer in members:
            path, kind = layer["layer"], layer["kind"]
            if path.startswith("embedding."):
                what = (
                    "label"
                    if path == "embedding.labels"
                    else "time" + (" and label" if experiment.model.get("condition") else "")
                )
                layer["kind"] = f"{kind}, of {what}"
            elif path == "first" and patch > 1:
                size = _size(layer)
                output = f"{settings['channels'] * patch**2}×{size}×{size}"
                yield _operation(f"{patch}×{patch} pixels as channels", layer) | {"output": output}
            elif path.startswith("up."):
                yield _operation("Upsampling, nearest neighbor", layer)
            yield layer
    if patch > 1:
        yield _operation(f"Channels as {patch}×{patch} pixels", layers[-1]) | {"output": image}


def _block_of_unet(layers: list[Layer], block: str) -> Layer:
    """Return the layers of a block as one, with the sum of their counts."""
    second = next(layer for layer in layers if layer["layer"] == f"{block}.second")
    size, size_before = _size(second), _size(layers[0])
    kind = "Block: 2 × (GroupNorm, SiLU, Conv2d)"
    if size != size_before:
        kind += ", halves the side" if size < size_before else ", doubles the side"
    elif block.startswith("up."):
        kind += " of joined feature maps"
    if any(layer["layer"] == f"{block}.attention.output" for layer in layers):
        kind += ", then self-attention"
    totals = {count: sum(layer[count] for layer in layers) for count in COUNTS}
    return second | {"kind": kind} | totals


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
