"""An exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, *, decay: float, updates: int) -> None:
    """average ← decay · average + (1 - decay) · network, batch norm's running statistics included.

    While few updates have been made the decay is (1 + updates) / (10 + updates), so that the first weights,
    which are noise, are soon forgotten.
    """
    decay = min(decay, (1 + updates) / (10 + updates))
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    floating = []
    for mean, current in pairs:
        if mean.is_floating_point():
            floating.append((mean, current))
        else:  # batch norm's counter
            mean.copy_(current)
    means, currents = zip(*floating, strict=True)
    torch._foreach_lerp_(list(means), list(currents), 1 - decay)
