"""First weights, drawn from a generator of their own."""

from __future__ import annotations

import torch
from torch import nn

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def initialise(network: nn.Module, scheme: str, generator: torch.Generator) -> None:
    """Overwrite every parameter of `network`, on the CPU, by one of two schemes.

    `dcgan`: weights from N(0, 0.02²), batch norm's scale from N(1, 0.02²) (Radford et al., 2016, section 4).
    `kaiming`: weights from N(0, 2/fan_in), batch norm's scale 1 (He et al., 2015, equation 10).
    """
    for module in network.modules():
        if isinstance(module, _LINEAR):
            if scheme == "dcgan":
                nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            else:
                nn.init.normal_(module.weight, 0.0, (2 / _fan_in(module)) ** 0.5, generator=generator)
        elif isinstance(module, _BATCH_NORM):
            if scheme == "dcgan":
                nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            else:
                nn.init.ones_(module.weight)
        elif any(True for _ in module.parameters(recurse=False)):
            raise TypeError(f"no rule to initialise {type(module).__name__}")
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _fan_in(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Inputs that one output adds up. A transposed convolution of stride s reaches 1/s² of its kernel."""
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight.numel() / module.weight.shape[1] / (module.stride[0] * module.stride[1])
    return module.weight.numel() / module.weight.shape[0]
