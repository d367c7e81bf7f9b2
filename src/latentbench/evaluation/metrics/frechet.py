"""The Fréchet distance between two Gaussians."""

from __future__ import annotations

import torch

from latentbench.evaluation.features.feature_stats import FeatureStats


def frechet_distance(a: FeatureStats, b: FeatureStats) -> float:
    """Return |μₐ − μ_b|² + tr(Σₐ + Σ_b − 2 (Σₐ Σ_b)^½).

    This is equation 6 of Heusel et al. (2017), after Dowson & Landau (1982).

    With Σₐ = A Aᵀ, the product Σₐ Σ_b has the non-zero eigenvalues of the symmetric matrix Aᵀ Σ_b
    A, and the trace of its square root is the sum of their square roots. This takes two matrix
    products and a symmetric eigenvalue problem instead of `scipy.linalg.sqrtm`. For 2,048 features
    and 5,000 images it takes 1.5 s, where one side has its `root` at hand, and clean-fid's function
    24 s (AMD EPYC, 1 thread, benchmarks/frechet.py); both agree to 1e-14.

    With fewer features than dimensions the covariances are singular. The eigenvalues beyond the
    rank are zero and are left out, so that their rounding errors do not count. The usual
    implementations instead add 10⁻⁶ to both diagonals where sqrtm does not converge, which changes
    the distance.
    """
    if a.dim != b.dim:
        raise ValueError(
            f"the statistics have {a.dim} and {b.dim} dimensions: they are of different extractors"
        )
    if a.root is None:
        a, b = b, a
    root = a.root if a.root is not None else a.with_root().root
    assert root is not None
    product = root.T @ b.covariance @ root
    rank = min(a.rank, b.rank)
    # Ascending; eigvalsh reads one triangle, because the product is symmetric up to rounding.
    eigenvalues = torch.linalg.eigvalsh(product)[len(product) - rank :]
    trace_of_root = eigenvalues.clamp(min=0).sqrt().sum()

    mean_distance = (a.mean - b.mean).square().sum()
    distance = mean_distance + a.covariance.trace() + b.covariance.trace() - 2 * trace_of_root
    return max(float(distance), 0.0)
