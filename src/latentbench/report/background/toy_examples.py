"""Losses, a game and distances in one or two dimensions, computed exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon
from scipy.special import expit, log_expit
from scipy.stats import norm, wasserstein_distance

from latentbench.report.presentation import style
from latentbench.report.presentation.line_plots import label_ends
from latentbench.report.presentation.style import COLORS, INK, MUTED

Values = NDArray[np.float64]

# Steps of the game, two rounds around its solution: alternating steps then end where they started.
GAME_STEPS = 80
GAME_STEP_SIZE = float(2 * np.sin(2 * np.pi / GAME_STEPS))


def generator_losses(logits: Values) -> dict[str, Values]:
    """Return what a generator minimizes for images with such logits, by the name of the loss."""
    return {
        "minimax": log_expit(-logits),
        "non-saturating": -log_expit(logits),
        "hinge": -logits,
        "least squares": 0.5 * (logits - 1) ** 2,
    }


def generator_gradients(logits: Values) -> dict[str, Values]:
    """Return the derivatives of `generator_losses` by the logit."""
    return {
        "minimax": -expit(logits),
        "non-saturating": expit(logits) - 1,
        "hinge": np.full_like(logits, -1),
        "least squares": logits - 1,
    }


def losses() -> Figure:
    """Return four losses of a generator and their gradients."""
    logits = np.linspace(-6, 4, 400)
    curves = (generator_losses(logits), generator_gradients(logits))
    figure, (left, right) = _panels(2, 2.6)
    for axes, by_name in zip((left, right), curves, strict=True):
        for (name, values), color, dashes in zip(
            by_name.items(), COLORS, style.DASHES, strict=False
        ):
            axes.plot(logits, values, color=color, linestyle=dashes, label=name)
        axes.axvline(0, color=MUTED, linewidth=0.6)
        axes.set_xlabel("logit s of a generated image")
    left.set(title="Loss of the generator", ylim=(-5, 9))
    right.set(title="Its gradient by s", ylim=(-3.2, 3.2))
    ends = zip(curves[1].items(), COLORS, strict=False)
    label_ends(right, [(name, color, 4.0, float(values[-1])) for (name, values), color in ends])
    return figure


def game_path(step_size: float, steps: int, *, alternating: bool) -> Values:
    """Return the points of gradient steps on min_x max_y xy from (1, 0), (steps + 1, 2).

    Simultaneous steps multiply the distance from the equilibrium by √(1 + η²). Alternating steps,
    in which y follows the new x, do not change x² + y² - ηxy: for η < 2 they stay on an ellipse
    (Gidel et al., 2019, section 5).
    """
    x, y = 1.0, 0.0
    path = [(x, y)]
    for _ in range(steps):
        new_x = x - step_size * y
        y += step_size * (new_x if alternating else x)
        x = new_x
        path.append((x, y))
    return np.array(path)


def game() -> Figure:
    """Return simultaneous and alternating steps of a game, and their distances from its center."""
    kinds = {"simultaneous": False, "alternating": True}
    figure, (*panels, distances) = _panels(3, 2.5)
    circle = np.linspace(0, 2 * np.pi, 200)
    ends = []
    for axes, (name, alternating), color in zip(panels, kinds.items(), COLORS, strict=False):
        path = game_path(GAME_STEP_SIZE, GAME_STEPS, alternating=alternating)
        axes.plot(np.cos(circle), np.sin(circle), color=MUTED, linewidth=0.8, linestyle="--")
        axes.plot(*path.T, color=color, linewidth=1, marker="o", markersize=2)
        axes.plot(0, 0, color=INK, marker="+", markersize=7)
        axes.set(title=f"{name.capitalize()} steps", xlabel="x", ylabel="y", aspect="equal")
        axes.set(xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        axes.grid(visible=False)
        radius = np.hypot(*path.T)
        distances.plot(radius, color=color)
        ends.append((name, color, float(GAME_STEPS), float(radius[-1])))
    distances.set(
        title="Distance from the cross", xlabel="step", ylim=(0, 2.9), xlim=(0, GAME_STEPS)
    )
    label_ends(distances, ends)
    return figure


def shifted_gaussians(shift: float, std: float = 0.25) -> tuple[Values, Values, Values]:
    """Return a grid and, on it, the densities of two Gaussians whose means are `shift` apart."""
    grid = np.linspace(-2, 6, 4_001)
    return grid, norm.pdf(grid, 0, std), norm.pdf(grid, shift, std)


def divergences(shift: float) -> tuple[float, float]:
    """Return Jensen-Shannon divergence and Wasserstein-1 distance of two shifted Gaussians."""
    grid, p, q = shifted_gaussians(shift)
    return float(jensenshannon(p, q) ** 2), float(wasserstein_distance(grid, grid, p, q))


def divergence_curves() -> Figure:
    """Return two narrow Gaussians, and two divergences between them against their distance."""
    shifts = np.linspace(0, 4, 81)
    figure, (densities, *panels) = _panels(3, 2.3)
    _draw_densities(densities, *shifted_gaussians(2.0))
    values = np.array([divergences(shift) for shift in shifts]).T
    titles = ("Jensen-Shannon", "Wasserstein-1")
    for axes, title, curve, color in zip(panels, titles, values, COLORS[2:4], strict=True):
        axes.plot(shifts, curve, color=color)
        axes.set(title=title, xlabel="distance θ", ylim=(0, None))
        axes.xaxis.set_major_locator(MultipleLocator(1))
    limit: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": style.SMALL_SIZE}
    panels[0].axhline(np.log(2), color=MUTED, linewidth=0.8, linestyle="--")
    panels[0].text(4, np.log(2) * 1.03, "log 2", color=MUTED, **limit)
    panels[0].set_ylim(0, 0.82)
    return figure


def frechet_distance(a: Values, b: Values) -> float:
    """Return the squared Fréchet distance of the Gaussians fitted to two clouds (points, 2)."""
    (mean_a, cov_a), (mean_b, cov_b) = ((cloud.mean(axis=0), np.cov(cloud.T)) for cloud in (a, b))
    root = sqrtm(cov_a @ cov_b).real
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root))


def clouds() -> tuple[Values, Values, Values]:
    """Return three clouds of points (400, 2).

    These are a Gaussian, three clusters with its mean and covariance, and the Gaussian shifted
    and stretched.
    """
    generator = np.random.default_rng(2)
    first = generator.standard_normal((400, 2)) @ np.array([[1.0, 0.35], [0.0, 0.75]])
    angles = np.repeat(np.arange(3), 134)[:400] * 2 * np.pi / 3 + 0.4
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    clusters = corners + 0.12 * generator.standard_normal((400, 2))
    from_root, to_root = (np.linalg.cholesky(np.cov(cloud.T)) for cloud in (clusters, first))
    white = np.linalg.solve(from_root, (clusters - clusters.mean(axis=0)).T)
    clusters = (to_root @ white).T + first.mean(axis=0)
    return first, clusters, first * np.array([1.5, 1.0]) + np.array([0.8, 0.4])


def frechet_examples() -> Figure:
    """Return clouds with the Gaussians fitted to them, and the distance of each to the first."""
    real, *others = clouds()
    titles = ["Real", *(f"Distance {abs(frechet_distance(real, other)):.2f}" for other in others)]
    points: dict[str, Any] = {"s": 5, "alpha": 0.5, "linewidths": 0, "rasterized": True}
    figure, panels = _panels(3, 2.25, share=True)
    for axes, cloud, title, color in zip(panels, (real, *others), titles, COLORS, strict=False):
        axes.scatter(cloud[:, 0], cloud[:, 1], color=color, **points)
        _draw_fitted(axes, cloud)
        axes.set(title=title, aspect="equal", xlim=(-4.2, 5.2), ylim=(-3.4, 3.8))
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    panels[0].set(xlabel="first feature", ylabel="second feature")
    return figure


def _panels(number: int, height: float, *, share: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
    panels = figure.subplots(1, number, squeeze=False, sharex=share, sharey=share)
    return figure, list(panels.ravel())


def _draw_densities(axes: Axes, grid: Values, p: Values, q: Values) -> None:
    for density, name, color in ((p, "P", COLORS[0]), (q, "Q", COLORS[1])):
        axes.fill_between(grid, density, color=color, alpha=0.35, linewidth=0)
        peak = (grid[density.argmax()], density.max() * 1.04)
        axes.text(*peak, name, color=color, ha="center", va="bottom")
    arrow = {"arrowstyle": "<->", "color": INK, "linewidth": 0.9}
    axes.annotate("", (0, 0.8), (2, 0.8), arrowprops=arrow)
    axes.text(1, 0.86, "θ", ha="center", va="bottom")
    axes.set(title="Two densities", xlim=(-1.2, 3.2), ylim=(0, 2.0), xlabel="x", yticks=[])


def _draw_fitted(axes: Axes, cloud: Values) -> None:
    """Draw the ellipses of one and two standard deviations of a fitted Gaussian."""
    variances, directions = np.linalg.eigh(np.cov(cloud.T))
    angle = float(np.degrees(np.arctan2(directions[1, -1], directions[0, -1])))
    for stds in (1, 2):
        size = 2 * stds * np.sqrt(variances[::-1])
        ellipse = Ellipse(tuple(cloud.mean(axis=0)), *size, angle=angle, fill=False)
        ellipse.set(edgecolor=INK, linewidth=1.0)
        axes.add_patch(ellipse)
