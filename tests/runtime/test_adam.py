"""The optimizer against torch.optim."""

from __future__ import annotations

import torch
from torch import nn

from latentbench.rng import torch_generator
from latentbench.runtime.adam import Adam


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
