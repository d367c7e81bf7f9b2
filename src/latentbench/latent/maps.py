"""The codes of the test images as a whole: drawn in two dimensions, and how much of each dimension they use."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from latentbench.data.images import to_model
from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.subject import BATCH_SIZE, Rows, Subject
from latentbench.models.objective import ACTIVE_VARIANCE, Infers
from latentbench.models.vae import gaussian_kl_by_dimension

_PERPLEXITY = 30.0  # of t-SNE; fewer codes take a third of their number


def explore_codes(subject: Subject) -> Findings:
    """Maps by PCA and t-SNE (van der Maaten & Hinton, 2008), and the use of each dimension; for models that encode."""
    if not subject.can_encode:
        return Findings()
    rows = subject.order("test", "codes")[: subject.settings.num_mapped]
    codes = subject.encode(subject.images("test", rows), subject.labels("test", rows)).double().cpu().numpy()
    # More threads add in another order.
    with threadpool_limits(subject.threads):
        pca, shares = principal_components(codes)
        arrays = {"map_pca": pca, "map_tsne": neighbour_map(codes)}
    arrays["map_labels"] = subject.dataset.labels("test")[rows]
    facts: dict[str, Any] = {"pca_variance": shares, "class_names": subject.dataset.manifest.class_names}
    return Findings.joined([Findings(arrays, facts), usage(subject, codes, rows)])


def principal_components(codes: Array) -> tuple[Array, list[float]]:
    """Float32 (number, 2), and the shares of the variance that both axes have."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=2, svd_solver="full")
    places = model.fit_transform(codes)
    return places.astype(np.float32), [float(share) for share in model.explained_variance_ratio_]


def neighbour_map(codes: Array) -> Array:
    """Float32 (number, 2) by t-SNE from the principal components: near codes stay near, distances mean little else."""
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=min(_PERPLEXITY, len(codes) / 3), init="pca", random_state=0)
    places: Array = model.fit_transform(codes).astype(np.float32)
    return places


@torch.no_grad()
def usage(subject: Subject, codes: Array, rows: Rows) -> Findings:
    """The variance of each dimension of the codes, and where codes are Gaussian its share of the KL, in nats."""
    variance = codes.var(axis=0, ddof=1)
    arrays = {"usage_variance": variance}
    if isinstance(subject.objective, Infers):
        total = torch.zeros(codes.shape[1], dtype=torch.float64, device=subject.device)
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            images = to_model(torch.from_numpy(subject.images("test", batch)).to(subject.device))
            means, log_variances = subject.objective.posterior(images, subject.labels("test", batch))
            total += gaussian_kl_by_dimension(means, log_variances).double().sum(dim=0)
        arrays["usage_kl"] = (total / len(rows)).cpu().numpy()
    facts = {"active_units": int((variance > ACTIVE_VARIANCE).sum()), "active_variance": ACTIVE_VARIANCE}
    return Findings(arrays, facts)
