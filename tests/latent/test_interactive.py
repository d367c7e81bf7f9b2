"""The images of the figures that follow the reader's hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.files import read_arrays, read_json
from latentbench.artifacts.paths import INTERACTIVE_ARRAYS, LATENT_ARRAYS, LATENT_FACTS
from latentbench.data.images import to_uint8
from latentbench.models.autoencoder import Autoencoder, EncoderDecoder
from latentbench.models.gan import GAN
from tests.evaluation.conftest import run
from tests.latent.conftest import give_attributes

Make = Callable[..., Path]
Arrays = dict[str, np.ndarray]
Explored = Callable[..., tuple[Arrays, Arrays, dict[str, Any]]]
IMAGE = (32, 32, 1)


@pytest.fixture
def explored(make_prepared: Make, build_reference: Make, make_experiment: Make) -> Explored:
    """Explore networks with initial weights; return both files of arrays, and the facts."""

    def make(
        objective: str, data: Path | None = None, **sections: Any
    ) -> tuple[Arrays, Arrays, dict[str, Any]]:
        data = data or make_prepared()
        results = make_experiment(data, objective, **sections)
        places = {"config": results / "config.yaml", "data": data, "results": results}
        result = run("explore", **places, reference=build_reference(data, epochs=1))
        assert result.exit_code == 0, result.output
        return (
            read_arrays(results / INTERACTIVE_ARRAYS),
            read_arrays(results / LATENT_ARRAYS),
            read_json(results / LATENT_FACTS),
        )

    return make


def first_entry(self: Any, latents: Tensor, labels: Tensor) -> Tensor:
    """Decode to an image with the first entry of the latent as its gray value."""
    return (latents[:, 0] / 40).clamp(-1, 1)[:, None, None, None].expand(-1, 1, 32, 32)


def brightness(self: Any, images: Tensor, labels: Tensor) -> Tensor:
    """Encode to the mean gray of six parts of the image."""
    return 5 * images.reshape(len(images), 2, 16, 32)[..., :30].unflatten(3, (3, 10)).mean(
        (2, 4)
    ).flatten(1)


def gray_values(entries: np.ndarray) -> np.ndarray:
    images = torch.from_numpy(entries).float().div(40).clamp(-1, 1)
    return to_uint8(images.reshape(-1, 1, 1, 1)).numpy().reshape(entries.shape)


@pytest.mark.parametrize("objective", ["autoencoder", "dcgan"])
def test_the_plane_goes_through_the_mean_along_the_principal_directions(
    objective: str, explored: Explored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Autoencoder, "encode", brightness)
    monkeypatch.setattr(Autoencoder, "decode", first_entry)
    monkeypatch.setattr(GAN, "decode", lambda *call: first_entry(*call) + 0 * call[1].sum())
    interactive, arrays, facts = explored(objective)
    positions = np.array(facts["plane_positions"])
    assert interactive["plane"].shape == (2, len(positions), len(positions), *IMAGE)
    assert interactive["plane_real"].shape == IMAGE
    middle = len(positions) // 2
    assert positions[middle] == 0
    mean, directions = arrays["principal_mean"][0], arrays["principal_directions"][:2, 0]
    first, second = [*directions, 0.0, 0.0][:2]
    entries = mean + positions[:, None] * second + positions * first
    around_image, shown = interactive["plane"][..., 0, 0, 0].astype(int)
    assert np.abs(shown - gray_values(entries)).max() <= 1
    assert np.ptp(shown) > 10
    # Elsewhere the latents have the same steps, from another start.
    assert np.abs(np.diff(around_image) - np.diff(shown)).max() <= 2
    assert shown[middle, middle] == pytest.approx(gray_values(np.array([mean]))[0], abs=1)


def test_codes_have_positions_on_the_plane_in_standard_deviations(explored: Explored) -> None:
    interactive, arrays, _ = explored("autoencoder")
    codes = interactive["plane_codes"]
    assert codes.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert codes.std(axis=0) == pytest.approx([1, 1], abs=1e-4)
    # The same axes as those of the map of the codes, up to their signs.
    for own, shown in zip(codes.T, arrays["projection_pca"].T, strict=True):
        assert abs(np.corrcoef(own, shown)[0, 1]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(interactive["plane_labels"], arrays["projection_labels"])


@pytest.mark.parametrize("objective", ["vae", "dcgan", "cgan"])
def test_the_fine_path_is_the_spherical_path(objective: str, explored: Explored) -> None:
    """Its ends are the decoded codes of both images, and every fourth point is one of five."""
    interactive, arrays, _ = explored(objective, latent={"num_points": 5})
    path, coarse = interactive["path"].astype(int), arrays["interpolation_spherical"]
    assert path.shape == (2, 17, *IMAGE)
    assert np.abs(path[:, ::4] - coarse).max() <= 1
    assert np.abs(path[:, [0, -1]] - arrays["interpolation_linear"][:, [0, -1]]).max() <= 1


@pytest.mark.parametrize("objective", ["autoencoder", "dcgan"])
def test_directions_of_classes_start_at_the_same_images(
    objective: str, explored: Explored, make_prepared: Make
) -> None:
    data = make_prepared(num_train=120, num_test=40)
    interactive, _, facts = explored(objective, data)
    if "class_directions" not in facts:  # too few samples of any class
        assert objective == "dcgan"
        return
    images = interactive["directions"].astype(int)
    assert images.shape == (len(facts["class_directions"]), 4, 13, *IMAGE)
    assert np.abs(images[:, :, 6] - images[:1, :, 6]).max() <= 1
    assert {each["class"] for each in facts["class_directions"]} <= set("abcd")


def test_mixes_of_classes_end_at_pure_classes(explored: Explored) -> None:
    interactive, _, facts = explored("cgan")
    names = [(each["from"], each["to"]) for each in facts["mixes"]]
    assert names == [(a, b) for place, a in enumerate("abcd") for b in "abcd"[place + 1 :]]
    mixes = interactive["mixes"].astype(int)
    assert mixes.shape == (6, 4, 9, *IMAGE)
    pure: dict[str, np.ndarray] = {}
    for pair, images in zip(names, mixes, strict=True):
        for name, end in zip(pair, (images[:, 0], images[:, -1]), strict=True):
            assert np.abs(pure.setdefault(name, end) - end).max() <= 1
    assert len(pure) == 4
    assert "directions" not in interactive


def test_mixes_of_attributes_change_one_attribute(
    make_prepared: Make, explored: Explored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(self: Any, latents: Tensor, labels: Tensor) -> Tensor:
        return (labels[:, 1] - labels[:, 0])[:, None, None, None].expand(-1, 1, 32, 32)

    monkeypatch.setattr(EncoderDecoder, "decode", decode)
    data = give_attributes(make_prepared(num_train=120, num_test=40))
    interactive, _, facts = explored("autoencoder", data, model={"condition": ["rare", "low"]})
    assert len(facts["mixes"]) == 2
    mixes = interactive["mixes"][..., 0, 0, 0].astype(int)
    assert (mixes == mixes[:, :1]).all()
    assert (mixes[0, 0, 0] > mixes[0, 0, -1]).all()
    assert (np.diff(mixes[0, 0]) < 0).all()
    assert (np.diff(mixes[1, 0]) > 0).all()
    assert mixes[1, 0, -1] == 255 or mixes[0, 0, 0] == 255


def test_attributes_have_fine_steps_through_their_coarse_ones(
    make_prepared: Make, explored: Explored
) -> None:
    data = give_attributes(make_prepared(num_train=200, num_test=80))
    interactive, arrays, _ = explored("autoencoder", data)
    fine, coarse = interactive["directions"].astype(int), arrays["directions"]
    assert fine.shape == (2, 4, 13, *IMAGE)
    assert np.abs(fine[:, :, ::2] - coarse).max() <= 1
