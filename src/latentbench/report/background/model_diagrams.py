"""Diagrams of the models: what is computed from what, and where gradients flow."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from latentbench.report.presentation import style
from latentbench.report.presentation.diagrams import arrow, box, canvas, head, note, write
from latentbench.report.presentation.style import INK, MUTED

Points = NDArray[np.float64]

_NETWORK, _GRADIENT, _OTHER, _LABEL = style.COLORS[:4]

NUM_GROUPS = 5
_NUM_CODES = 120  # of each group
POSTERIOR_STD = 0.3  # of each code of the VAE
_NEAR = 0.3  # the largest distance of a draw that counts as near a code


def encoders() -> Figure:
    """Return diagrams of an autoencoder and a VAE."""
    figure, axes = canvas(3.55)
    _autoencoder(axes, 3.0)
    _vae(axes, 1.0)
    return figure


def gan() -> Figure:
    """Return a diagram of the two networks of a GAN, and of where a label enters."""
    figure, axes = canvas(3.5)
    y = 1.25
    write(axes, (0.55, y), "z ∼ N(0, I)")
    box(axes, (1.95, y), "generator G", _NETWORK, width=1.1)
    write(axes, (3.25, y), "G(z)")
    write(axes, (3.25, 2.55), "real image x")
    box(axes, (4.7, 1.9), "discriminator D", _OTHER, width=1.25, height=0.7)
    write(axes, (6.1, 1.9), "logit s")
    arrow(axes, (1.0, y), (1.37, y))
    arrow(axes, (2.53, y), (2.98, y))
    arrow(axes, (3.53, y), (3.78, y), (3.78, 1.75), (4.05, 1.75))
    arrow(axes, (3.78, 2.41), (3.78, 2.05), (4.05, 2.05))
    arrow(axes, (5.35, 1.9), (5.75, 1.9))
    _labels(axes)
    _losses(axes)
    return figure


def diffusion() -> Figure:
    """Return a diagram of a diffusion model's training step and of its sampling."""
    figure, axes = canvas(3.3)
    y = 2.3
    head(axes, (0.1, 3.1), "Training")
    write(axes, (0.45, y + 0.3), "image x")
    write(axes, (0.45, y - 0.3), "ε ∼ N(0, I)", color=_OTHER)
    write(axes, (2.05, y + 0.65), "time t", color=_LABEL)
    box(axes, (2.05, y), "xₜ = (1 − t) x + t ε", MUTED, width=1.6)
    box(axes, (4.2, y), "U-Net v", _NETWORK)
    write(axes, (6.1, y), "‖v(xₜ, t) − (ε − x)‖²")
    arrow(axes, (0.85, y + 0.3), (1.23, y + 0.1))
    arrow(axes, (0.95, y - 0.3), (1.23, y - 0.1), color=_OTHER)
    arrow(axes, (2.05, y + 0.52), (2.05, y + 0.25), color=_LABEL)
    arrow(axes, (2.35, y + 0.65), (4.2, y + 0.65), (4.2, y + 0.25), color=_LABEL)
    arrow(axes, (2.87, y), (3.68, y))
    arrow(axes, (4.72, y), (5.2, y))
    arrow(axes, (5.2, y - 0.32), (4.72, y - 0.32), color=_GRADIENT, dashed=True)
    note(axes, (4.96, y - 0.52), "gradient", color=_GRADIENT)
    note(axes, (2.05, y - 0.52), "a fixed process, with nothing to learn")
    y = 0.85
    head(axes, (0.1, 1.45), "Sampling")
    write(axes, (0.65, y), "x₁ = z ∼ N(0, I)")
    box(axes, (2.6, y), "U-Net v", _NETWORK)
    box(axes, (4.5, y), "x − Δt v(x, t)", MUTED, width=1.2)
    write(axes, (6.55, y), "image x₀")
    arrow(axes, (1.3, y), (2.08, y))
    arrow(axes, (3.12, y), (3.88, y))
    arrow(axes, (5.12, y), (6.1, y))
    arrow(axes, (5.3, y), (5.3, y - 0.5), (1.7, y - 0.5), (1.7, y - 0.08))
    note(axes, (3.5, y - 0.68), "once per step, from t = 1 to 0")
    return figure


def codes() -> Figure:
    """Return codes of an autoencoder and a VAE against N(0, I), with draws from it."""
    draws = np.random.default_rng(7).standard_normal((60, 2))
    figure = Figure(figsize=(style.WIDTH, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_codes(left, "Autoencoder", autoencoder_codes(), draws, limit=8.5)
    _draw_codes(right, "VAE", vae_codes(), draws, limit=3.9)
    return figure


def autoencoder_codes() -> Points:
    """Return codes in islands, (groups, codes, 2): the loss does not constrain where they lie."""
    generator = np.random.default_rng(3)
    centers = np.array([[5.2, 3.6], [-4.6, 5.0], [-5.4, -3.2], [3.4, -5.4], [0.6, 2.2]])
    lengths = np.array([[1.4, 0.35], [0.5, 1.1], [1.2, 0.5], [0.4, 0.9], [1.0, 0.3]])
    slopes = np.array([0.5, -0.4, 0.9, 0.3, -0.7])
    noise = generator.standard_normal((NUM_GROUPS, _NUM_CODES, 2)) * lengths[:, None]
    noise[..., 1] += slopes[:, None] * noise[..., 0]
    return np.asarray(centers[:, None] + noise)


def vae_codes() -> Points:
    """Return draws from Gaussians of std POSTERIOR_STD that add up to N(0, I), (groups, codes, 2).

    The means of each group lie in one sector.
    """
    generator = np.random.default_rng(4)
    means = generator.standard_normal((NUM_GROUPS * _NUM_CODES, 2)) * np.sqrt(1 - POSTERIOR_STD**2)
    order = np.argsort(np.arctan2(means[:, 1], means[:, 0]))
    drawn = means[order] + POSTERIOR_STD * generator.standard_normal(means.shape)
    return np.asarray(drawn.reshape(NUM_GROUPS, _NUM_CODES, 2))


def fraction_near(drawn: Points, *, number: int = 4_000) -> float:
    """Return the fraction of draws from N(0, I) that have a code nearby."""
    draws = np.random.default_rng(5).standard_normal((number, 2))
    return float((cdist(draws, drawn.reshape(-1, 2)).min(axis=1) <= _NEAR).mean())


def _autoencoder(axes: Axes, y: float) -> None:
    head(axes, (0.1, y + 0.4), "Autoencoder")
    for x, text in ((0.4, "image x"), (2.85, "code z"), (6.75, "x̂")):
        write(axes, (x, y), text)
    box(axes, (1.6, y), "encoder", _NETWORK)
    box(axes, (5.5, y), "decoder", _NETWORK)
    for start, end in ((0.75, 1.08), (2.12, 2.5), (3.2, 4.97), (6.02, 6.55)):
        arrow(axes, (start, y), (end, y))
    for start, end in ((6.65, 6.02), (4.97, 2.12)):
        arrow(axes, (start, y - 0.45), (end, y - 0.45), color=_GRADIENT, dashed=True)
    note(axes, (0.1, y - 0.85), "minimized: ‖x − x̂‖²", ha="left")


def _vae(axes: Axes, y: float) -> None:
    head(axes, (0.1, y + 0.75), "Variational autoencoder")
    write(axes, (0.4, y), "image x")
    write(axes, (6.75, y), "x̂")
    box(axes, (1.6, y), "encoder", _NETWORK)
    box(axes, (3.9, y), "z = μ + σ ⊙ ε", MUTED, width=1.16)
    box(axes, (5.5, y), "decoder", _NETWORK)
    for start, end in ((0.75, 1.08), (4.5, 4.97), (6.02, 6.55)):
        arrow(axes, (start, y), (end, y))
    for offset, text in ((0.24, "μ(x)"), (-0.24, "σ(x)")):
        write(axes, (2.67, y + offset), text)
        arrow(axes, (2.12, y + offset / 2), (2.43, y + offset))
        arrow(axes, (2.91, y + offset), (3.3, y + offset / 2))
    write(axes, (3.9, y + 0.75), "ε ∼ N(0, I)", color=_OTHER)
    arrow(axes, (3.9, y + 0.6), (3.9, y + 0.25), color=_OTHER)
    note(axes, (4.5, y + 0.75), "external noise: no gradient", color=_OTHER, ha="left")
    for start, end in ((6.65, 6.02), (4.97, 4.5), (3.3, 2.12)):
        arrow(axes, (start, y - 0.45), (end, y - 0.45), color=_GRADIENT, dashed=True)
    note(axes, (0.1, y - 0.85), "minimized: −log p(x | z) + β KL(q(z | x) ‖ N(0, I))", ha="left")
    arrow(axes, (5.3, y - 0.85), (4.8, y - 0.85), color=_GRADIENT, dashed=True)
    note(axes, (5.4, y - 0.85), "gradient", color=_GRADIENT, ha="left")


def _labels(axes: Axes) -> None:
    write(axes, (1.95, 3.2), "label y, if the GAN is conditional", color=_LABEL)
    arrow(axes, (1.95, 3.05), (1.95, 1.51), color=_LABEL)
    arrow(axes, (3.15, 3.2), (4.7, 3.2), (4.7, 2.27), color=_LABEL)
    note(axes, (1.85, 2.4), "its embedding\nis appended to z", color=_LABEL, ha="right")
    note(axes, (4.8, 2.75), "its embedding\nis appended to x", color=_LABEL, ha="left")


def _losses(axes: Axes) -> None:
    write(axes, (6.35, 1.32), "loss of D", color=_OTHER)
    arrow(axes, (5.95, 1.32), (4.9, 1.32), (4.9, 1.53), color=_OTHER, dashed=True)
    note(axes, (6.35, 1.12), "real up, generated down", color=_OTHER)
    write(axes, (6.35, 0.5), "loss of G", color=_GRADIENT)
    note(axes, (6.35, 0.3), "generated up", color=_GRADIENT)
    arrow(axes, (5.95, 0.5), (4.5, 0.5), (4.5, 1.53), color=_GRADIENT, dashed=True)
    places = ((4.4, 1.53), (4.4, 0.6), (1.95, 0.6), (1.95, 0.99))
    arrow(axes, *places, color=_GRADIENT, dashed=True)
    note(axes, (3.2, 0.42), "through D, whose weights are fixed", color=_GRADIENT)


def _draw_codes(axes: Axes, name: str, drawn: Points, draws: Points, *, limit: float) -> None:
    points: dict[str, Any] = {"s": 7, "linewidths": 0, "alpha": 0.75, "rasterized": True}
    for group, color in zip(drawn, style.CLASS_COLORS, strict=False):
        axes.scatter(group[:, 0], group[:, 1], color=color, **points)
    for probability in (0.5, 0.95):
        radius = float(np.sqrt(-2 * np.log(1 - probability)))
        circle = Circle((0, 0), radius, fill=False, edgecolor=INK, linestyle="--", linewidth=0.9)
        axes.add_patch(circle)
    axes.scatter(draws[:, 0], draws[:, 1], marker="x", s=14, color=INK, linewidths=0.8)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="z₁", ylabel="z₂")
    axes.set_title(f"{name}: {100 * fraction_near(drawn):.0f} % of draws near a code")
    axes.tick_params(labelsize=style.SMALL_SIZE)
    axes.grid(visible=False)
