"""Truncation, directions, embeddings and projections with known results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm
from sklearn.decomposition import PCA

from latentbench.config.models import MODELS
from latentbench.latent.explorations.attribute_directions import fit_direction
from latentbench.latent.explorations.label_embeddings import Embeddings, embed, embeddings_as_labels
from latentbench.latent.explorations.principal_directions import principal_directions
from latentbench.latent.explorations.prior_samples import truncate
from latentbench.latent.explorations.projections import principal_components, tsne
from latentbench.models.networks.architectures import Shape
from latentbench.models.registry import build_objective
from latentbench.rng import numpy_generator, torch_generator


@pytest.mark.parametrize("bound", [2.0, 1.0, 0.5])
def test_truncated_latents_are_of_the_truncated_normal(bound: float) -> None:
    latents = torch.randn(20_000, generator=torch_generator(0, "latents"))
    kept = truncate(latents, bound)
    assert kept.abs().max() <= bound
    assert kstest(kept.double().numpy(), truncnorm(-bound, bound).cdf).pvalue > 0.01
    assert torch.equal(kept.argsort(), latents.argsort())  # each stays at its quantile


def test_a_large_bound_truncates_nothing() -> None:
    latents = torch.randn(1_000, generator=torch_generator(0, "latents"))
    torch.testing.assert_close(truncate(latents, 8.0), latents, atol=1e-4, rtol=1e-4)


def test_a_probe_finds_the_direction_and_its_standard_deviation() -> None:
    rng = numpy_generator(0, "codes")
    codes = rng.normal(size=(4_000, 5)) * [1, 2, 1, 1, 1]
    there = (codes[:, 1] + 0.1 * rng.normal(size=4_000) > 0).astype(np.uint8)
    found = fit_direction("wide", (codes[:3_000], there[:3_000]), (codes[3_000:], there[3_000:]))
    assert found is not None
    assert found.accuracy > 0.95
    assert 0.5 <= found.base_rate < 0.55
    assert found.step == pytest.approx(np.array([0, 2, 0, 0, 0]), abs=0.1)


def test_a_rare_attribute_is_not_probed() -> None:
    codes, there = np.zeros((100, 2)), np.zeros(100, np.uint8)
    there[:9] = 1
    assert fit_direction("rare", (codes, there), (codes, there)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "cgan", "latent_dim": 4, "hidden_dims": [8]},
        {"name": "cgan", "latent_dim": 4, "hidden_dims": [8], "conditional_batch_norm": True},
        {"name": "diffusion", "width": 4, "sampling_steps": 1},
        {"name": "diffusion", "width": 4, "sampling_steps": 1, "guidance": 3.0},
    ],
)
def test_embeddings_are_decoded_as_their_labels_are(settings: dict[str, Any]) -> None:
    kind = MODELS[settings["name"]]
    config: Any = kind.model_validate({"condition": "class"} | settings)
    objective = build_objective(config, Shape(32, 1, num_labels=3), seed=0).eval()
    generator = torch_generator(0, "weights")
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            scale = 1.0 if "embedding" in name else 0.1
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    latents = torch.randn(3, objective.latent_dim, generator=torch_generator(0, "latents"))
    labels = torch.eye(3)
    requested = objective.sample(latents, labels)
    assert (requested != objective.sample(latents, labels.flip(0))).any()
    embeddings = embed(objective, labels)
    with embeddings_as_labels(objective):
        torch.testing.assert_close(objective.sample(latents, embeddings), requested)
    torch.testing.assert_close(objective.sample(latents, labels), requested)


def test_distances_of_embeddings_are_in_standard_deviations() -> None:
    embeddings = Embeddings(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), std=2.0)
    torch.testing.assert_close(
        embeddings.distances(torch.tensor([[0.0, 2.0]])), torch.tensor([[0.5, 2.5]]).sqrt()
    )


def test_projections_separate_clusters() -> None:
    rng = numpy_generator(0, "codes")
    labels = np.arange(120) % 3
    codes = rng.normal(size=(120, 8)) + 12 * np.eye(8)[labels]
    pca, shares = principal_components(codes)
    assert sum(shares) > 0.9
    assert pca.shape == (120, 2)
    for places in (pca, tsne(codes)):
        centers = np.stack([places[labels == label].mean(axis=0) for label in range(3)])
        nearest = np.linalg.norm(places[:, None] - centers, axis=2).argmin(axis=1)
        assert (nearest == labels).all()
    np.testing.assert_array_equal(tsne(codes), tsne(codes))


@pytest.mark.parametrize("num_codes", [1, 2, 3, 10])
@pytest.mark.parametrize("code_dim", [1, 2, 3])
def test_codes_of_any_number_and_dimension_are_projected(num_codes: int, code_dim: int) -> None:
    codes = numpy_generator(0, "codes").normal(size=(num_codes, code_dim))
    pca, shares = principal_components(codes)
    assert (sum(shares) > 0) == (num_codes > 1)
    for places in (pca, tsne(codes)):
        assert places.shape == (num_codes, 2)
        assert np.isfinite(places).all()


def test_equal_codes_are_projected_to_the_origin() -> None:
    codes = np.full((40, 4), 0.3)
    pca, shares = principal_components(codes)
    assert shares == [0, 0]
    assert not pca.any()
    assert not tsne(codes).any()


def test_principal_directions_of_codes_are_their_principal_components() -> None:
    rng = numpy_generator(0, "codes")
    codes = rng.normal(size=(500, 6)) * [5, 4, 3, 2, 1, 0.5] @ np.linalg.qr(np.eye(6) + 1)[0]
    expected = PCA().fit(codes)
    found = principal_directions(codes, codes)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, expected.explained_variance_**0.5, rtol=2e-3)
    cosines = (found / lengths[:, None] * expected.components_).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-9)


def test_principal_directions_of_samples_are_those_that_change_them_most() -> None:
    """Samples that are linear in latents, of which the third weighs most and then the first."""
    rng = numpy_generator(0, "latents")
    latents = rng.normal(size=(20_000, 4))
    weights = np.linalg.qr(rng.normal(size=(9, 4)))[0] * [3, 1, 9, 0]
    found = principal_directions(latents, latents @ weights.T)
    np.testing.assert_allclose(found[:3], np.eye(4)[[2, 0, 1]], atol=0.05)
    assert len(found) == 3 or np.isfinite(found).all()


@pytest.mark.parametrize("num_codes", [1, 2, 5])
def test_codes_that_do_not_differ_have_no_principal_directions(num_codes: int) -> None:
    codes = np.ones((num_codes, 3))
    assert principal_directions(codes, codes).shape == (0, 3)
