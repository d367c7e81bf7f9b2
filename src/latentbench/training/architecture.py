"""The networks layer by layer, as data: what a report's table of the architecture is made of."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from latentbench.models.networks import Decoder, Shape
from latentbench.models.objective import Objective

COLUMNS = (
    "network",
    "layer",
    "kind",
    "kernel",
    "stride",
    "padding",
    "dilation",
    "output",
    "parameters",
    "multiply_adds",
)


def describe_networks(objective: Objective, shape: Shape) -> list[dict[str, Any]]:
    """A row per layer and network of a checkpoint, for one image: torchinfo's count, with the convolutions' geometry.

    Sizes are written as 4×4 and `output` is without the batch. Parameters are a layer's own, so that they add up;
    the products of self-attention's maps with each other are not among the multiply-adds.
    """
    from torchinfo import summary

    rows = []
    for name, network in objective.networks().items():
        alone = copy.deepcopy(network).cpu().eval()
        for module in list(alone.modules()):
            if parametrize.is_parametrized(
                module, "weight"
            ):  # a spectral norm would be told in the layer's stead
                parametrize.remove_parametrizations(module, "weight")
        labels = torch.zeros(1, shape.num_labels)
        images = torch.zeros(1, shape.channels, shape.image_size, shape.image_size)
        inputs = torch.zeros(1, objective.latent_dim) if isinstance(alone, Decoder) else images
        paths = {module: path for path, module in alone.named_modules()}
        told = summary(alone, input_data=[inputs, labels], verbose=0, depth=10, device="cpu")
        for layer in told.summary_list:
            module = layer.module
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            if not layer.is_leaf_layer and not own:
                continue
            rows.append(
                {
                    "network": name,
                    "layer": paths[module],
                    "kind": "ConvTranspose2d"
                    if isinstance(module, nn.ConvTranspose2d)
                    else layer.class_name,
                    **{key: _size(module, attribute) for key, attribute in _GEOMETRY.items()},
                    "output": "×".join(map(str, layer.output_size[1:])),
                    "parameters": own,
                    "multiply_adds": _multiply_adds(layer),
                }
            )
    return rows


def _multiply_adds(layer: Any) -> int:
    """torchinfo's of what multiplies by a matrix, its bias included, which each output adds once.

    Of a transposed convolution's stride s, 1/s² of the kernel meets each output.
    """
    module = layer.module
    if not isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        return 0
    if not isinstance(module, nn.ConvTranspose2d):
        return int(layer.macs)
    added = 0 if module.bias is None else math.prod(layer.output_size[1:])
    return (int(layer.macs) - added) // (module.stride[0] * module.stride[1]) + added


_GEOMETRY = {
    "kernel": "kernel_size",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
}


def _size(module: nn.Module, attribute: str) -> str:
    value = getattr(module, attribute, "")
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
