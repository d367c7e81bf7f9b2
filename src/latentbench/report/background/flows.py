"""Diffusion in one dimension, computed exactly: paths, the error of a sample, losses, weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from latentbench.report.presentation import style
from latentbench.report.presentation.line_plots import label_ends
from latentbench.report.presentation.style import COLORS, INK, MUTED

Values = NDArray[np.float64]

# The data: weights, means and standard deviations of two Gaussians.
_WEIGHTS, _MEANS, _STDS = np.array([0.35, 0.65]), np.array([-1.5, 1.0]), np.array([0.18, 0.28])
_LIMIT = 3.2  # of x in figures
_GRID = np.linspace(-9, 9, 6_001)
_EVALUATIONS = np.array([4, 8, 16, 32, 64, 128])
_NUM_STARTS = 200  # of paths whose error is measured, at equally likely values of noise

# Of pixels in [-1, 1] (Karras et al., 2022, table 1).
DATA_STD = 0.5
# Ho et al. (2020), section 4.
_DDPM_RATES = np.linspace(1e-4, 0.02, 1_000)


def velocity(x: Values, time: float) -> Values:
    """Return the mean of ε - x_0 given x_t = (1 - t) x_0 + t ε, at the values `x` of x_t."""
    variances = (1 - time) ** 2 * _STDS**2 + time**2
    offsets = x[..., None] - (1 - time) * _MEANS
    densities = _WEIGHTS * norm.pdf(offsets, scale=np.sqrt(variances))
    # Far from all data every density is 0 in floating point.
    posterior = densities / np.maximum(densities.sum(axis=-1, keepdims=True), 1e-300)
    noise = time * offsets / variances
    data = _MEANS + (1 - time) * _STDS**2 * offsets / variances
    return np.asarray((posterior * (noise - data)).sum(axis=-1))


def density(x: Values, time: float) -> Values:
    """Return the density of x_t."""
    stds = np.sqrt((1 - time) ** 2 * _STDS**2 + time**2)
    return np.asarray(norm.pdf(x[..., None], (1 - time) * _MEANS, stds) @ _WEIGHTS)


def sample_of(noise: Values) -> Values:
    """Return the data that the exact paths from `noise` at t = 1 end at.

    Paths in one dimension do not cross, so each keeps its quantile.
    """
    cumulative = norm.cdf(_GRID[:, None], _MEANS, _STDS) @ _WEIGHTS
    inside = (cumulative > 1e-12) & (cumulative < 1 - 1e-12)
    return np.asarray(np.interp(norm.cdf(noise), cumulative[inside], _GRID[inside]))


def solve(noise: Values, steps: int, *, second_order: bool) -> Values:
    """Return the states (steps + 1, number) of Euler's or Heun's method from t = 1 to 0."""
    states = [noise]
    times = np.linspace(1, 0, steps + 1)
    for now, after in pairwise(times.tolist()):
        slope = velocity(states[-1], now)
        if second_order:
            slope = (slope + velocity(states[-1] + (after - now) * slope, after)) / 2
        states.append(states[-1] + (after - now) * slope)
    return np.stack(states)


def solver_errors(evaluations: Values, *, second_order: bool) -> Values:
    """Return the root mean square error of samples, by evaluations of the velocity for each."""
    noise = norm.ppf((np.arange(_NUM_STARTS) + 0.5) / _NUM_STARTS)
    exact, errors = sample_of(noise), []
    for number in evaluations:
        steps = int(number) // (2 if second_order else 1)
        ends = solve(noise, steps, second_order=second_order)[-1]
        errors.append(np.sqrt(np.mean((ends - exact) ** 2)))
    return np.array(errors)


def least_loss(time: float) -> float:
    """Return the variance of ε - x_0 given x_t, the least loss of any network at this time."""
    mean_square = 1 + _WEIGHTS @ (_MEANS**2 + _STDS**2)
    explained = np.trapezoid(velocity(_GRID, time) ** 2 * density(_GRID, time), _GRID)
    return float(mean_square - explained)


def noise_weights(log_levels: Values) -> dict[str, Values]:
    """Return how much a loss weighs noise levels σ, as a density of log σ, by its name.

    It is the density of log σ in training times the weight of the error of the denoised image,
    relative to the error of the best linear prediction for data of variance DATA_STD².
    """
    sigma = np.exp(log_levels)
    linear = sigma**2 * DATA_STD**2 / (sigma**2 + DATA_STD**2)
    noise_rates = np.cumprod(1 - _DDPM_RATES)
    ddpm_levels = 0.5 * np.log((1 - noise_rates) / noise_rates)
    steps = np.arange(len(ddpm_levels))
    # A step is as likely as any other; there is none beyond the first and the last.
    ddpm = np.gradient(steps, ddpm_levels) / len(steps)
    weights = {
        # log σ is the logit of t, and the error of v is that of the image over t².
        "flow, uniform t": linear / sigma,
        "flow, logit-normal t": norm.pdf(log_levels) * linear * ((1 + sigma) / sigma) ** 2,
        "EDM": norm.pdf(log_levels, -1.2, 1.2),
        "DDPM": np.interp(log_levels, ddpm_levels, ddpm, left=0, right=0) * linear / sigma**2,
    }
    return {name: each / np.trapezoid(each, log_levels) for name, each in weights.items()}


def flow() -> Figure:
    """Return lines between data and noise, paths of their mean velocity, and solvers' errors."""
    figure, (lines, paths, errors) = _panels(3, 2.5)
    generator = np.random.default_rng(6)
    chosen = generator.choice(2, size=30, p=_WEIGHTS)
    data = _MEANS[chosen] + _STDS[chosen] * generator.standard_normal(30)
    faint: dict[str, Any] = {"color": MUTED, "linewidth": 0.6, "alpha": 0.8}
    lines.plot([0, 1], np.stack([data, generator.standard_normal(30)]), **faint)
    starts = norm.ppf((np.arange(15) + 0.5) / 15)
    states = solve(starts, 100, second_order=True)
    paths.plot(np.linspace(1, 0, 101), states, **faint | {"color": COLORS[1], "linewidth": 0.9})
    for axes, title in ((lines, "Lines to noise"), (paths, "Paths of the mean velocity")):
        _draw_densities(axes)
        axes.set(title=title, xlabel="time t", ylabel="x")
    ends = []
    for name, second_order, color in (("Euler", False, COLORS[2]), ("Heun", True, COLORS[3])):
        values = solver_errors(_EVALUATIONS, second_order=second_order)
        errors.plot(_EVALUATIONS, values, color=color, marker="o", markersize=3)
        ends.append((name, color, float(_EVALUATIONS[-1]), float(values[-1])))
    errors.set(title="Error of a sample", xlabel="evaluations", xscale="log", yscale="log")
    errors.set_xticks(_EVALUATIONS, map(str, _EVALUATIONS))
    errors.minorticks_off()
    errors.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    label_ends(errors, ends)
    return figure


def weights() -> Figure:
    """Return the least loss against time, and which noise levels losses weigh."""
    figure, (losses, levels) = _panels(2, 2.6)
    times = np.linspace(0.001, 1, 200)
    curve = [least_loss(time) for time in times]
    losses.plot(times, curve, color=COLORS[0])
    mean = _WEIGHTS @ _MEANS
    variance = float(_WEIGHTS @ (_MEANS**2 + _STDS**2) - mean**2)
    small: dict[str, Any] = {"color": MUTED, "fontsize": style.SMALL_SIZE}
    losses.plot([0, 1], [1, variance], color=INK, linestyle="", marker="o", markersize=4)
    losses.text(0.03, 1.12, "variance of the noise", va="bottom", **small)
    losses.text(0.97, variance, "variance of the data", va="top", ha="right", **small)
    losses.set(title="Least loss", xlabel="time t", xlim=(0, 1), ylim=(0, 1.1 * max(curve)))
    log_levels = np.linspace(np.log(0.003), np.log(60), 400)
    names = zip(noise_weights(log_levels).items(), COLORS, style.DASHES, strict=False)
    for (name, values), color, dashes in names:
        levels.plot(np.exp(log_levels), values, color=color, linestyle=dashes, label=name)
    levels.set(title="Weight of noise levels", xlabel="σ = t / (1 − t)", xscale="log", yticks=[])
    levels.set_xlim(0.003, 500)  # with room for the legend
    levels.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    levels.minorticks_off()
    levels.set_ylim(bottom=0)
    levels.legend(fontsize=style.SMALL_SIZE, loc="upper right")
    return figure


def _draw_densities(axes: Axes) -> None:
    """Draw the density of the data at the left edge and that of noise at the right one."""
    grid = np.linspace(-_LIMIT, _LIMIT, 300)
    for time, edge, inward, color in ((0.0, 0.0, 1, COLORS[0]), (1.0, 1.0, -1, MUTED)):
        values = density(grid, time)
        curve = edge + inward * 0.14 * values / values.max()
        axes.fill_betweenx(grid, edge, curve, color=color, alpha=0.35, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(-_LIMIT, _LIMIT), xticks=[0, 0.5, 1], yticks=[-2, 0, 2])
    axes.grid(visible=False)


def _panels(number: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(1, number))
