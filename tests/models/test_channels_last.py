from __future__ import annotations

import pytest
import torch
from torch import nn

from latentbench.models.networks.channels_last import Flatten, ImageConvTranspose2d, Unflatten


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (1, 1), (5, 3)])
def test_image_conv_transpose_matches_pytorch(channels: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = ImageConvTranspose2d(6, channels).double()
    theirs = nn.ConvTranspose2d(6, channels, 4, stride=2, padding=1).double()
    theirs.load_state_dict(ours.state_dict())
    maps = torch.randn(2, 6, height, width, generator=generator, dtype=torch.float64)
    weighing = torch.randn(
        2, channels, 2 * height, 2 * width, generator=generator, dtype=torch.float64
    )
    found = []
    for layer in (ours, theirs):
        inputs = maps.clone().requires_grad_()
        images = layer(inputs)
        gradients = torch.autograd.grad(
            (images * weighing).sum(), [inputs, layer.weight, layer.bias]
        )
        found.append([images, *gradients])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_image_conv_transpose_in_bfloat16_is_pytorch() -> None:
    layer = ImageConvTranspose2d(16, 3)
    maps = torch.randn(2, 16, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        images = layer(maps)
        assert images.dtype == torch.bfloat16
        assert torch.equal(images, nn.ConvTranspose2d.forward(layer, maps))


def test_flatten_makes_no_copy() -> None:
    maps = torch.randn(2, 6, 4, 4).to(memory_format=torch.channels_last)
    flat = Flatten()(maps)
    back = Unflatten(6, 4)(flat)
    assert flat.shape == (2, 96)
    assert torch.equal(flat[:, :6], maps[:, :, 0, 0])
    assert torch.equal(back, maps)
    assert maps.data_ptr() == flat.data_ptr() == back.data_ptr()
    assert back.is_contiguous(memory_format=torch.channels_last)
