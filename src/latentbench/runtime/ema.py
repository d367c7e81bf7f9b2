"""Exponential moving average (EMA) of a network's weights."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

# The names of spectral norm's vectors. Their average would not have unit length.
_SINGULAR_VECTORS = ("._u", "._v")


def update_ema(average: nn.Module, network: nn.Module, *, decay: float, updates: int) -> None:
    """Set `average` to decay · average + (1 - decay) · network, batch norm's statistics included.

    The first updates use the smaller decay (1 + updates) / (10 + updates), so that the random
    initial weights lose their influence quickly. torch's `AveragedModel` has no such warm-up, and
    its checkpoints have other tensor names.

    Args:
        average: The averaged copy of `network`, changed in place.
        network: The network in training.
        decay: The decay after the warm-up, in [0, 1].
        updates: How many updates were made before.
    """
    averages, currents = [], []
    tensors = network.state_dict()
    for name, averaged in average.state_dict().items():
        is_count = not averaged.is_floating_point()  # batch norm's num_batches_tracked
        if is_count or name.endswith(_SINGULAR_VECTORS):
            averaged.copy_(tensors[name])
        else:
            averages.append(averaged)
            currents.append(tensors[name])
    update = get_ema_multi_avg_fn(min(decay, (1 + updates) / (10 + updates)))
    update(averages, currents, updates)
