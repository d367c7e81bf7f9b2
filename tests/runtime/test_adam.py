"""The optimizer against torch.optim."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from latentbench.rng import torch_generator
from latentbench.runtime.adam import Adam, decay_factor


def test_adam_matches_torch_optim() -> None:
    networks = [nn.Linear(6, 3).double(), nn.Linear(6, 3).double()]
    networks[1].load_state_dict(networks[0].state_dict())
    ours = Adam(networks[0].parameters(), learning_rate=0.01, beta1=0.5, beta2=0.9)
    theirs = torch.optim.Adam(networks[1].parameters(), lr=0.01, betas=(0.5, 0.9), fused=True)
    for step in range(5):
        inputs = torch.randn(4, 6, generator=torch_generator(0, "adam", step)).double()
        for network in networks:
            network(inputs).square().sum().backward()
        norm = torch.stack([parameter.grad.norm() for parameter in networks[0].parameters()]).norm()
        torch.testing.assert_close(ours.step(), norm, rtol=1e-12, atol=0)
        theirs.step()
        theirs.zero_grad()
    for mine, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_decay_equals_torchs_scheduler(kind: str) -> None:
    """PyTorch multiplies the rate of the step before; the closed form does not need it."""
    optimizer = torch.optim.SGD([torch.zeros(())], lr=0.5)
    scheduler: Any = LinearLR(optimizer, 1.0, 0.0, total_iters=12)
    if kind == "cosine":
        scheduler = CosineAnnealingLR(optimizer, T_max=12)
    for step in range(13):
        factor = decay_factor(kind, step=step, last_step=12)
        assert 0.5 * factor == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_no_decay_leaves_the_rate() -> None:
    assert decay_factor(None, step=7, last_step=8) == 1.0
