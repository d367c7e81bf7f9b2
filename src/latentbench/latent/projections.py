"""The codes of the test images as a whole: drawn in two dimensions, and how much of each dimension they use."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.model_probe import ModelProbe
from latentbench.models.objective import ACTIVE_VARIANCE
from latentbench.models.vae import gaussian_kl_by_dimension

_PERPLEXITY = 30.0  # of t-SNE; fewer codes take a third of their number


def explore_codes(subject: ModelProbe) -> Findings:
    """Maps by PCA and t-SNE (van der Maaten & Hinton, 2008), and the use of each dimension; for models that encode.

    The use is the variance of the code over images, and where codes are Gaussian the mean KL from the prior in nats.
    """
    if not subject.can_encode:
        return Findings()
    rows = subject.order("test", "codes")[: subject.settings.num_projected]
    images, labels = subject.images("test", rows), subject.labels("test", rows)
    encoded, log_variances = subject.posterior(images, labels) or (
        subject.encode(images, labels),
        None,
    )
    codes = encoded.double().cpu().numpy()
    # More threads add in another order.
    with threadpool_limits(subject.threads):
        pca, shares = principal_components(codes)
        arrays = {"projection_pca": pca, "projection_tsne": tsne(codes)}
    arrays["projection_labels"] = subject.dataset.labels("test")[rows]
    if log_variances is not None:
        divergence = gaussian_kl_by_dimension(encoded, log_variances).double().mean(dim=0)
        arrays["kl_per_dimension"] = divergence.cpu().numpy()
    arrays["variance_per_dimension"] = codes.var(axis=0, ddof=1)
    facts = {
        "pca_variance": shares,
        "active_units": int((arrays["variance_per_dimension"] > ACTIVE_VARIANCE).sum()),
        "active_variance": ACTIVE_VARIANCE,
    }
    return Findings(arrays, facts)


def principal_components(codes: Array) -> tuple[Array, list[float]]:
    """Float32 (number, 2), and the shares of the variance that both axes have."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=2, svd_solver="full")
    places = model.fit_transform(codes)
    return places.astype(np.float32), [float(share) for share in model.explained_variance_ratio_]


def tsne(codes: Array) -> Array:
    """Float32 (number, 2) by t-SNE from the principal components: near codes stay near, distances mean little else."""
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=min(_PERPLEXITY, len(codes) / 3), init="pca", random_state=0)
    places: Array = model.fit_transform(codes).astype(np.float32)
    return places
