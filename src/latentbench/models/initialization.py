"""First weights, drawn from a generator of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from latentbench.models.layers import LabelEmbedding, LabelPlane, SelfAttention

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
_Linear = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def initialize_weights(network: nn.Module, scheme: str, generator: torch.Generator) -> None:
    """Overwrite every parameter of `network`, on the CPU, by the scheme that `initialization` names.

    `dcgan`: weights from N(0, 0.02²), batch norm's scale from N(1, 0.02²) (Radford et al., 2016, section 4).
    `xavier`: weights from N(0, 2/(fan_in + fan_out)) (Glorot & Bengio, 2010, equation 12).
    `kaiming`: weights from N(0, 2/fan_in) (He et al., 2015, equation 10).
    `orthogonal`: rows or columns of weights are orthonormal (Saxe et al., 2014).
    `default`: weights and biases as PyTorch draws them, uniform within 1/√fan_in.
    Elsewhere than said biases begin at 0 and batch norm's scale at 1. Labels' embeddings have a scale of their own,
    whatever the scheme, and a plane made of one has the same.
    """
    for module in network.modules():
        if isinstance(module, LabelEmbedding):
            nn.init.normal_(module.weight, 0.0, module.scale, generator=generator)
        elif isinstance(module, LabelPlane):
            nn.init.normal_(module.weight, 0.0, module.in_features**-0.5, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, _LINEAR):
            _WEIGHTS[scheme](module, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
                if scheme == "default":
                    bound = module.weight[0].numel() ** -0.5
                    module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, _BATCH_NORM):
            if scheme == "dcgan":
                nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            else:
                nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, SelfAttention):
            nn.init.zeros_(module.gain)
        elif any(True for _ in module.parameters(recurse=False)):
            raise TypeError(f"no rule to initialize {type(module).__name__}")


def apply_spectral_norm(network: nn.Module, generator: torch.Generator) -> None:
    """Divide every weight by its largest singular value from now on (Miyato et al., 2018, algorithm 1).

    To be called once the weights are drawn. The singular vectors, which PyTorch begins with global randomness, begin
    from `generator`.
    """
    for module in list(network.modules()):
        if isinstance(module, _LINEAR):
            parametrizations.spectral_norm(module)
            norm: Any = module.parametrizations.weight[0]  # type: ignore[union-attr, index]
            for vector in (norm._u, norm._v):
                vector.copy_(
                    nn.functional.normalize(torch.randn(vector.shape, generator=generator), dim=0)
                )


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
    """Inputs that one output adds up. A transposed convolution of stride s reaches 1/s² of its kernel."""
    if isinstance(module, nn.ConvTranspose2d):
        return (
            module.weight.numel() / module.weight.shape[1] / (module.stride[0] * module.stride[1])
        )
    return module.weight.numel() / module.weight.shape[0]


def _fan_out(module: _Linear) -> float:
    """Outputs that one input adds to. A convolution of stride s sends it through 1/s² of its kernel."""
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight.numel() / module.weight.shape[0]
    strides = module.stride[0] * module.stride[1] if isinstance(module, nn.Conv2d) else 1
    return module.weight.numel() / module.weight.shape[1] / strides
