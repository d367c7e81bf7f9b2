"""The layers of networks as table rows, from torchinfo."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from latentbench.models.networks.architectures import Decoder, Shape
from latentbench.models.networks.initialization import fold_spectral_norm
from latentbench.models.networks.unet import UNet, mark_known
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
# Column: the attribute of a layer.
_GEOMETRY = {
    "kernel": "kernel_size",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
}


def describe_networks(objective: Objective, shape: Shape) -> list[dict[str, Any]]:
    """Return a row per layer of each network of a checkpoint, for one image.

    Sizes are written as 4×4, and `output` is without the batch dimension. `parameters` counts a
    layer's own parameters, so that they add up to the network's. `multiply_adds` does not count
    the product of self-attention's two maps.
    """
    rows = []
    for name, trained in objective.networks().items():
        network = _without_spectral_norm(trained)
        paths = {module: path for path, module in network.named_modules()}
        for layer in _summarize(network, objective.latent_dim, shape):
            parameters = sum(
                parameter.numel() for parameter in layer.module.parameters(recurse=False)
            )
            if not layer.is_leaf_layer and not parameters:
                continue
            geometry = {key: _size(layer.module, name) for key, name in _GEOMETRY.items()}
            rows.append(
                {
                    "network": name,
                    "layer": paths[layer.module],
                    "kind": _kind(layer),
                    **geometry,
                    "output": "×".join(map(str, layer.output_size[1:])),
                    "parameters": parameters,
                    "multiply_adds": _multiply_adds(layer),
                }
            )
    return rows


def _without_spectral_norm(network: nn.Module) -> nn.Module:
    """Return a copy on the CPU without parametrizations, which torchinfo lists as layers."""
    network = copy.deepcopy(network).cpu().eval()
    fold_spectral_norm(network)
    return network


def _summarize(network: nn.Module, latent_dim: int, shape: Shape) -> list[Any]:
    """Return torchinfo's LayerInfo of every module, for one image."""
    from torchinfo import summary

    labels = torch.zeros(1, shape.num_labels)
    images = torch.zeros(1, shape.channels, shape.image_size, shape.image_size)
    if isinstance(network, UNet):
        inputs = [images, torch.zeros(1), mark_known(labels)]
    elif isinstance(network, Decoder):
        inputs = [torch.zeros(1, latent_dim), labels]
    else:
        inputs = [images, labels]
    result = summary(network, input_data=inputs, verbose=0, depth=10, device="cpu")
    return list(result.summary_list)


def _kind(layer: Any) -> str:
    """Return the class of a layer; that of PyTorch for convolutions of classes derived from it."""
    for kind in (nn.ConvTranspose2d, nn.Conv2d):
        if isinstance(layer.module, kind):
            return kind.__name__
    return str(layer.class_name)


def _multiply_adds(layer: Any) -> int:
    """Return the multiply-adds of a linear or convolutional layer, else 0.

    torchinfo counts every output of a transposed convolution with the whole kernel. With stride s,
    1/s² of the kernel contributes to an output. The bias adds once to each output.
    """
    module = layer.module
    if isinstance(module, nn.Conv2d):  # torchinfo knows derived classes by their name alone
        positions: int = math.prod(layer.output_size[2:])
        return positions * sum(parameter.numel() for parameter in module.parameters())
    if isinstance(module, nn.Linear):
        return int(layer.macs)
    if not isinstance(module, nn.ConvTranspose2d):
        return 0
    bias_adds = 0 if module.bias is None else math.prod(layer.output_size[1:])
    stride_product = module.stride[0] * module.stride[1]
    return (int(layer.macs) - bias_adds) // stride_product + bias_adds


def _size(module: nn.Module, attribute: str) -> str:
    value = getattr(module, attribute, "")
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
