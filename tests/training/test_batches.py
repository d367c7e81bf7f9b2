"""Batches of the training split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from latentbench.data.images import to_model, to_uint8
from latentbench.data.prepared import PreparedDataset
from latentbench.training.batches import Batches

Make = Callable[..., Path]
CPU = torch.device("cpu")


def test_epoch_contains_each_image_once(make_prepared: Make) -> None:
    dataset = PreparedDataset.open(make_prepared())
    batches = Batches(dataset, condition="class", batch_size=8, flip=False, seed=0, device=CPU)
    generator = torch.Generator()
    for epoch in range(2):
        seen = torch.cat([batches.batch(epoch * 5 + step, generator)[0] for step in range(5)])
        expected = to_model(torch.from_numpy(np.array(dataset.images("train"))))
        key = torch.arange(1024.0).reshape(1, 1, 32, 32)
        assert torch.equal(
            (seen * key).sum(dim=(1, 2, 3)).sort()[0], (expected * key).sum(dim=(1, 2, 3)).sort()[0]
        )
    (first, labels), (second, _) = (batches.batch(step, generator) for step in (0, 5))
    assert not torch.equal(first, second)
    # Each class has another bright quarter.
    quarters = first.unflatten(3, (2, 16)).unflatten(2, (2, 16)).mean(dim=(1, 3, 5)).flatten(1)
    assert torch.equal(quarters.argmax(dim=1), labels.argmax(dim=1))
    assert torch.equal(labels.sum(dim=1), torch.ones(8))


def test_flip_mirrors_about_half_of_the_images(make_prepared: Make) -> None:
    dataset = PreparedDataset.open(make_prepared(num_train=400))
    generator = torch.Generator().manual_seed(0)
    plain, mirrored = (
        Batches(dataset, condition=None, batch_size=400, flip=flip, seed=0, device=CPU).batch(
            0, generator
        )[0]
        for flip in (False, True)
    )
    same = (plain == mirrored).all(dim=(1, 2, 3))
    turned = (plain.flip(3) == mirrored).all(dim=(1, 2, 3))
    assert (same | turned).all()
    assert 150 < turned.sum() < 250


def test_uint8_round_trip() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    images = to_model(levels)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal(to_uint8(images), levels)
