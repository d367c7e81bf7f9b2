"""Codes of test images: projections to two dimensions, variance and KL of each dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.model_probe import ModelProbe
from latentbench.models.objective import ACTIVE_VARIANCE
from latentbench.models.vae import gaussian_kl_by_dimension
from latentbench.runtime.device import to_float64

_PERPLEXITY = 30.0  # of t-SNE, at most a third of the number of codes
_FEWEST_CODES = 3  # for t-SNE


def explore_projections(probe: ModelProbe) -> Findings:
    """Project codes by PCA and t-SNE (van der Maaten & Hinton, 2008), and measure each dimension.

    A dimension has the variance of the codes over images and, where posteriors are Gaussian, the
    mean KL divergence from the prior in nats. Nothing for models without an encoder. Noise of the
    size of an image has no measured dimensions: with the exact ODE each has a variance of 1.
    """
    if not probe.has_encoder:
        return Findings()
    rows = probe.projected_rows
    images, labels = probe.images("test", rows), probe.labels("test", rows)
    posterior = probe.posterior(images, labels)
    encoded = probe.projected_codes if posterior is None else posterior[0]
    codes = encoded.cpu().double().numpy()
    # The number of threads changes the order of sums and so the bits.
    with threadpool_limits(probe.threads):
        pca, variance_shares = principal_components(codes)
        arrays = {"projection_pca": pca, "projection_tsne": tsne(codes)}
    arrays["projection_rows"] = rows
    arrays["projection_labels"] = probe.dataset.labels("test")[rows]
    facts: dict[str, Any] = {"pca_variance": variance_shares}
    if probe.has_ode:
        return Findings(arrays, facts)
    if posterior is not None:
        divergence = to_float64(gaussian_kl_by_dimension(*posterior)).mean(dim=0)
        arrays["kl_per_dimension"] = divergence.cpu().numpy()
    variance = codes.var(axis=0, ddof=min(1, len(codes) - 1))
    arrays["variance_per_dimension"] = variance
    facts["active_units"] = int((variance > ACTIVE_VARIANCE).sum())
    facts["active_variance"] = ACTIVE_VARIANCE
    return Findings(arrays, facts)


def principal_components(codes: Array) -> tuple[Array, list[float]]:
    """Return float32 (number, 2), and the share of the variance along each axis.

    Axes without variance are 0: all of them if the codes are equal, the second of one dimension.
    """
    from sklearn.decomposition import PCA

    projected = np.zeros((len(codes), 2), np.float32)
    shares = [0.0, 0.0]
    if _differ(codes):
        number = min(2, *codes.shape)
        model = PCA(n_components=number, svd_solver="full")
        projected[:, :number] = model.fit_transform(codes)
        shares[:number] = model.explained_variance_ratio_.tolist()
    return projected, shares


def tsne(codes: Array) -> Array:
    """Return float32 (number, 2) by t-SNE from the principal components.

    Neighbors stay close; other distances are not preserved. Codes of one dimension start at random
    places, and codes that do not differ are 0.
    """
    from sklearn.manifold import TSNE

    if len(codes) < _FEWEST_CODES or not _differ(codes):
        return np.zeros((len(codes), 2), np.float32)
    start = "pca" if codes.shape[1] > 1 else "random"
    model = TSNE(perplexity=min(_PERPLEXITY, len(codes) / 3), init=start, random_state=0)
    projected: Array = model.fit_transform(codes).astype(np.float32)
    return projected


def _differ(codes: Array) -> bool:
    return len(np.unique(codes.astype(np.float32), axis=0)) > 1
