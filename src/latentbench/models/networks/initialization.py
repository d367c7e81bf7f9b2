"""Initial weights, drawn from a given generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from latentbench.models.networks.conditioning import BatchNorm
from latentbench.models.networks.layers import (
    BATCH_NORMS,
    LabelEmbedding,
    LabelPlane,
    ResidualBlock,
    SelfAttention,
    ZeroConv2d,
)

_LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
_Linear = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def initialize_weights(network: nn.Module, scheme: str, generator: torch.Generator) -> None:
    """Overwrite every parameter of a network on the CPU.

    The schemes are:

    - `dcgan`: weights from N(0, 0.02²), batch norm scales from N(1, 0.02²) (Radford et al., 2016,
      section 4).
    - `xavier`: weights from N(0, 2/(fan_in + fan_out)) (Glorot & Bengio, 2010, equation 12), times
      the `gain` of a residual block in its 3×3 convolutions.
    - `kaiming`: weights from N(0, 2/fan_in) (He et al., 2015, equation 10).
    - `orthogonal`: orthonormal rows or columns (Saxe et al., 2014).
    - `default`: weights and biases uniform within 1/√fan_in, PyTorch's default.

    If not stated otherwise, biases start at 0 and scales of normalization at 1. Label embeddings
    have the same scale with any scheme. Raises TypeError for a layer without a rule.
    """
    gains = _gains_in_blocks(network)
    for module in network.modules():
        if isinstance(module, LabelEmbedding):
            nn.init.normal_(module.weight, 0.0, module.scale, generator=generator)
        elif isinstance(module, LabelPlane):
            nn.init.normal_(module.weight, 0.0, module.in_features**-0.5, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, _LINEAR):
            _initialize_linear(module, scheme, generator, gain=gains.get(module, 1.0))
        elif isinstance(module, (*BATCH_NORMS, nn.GroupNorm)):
            _initialize_norm(module, scheme, generator)
        elif isinstance(module, SelfAttention):
            nn.init.zeros_(module.gain)
        elif list(module.parameters(recurse=False)):
            raise TypeError(f"no rule to initialize {type(module).__name__}")


def apply_spectral_norm(network: nn.Module, generator: torch.Generator) -> None:
    """Divide every weight by its largest singular value (Miyato et al., 2018, algorithm 1).

    Call it after `initialize_weights`. torch's parametrization draws the initial singular vectors
    from the global generator; they are drawn again from `generator`.
    """
    for module in list(network.modules()):
        if isinstance(module, _LINEAR):
            parametrizations.spectral_norm(module)
            norm: Any = module.parametrizations.weight[0]  # type: ignore[union-attr, index]
            for vector in (norm._u, norm._v):
                drawn = torch.randn(vector.shape, generator=generator)
                vector.copy_(nn.functional.normalize(drawn, dim=0))


def fold_spectral_norm(network: nn.Module) -> None:
    """Replace weights with spectral norm by their values in evaluation mode.

    torch's `remove_parametrizations` deletes the property `weight` of the layer's class, which
    copies of the layer share.
    """
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            weight = module.weight.detach().clone()  # type: ignore[operator]
            del module.parametrizations
            module.__class__ = type(module).__bases__[0]
            module.weight = nn.Parameter(weight)


def _gains_in_blocks(network: nn.Module) -> dict[nn.Module, float]:
    """Return the gains of the 3×3 convolutions in residual blocks."""
    gains: dict[nn.Module, float] = {}
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            for module in (*block.first.modules(), *block.second.modules()):
                gains[module] = block.gain
    return gains


def _initialize_linear(
    module: _Linear, scheme: str, generator: torch.Generator, *, gain: float
) -> None:
    if isinstance(module, ZeroConv2d):
        nn.init.zeros_(module.weight)
    else:
        _WEIGHTS[scheme](module, generator)
    if scheme == "xavier":
        module.weight *= gain
    if module.bias is None:
        return
    nn.init.zeros_(module.bias)
    if scheme == "default" and not isinstance(module, ZeroConv2d):
        bound = module.weight[0].numel() ** -0.5
        module.bias.uniform_(-bound, bound, generator=generator)


def _initialize_norm(
    module: BatchNorm | nn.GroupNorm, scheme: str, generator: torch.Generator
) -> None:
    if not module.affine:
        return
    if scheme == "dcgan" and not isinstance(module, nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
    else:
        nn.init.ones_(module.weight)
    nn.init.zeros_(module.bias)


def _normal(std: Callable[[_Linear], float]) -> Callable[[_Linear, torch.Generator], Tensor]:
    return lambda module, generator: nn.init.normal_(
        module.weight, 0.0, std(module), generator=generator
    )


_WEIGHTS: dict[str, Callable[[_Linear, torch.Generator], Tensor]] = {
    "dcgan": _normal(lambda _: 0.02),
    "xavier": _normal(lambda module: (2 / (_fan_in(module) + _fan_out(module))) ** 0.5),
    "kaiming": _normal(lambda module: (2 / _fan_in(module)) ** 0.5),
    "orthogonal": lambda module, generator: nn.init.orthogonal_(module.weight, generator=generator),
    "default": lambda module, generator: nn.init.kaiming_uniform_(
        module.weight, 5**0.5, generator=generator
    ),
}


def _fan_in(module: _Linear) -> float:
    """Return the inputs per output; with stride s, a transposed convolution has 1/s² of them."""
    if isinstance(module, nn.ConvTranspose2d):
        stride_product = module.stride[0] * module.stride[1]
        return module.weight.numel() / module.weight.shape[1] / stride_product
    return module.weight.numel() / module.weight.shape[0]


def _fan_out(module: _Linear) -> float:
    """Return the outputs per input; with stride s, a convolution has 1/s² of them."""
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight.numel() / module.weight.shape[0]
    stride_product = module.stride[0] * module.stride[1] if isinstance(module, nn.Conv2d) else 1
    return module.weight.numel() / module.weight.shape[1] / stride_product
