"""The Fréchet distance between two Gaussians."""

from __future__ import annotations

import torch

from latentbench.evaluation.feature_stats import FeatureStats


def frechet_distance(a: FeatureStats, b: FeatureStats) -> float:
    """|μₐ − μ_b|² + tr(Σₐ + Σ_b − 2 (Σₐ Σ_b)^½) (Dowson & Landau, 1982; Heusel et al., 2017, equation 6).

    With Σₐ = A Aᵀ, the product Σₐ Σ_b has the non-zero eigenvalues of the symmetric Aᵀ Σ_b A, and the trace
    of its root is the sum of their roots. That takes two matrix products and the eigenvalues of a symmetric
    matrix, no complex numbers and no root of a matrix; it is fastest where one side brings its `root`.

    Where there are fewer features than dimensions the covariances are singular. The eigenvalues beyond the
    rank are then known to be zero and are left out, rather than added as the roots of rounding errors. The
    usual implementations instead add 10⁻⁶ to both diagonals if their matrix root does not converge, which
    changes the distance itself.
    """
    if a.dim != b.dim:
        raise ValueError(
            f"the statistics have {a.dim} and {b.dim} dimensions; they are of different extractors"
        )
    if a.root is None:
        a, b = b, a
    root = a.root if a.root is not None else a.with_root().root
    assert root is not None
    product = root.T @ b.covariance @ root
    rank = min(a.rank, b.rank)
    # Rising order; the product is symmetric up to rounding, and only one triangle of it is read.
    eigenvalues = torch.linalg.eigvalsh(product)[len(product) - rank :]
    trace_of_root = eigenvalues.clamp(min=0).sqrt().sum()

    squared_step = (a.mean - b.mean).square().sum()
    distance = squared_step + a.covariance.trace() + b.covariance.trace() - 2 * trace_of_root
    return max(float(distance), 0.0)
