"""The exponential moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentbench.runtime.ema import update_ema


def test_ema_decay_warms_up() -> None:
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(10.0)
        network.weight.fill_(0.0)
        update_ema(average, network, decay=0.9, updates=0)
        assert average.weight.item() == pytest.approx(10 * 1 / 10)
        average.weight.fill_(10.0)
        update_ema(average, network, decay=0.9, updates=10_000)
        assert average.weight.item() == pytest.approx(9.0)
        update_ema(average, network, decay=0.0, updates=10_000)
        assert average.weight.item() == 0.0
