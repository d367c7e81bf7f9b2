"""What losses, distances and a diffusion do, computed where it can be seen in one or two dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from latentbench.report.presentation.line_plots import label_ends
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import COLORS, INK, MUTED, SMALL_SIZE, WIDTH, house_style

Values = NDArray[np.float64]

_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_NAMES = ("minimax", "non-saturating", "hinge", "least squares")

# Of Ho et al. (2020), section 4.
DIFFUSION_STEPS = 1_000
_NOISE_RATES = np.linspace(1e-4, 0.02, DIFFUSION_STEPS)
# The data of the diffusion: the weights, means and standard deviations of two Gaussians.
_WEIGHTS, _MEANS, _STDS = np.array([0.35, 0.65]), np.array([-1.5, 1.0]), np.array([0.18, 0.28])


def generator_losses(logits: Values) -> Mapping[str, Values]:
    """By name, what a generator minimizes for images with such logits."""
    softplus = np.logaddexp(0, logits)
    return dict(
        zip(_NAMES, (-softplus, softplus - logits, -logits, 0.5 * (logits - 1) ** 2), strict=True)
    )


def generator_gradients(logits: Values) -> Mapping[str, Values]:
    """Their derivatives by the logit."""
    probability = 1 / (1 + np.exp(-logits))
    return dict(
        zip(
            _NAMES,
            (-probability, probability - 1, np.full_like(logits, -1), logits - 1),
            strict=True,
        )
    )


def losses() -> Drawing:
    """Four losses of a generator, and their gradients."""
    logits = np.linspace(-6, 4, 400)
    with house_style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, curves in (
            (left, generator_losses(logits)),
            (right, generator_gradients(logits)),
        ):
            for (name, values), color, dashes in zip(curves.items(), COLORS, _DASHES, strict=False):
                axes.plot(logits, values, color=color, linestyle=dashes, label=name)
            axes.axvline(0, color=MUTED, linewidth=0.6)
            axes.set_xlabel("logit s of a generated image")
        left.set(title="Loss of the generator", ylim=(-5, 9))
        right.set(title="Its gradient by s", ylim=(-3.2, 3.2))
        ends = zip(generator_gradients(logits).items(), COLORS, strict=False)
        label_ends(right, [(name, color, 4.0, float(values[-1])) for (name, values), color in ends])
    described = (
        "Curves of four generator losses against the discriminator's logit, and of their gradients. Where the logit is "
        "very negative the minimax gradient is nearly 0, the non-saturating and the hinge gradient are near -1, and "
        "the least-squares gradient grows with the distance from 1."
    )
    return Drawing(figure, described)


def jensen_shannon(p: Values, q: Values, step: float) -> float:
    """In nats, of densities on a grid with such steps."""
    middle = (p + q) / 2

    def divergence(density: Values) -> float:
        inside = density > 0
        return float((density[inside] * np.log(density[inside] / middle[inside])).sum() * step)

    return (divergence(p) + divergence(q)) / 2


def wasserstein(p: Values, q: Values, step: float) -> float:
    """The Wasserstein-1 distance, which on a line is the area between the distribution functions."""
    return float(np.abs(np.cumsum(p - q) * step).sum() * step)


def bumps(shift: float, std: float = 0.25) -> tuple[Values, Values, Values]:
    """A grid, and on it the densities of two Gaussians whose means are `shift` apart."""
    grid = np.linspace(-2, 6, 4_001)
    return grid, normal_density(grid, 0, std), normal_density(grid, shift, std)


def normal_density(x: Values, mean: float | Values, std: float | Values) -> Values:
    return np.asarray(np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi)))


def divergences() -> Drawing:
    """Two narrow distributions that are moved apart: one measure saturates, the other does not."""
    shifts = np.linspace(0, 4, 81)
    with house_style():
        figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        grid, p, q = bumps(2.0)
        for density, name, color in ((p, "P", COLORS[0]), (q, "Q", COLORS[1])):
            first.fill_between(grid, density, color=color, alpha=0.35, linewidth=0)
            first.text(
                grid[density.argmax()],
                density.max() * 1.04,
                name,
                color=color,
                ha="center",
                va="bottom",
            )
        first.annotate(
            "", (0, 0.8), (2, 0.8), arrowprops={"arrowstyle": "<->", "color": INK, "linewidth": 0.9}
        )
        first.text(1, 0.86, "θ", ha="center", va="bottom")
        first.set(title="Two densities", xlim=(-1.2, 3.2), ylim=(0, 2.0), xlabel="x", yticks=[])
        for axes, measure, color in (
            (second, jensen_shannon, COLORS[2]),
            (third, wasserstein, COLORS[3]),
        ):
            values = [measure(*_with_step(shift)) for shift in shifts]
            axes.plot(shifts, values, color=color)
            axes.set(xlabel="distance θ", ylim=(0, None))
            axes.xaxis.set_major_locator(MultipleLocator(1))
        second.axhline(np.log(2), color=MUTED, linewidth=0.8, linestyle="--")
        second.text(
            4, np.log(2) * 1.03, "log 2", ha="right", va="bottom", color=MUTED, fontsize=SMALL_SIZE
        )
        second.set(title="Jensen-Shannon", ylim=(0, 0.82))
        third.set_title("Wasserstein-1")
    described = (
        "Two narrow Gaussians at distance θ. Their Jensen-Shannon divergence rises to log 2 within about one unit and "
        "stays there; their Wasserstein distance is θ throughout."
    )
    return Drawing(figure, described)


def _with_step(shift: float) -> tuple[Values, Values, float]:
    grid, p, q = bumps(shift)
    return p, q, float(grid[1] - grid[0])


def frechet(a: Values, b: Values) -> float:
    """The Fréchet distance, as FID has it, of the Gaussians fitted to two clouds (points, dimensions)."""
    (mean_a, cov_a), (mean_b, cov_b) = ((cloud.mean(axis=0), np.cov(cloud.T)) for cloud in (a, b))
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0))
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * roots.sum())


def clouds() -> tuple[Values, Values, Values]:
    """A Gaussian cloud, three clusters with exactly its mean and covariance, and the first shifted and stretched."""
    generator = np.random.default_rng(2)
    first = generator.standard_normal((400, 2)) @ np.array([[1.0, 0.35], [0.0, 0.75]])
    angles = np.repeat(np.arange(3), 134)[:400] * 2 * np.pi / 3 + 0.4
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    clusters = _with_moments(corners + 0.12 * generator.standard_normal((400, 2)), first)
    return first, clusters, first * np.array([1.5, 1.0]) + np.array([0.8, 0.4])


def _with_moments(cloud: Values, like: Values) -> Values:
    """The cloud, moved and stretched until its mean and covariance are those of the other."""
    from_root, to_root = (np.linalg.cholesky(np.cov(points.T)) for points in (cloud, like))
    white = np.linalg.solve(from_root, (cloud - cloud.mean(axis=0)).T)
    return np.asarray((to_root @ white).T + like.mean(axis=0))


def frechet_blindness() -> Drawing:
    """Clouds and the Gaussians fitted to them, with the distance of each from the first."""
    first, *others = clouds()
    with house_style():
        figure = Figure(figsize=(WIDTH, 2.25), layout="constrained")
        panels = figure.subplots(1, 3, sharex=True, sharey=True)
        titles = ["Real", *(f"Distance {abs(frechet(first, other)):.2f}" for other in others)]
        for axes, cloud, title, color in zip(
            panels, (first, *others), titles, COLORS, strict=False
        ):
            axes.scatter(*cloud.T, s=5, color=color, alpha=0.5, linewidths=0, rasterized=True)
            _fitted(axes, cloud)
            axes.set(
                title=title,
                aspect="equal",
                xlim=(-4.2, 5.2),
                ylim=(-3.4, 3.8),
                xticks=[],
                yticks=[],
            )
            axes.grid(visible=False)
        panels[0].set(xlabel="first feature", ylabel="second feature")
    described = (
        "Three clouds of points, each with the ellipses of the Gaussian fitted to it. The second falls into three "
        "clusters but has the ellipses of the first, and distance 0 from it; the third is shifted and wider."
    )
    return Drawing(figure, described)


def _fitted(axes: Axes, cloud: Values) -> None:
    variances, directions = np.linalg.eigh(np.cov(cloud.T))
    angle = float(np.degrees(np.arctan2(directions[1, -1], directions[0, -1])))
    for stds in (1, 2):
        width, height = 2 * stds * np.sqrt(variances[::-1])
        center = tuple(cloud.mean(axis=0))
        axes.add_patch(
            Ellipse(center, width, height, angle=angle, fill=False, edgecolor=INK, linewidth=1.0)
        )


def kept_share(step: int) -> float:
    """ᾱ: the share of the variance at a step that is still the data's, 1 before the first."""
    return float(np.prod(1 - _NOISE_RATES[:step]))


def diffusion_marginal(x: Values, step: int) -> Values:
    """The density of the data after so many steps of noise, in closed form."""
    kept = kept_share(step)
    stds = np.sqrt(kept * _STDS**2 + 1 - kept)
    parts = normal_density(x[:, None], np.sqrt(kept) * _MEANS, stds)
    return np.asarray(parts @ _WEIGHTS)


def diffusion_paths(number: int) -> Values:
    """(DIFFUSION_STEPS + 1, number): data, and what the noise of each step makes of them."""
    generator = np.random.default_rng(6)
    chosen = generator.choice(2, size=number, p=_WEIGHTS)
    path = [_MEANS[chosen] + _STDS[chosen] * generator.standard_normal(number)]
    for rate in _NOISE_RATES:
        path.append(
            np.sqrt(1 - rate) * path[-1] + np.sqrt(rate) * generator.standard_normal(number)
        )
    return np.stack(path)


def diffusion() -> Drawing:
    """Data turn into noise: the density at some steps, and paths between them."""
    grid = np.linspace(-3.6, 3.6, 400)
    steps = np.arange(0, DIFFUSION_STEPS + 1, 4)
    shown = (0, 100, 250, 500, 750, 1000)
    with house_style():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.plot(
            steps,
            diffusion_paths(14)[steps],
            color=MUTED,
            linewidth=0.5,
            alpha=0.55,
            rasterized=True,
        )
        for step in shown:
            density = diffusion_marginal(grid, step)
            axes.fill_betweenx(
                grid,
                step,
                step + 55 * density / density.max(),
                color=COLORS[0],
                alpha=0.4,
                linewidth=0,
            )
            axes.plot(np.full(2, step), grid[[0, -1]], color=COLORS[0], linewidth=0.6)
        _directions(axes)
        axes.set(
            xlabel="step t",
            ylabel="x",
            xlim=(-5, 1060),
            ylim=(-3.6, 5.0),
            xticks=shown,
            yticks=[-2, 0, 2],
        )
        axes.grid(visible=False)
    described = (
        "Paths of numbers from left to right: two groups of data lose their places as noise is added, and at step "
        "1,000 are distributed as N(0, 1). An arrow above points right, forward and fixed; another points left, "
        "reverse and learned."
    )
    return Drawing(figure, described)


def _directions(axes: Axes) -> None:
    ways = ((0, 1000, 4.5, COLORS[0], "forward: noise is added, nothing is learned"),
            (1000, 0, 3.8, COLORS[1], "reverse: a network takes it out, step by step"))  # fmt: skip
    for start, end, height, color, words in ways:
        axes.annotate(
            "",
            (end, height),
            (start, height),
            arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.2},
        )
        axes.text(500, height + 0.08, words, ha="center", va="bottom", color=color)
