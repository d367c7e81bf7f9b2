"""The models as diagrams: what is computed of what, and which way gradients go."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from latentbench.report.presentation.diagrams import arrow, box, canvas, head, note, write
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import (
    CLASS_COLORS,
    COLORS,
    INK,
    MUTED,
    SMALL_SIZE,
    WIDTH,
    house_style,
)

Points = NDArray[np.float64]

_NETWORK, _GRADIENT, _OTHER = COLORS[0], COLORS[1], COLORS[2]

NUM_GROUPS = 5
_PER_GROUP = 120
POSTERIOR_STD = 0.3  # of each code of the VAE that is drawn
_NEAR = 0.3  # a draw is near a code at most so far away


def encoders() -> Drawing:
    """An autoencoder over a VAE."""
    with house_style():
        figure, axes = canvas(3.55)
        _autoencoder(axes, 3.0)
        _vae(axes, 1.0)
    described = (
        "Two block diagrams. An autoencoder: image, encoder, code, decoder, reconstruction. A VAE: the encoder gives a "
        "mean and a standard deviation, the code is the mean plus the standard deviation times noise drawn outside; "
        "the gradient goes back through mean and standard deviation and not through the noise."
    )
    return Drawing(figure, described)


def _autoencoder(axes: Axes, y: float) -> None:
    head(axes, (0.1, y + 0.4), "Autoencoder")
    for x, words in ((0.4, "image x"), (2.85, "code z"), (6.75, "x̂")):
        write(axes, (x, y), words)
    box(axes, (1.6, y), "encoder", _NETWORK)
    box(axes, (5.5, y), "decoder", _NETWORK)
    for start, end in ((0.75, 1.08), (2.12, 2.5), (3.2, 4.97), (6.02, 6.55)):
        arrow(axes, (start, y), (end, y))
    _backwards(axes, y, (6.65, 6.02), (4.97, 2.12))
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
    for side, words in ((0.24, "μ(x)"), (-0.24, "σ(x)")):
        write(axes, (2.67, y + side), words)
        arrow(axes, (2.12, y + side / 2), (2.43, y + side))
        arrow(axes, (2.91, y + side), (3.3, y + side / 2))
    write(axes, (3.9, y + 0.75), "ε ∼ N(0, I)", color=_OTHER)
    arrow(axes, (3.9, y + 0.6), (3.9, y + 0.25), color=_OTHER)
    note(axes, (4.5, y + 0.75), "drawn outside: no gradient goes here", color=_OTHER, ha="left")
    _backwards(axes, y, (6.65, 6.02), (4.97, 4.5), (3.3, 2.12))
    note(axes, (0.1, y - 0.85), "minimized: −log p(x | z) + β KL(q(z | x) ‖ N(0, I))", ha="left")
    arrow(axes, (5.3, y - 0.85), (4.8, y - 0.85), color=_GRADIENT, dashed=True)
    note(axes, (5.4, y - 0.85), "the way of the gradient", color=_GRADIENT, ha="left")


def _backwards(axes: Axes, y: float, *spans: tuple[float, float]) -> None:
    """Dashed arrows under the forward ones."""
    for start, end in spans:
        arrow(axes, (start, y - 0.45), (end, y - 0.45), color=_GRADIENT, dashed=True)


def game() -> Drawing:
    """The two players of a GAN, and where a label goes."""
    with house_style():
        figure, axes = canvas(3.5)
        y, above = 1.25, 2.55
        write(axes, (0.55, y), "z ∼ N(0, I)")
        box(axes, (1.95, y), "generator G", _NETWORK, width=1.1)
        write(axes, (3.25, y), "G(z)")
        write(axes, (3.25, above), "real image x")
        box(axes, (4.7, 1.9), "discriminator D", _OTHER, width=1.25, height=0.7)
        write(axes, (6.1, 1.9), "logit s")
        arrow(axes, (1.0, y), (1.37, y))
        arrow(axes, (2.53, y), (2.98, y))
        arrow(axes, (3.53, y), (3.78, y), (3.78, 1.75), (4.05, 1.75))
        arrow(axes, (3.78, above - 0.14), (3.78, 2.05), (4.05, 2.05))
        arrow(axes, (5.35, 1.9), (5.75, 1.9))
        _labels(axes, y)
        _gradients(axes, y)
    described = (
        "A block diagram: noise z goes through the generator, its images and real ones go through the discriminator, "
        "which gives a logit. The discriminator's loss changes the discriminator; the generator's loss passes back "
        "through the unchanged discriminator and changes the generator. A label, where there is one, enters both."
    )
    return Drawing(figure, described)


def _labels(axes: Axes, y: float) -> None:
    color = COLORS[3]
    write(axes, (1.95, 3.2), "label y, if the GAN is conditional", color=color)
    arrow(axes, (1.95, 3.05), (1.95, y + 0.26), color=color)
    arrow(axes, (3.15, 3.2), (4.7, 3.2), (4.7, 2.27), color=color)
    note(axes, (1.85, 2.4), "its embedding\nbeside z", color=color, ha="right")
    note(axes, (4.8, 2.75), "its embedding\nbeside the pixels", color=color, ha="left")


def _gradients(axes: Axes, y: float) -> None:
    write(axes, (6.35, 1.32), "loss of D", color=_OTHER)
    arrow(axes, (5.95, 1.32), (4.9, 1.32), (4.9, 1.53), color=_OTHER, dashed=True)
    note(axes, (6.35, 1.12), "real up, generated down", color=_OTHER)
    write(axes, (6.35, 0.5), "loss of G", color=_GRADIENT)
    note(axes, (6.35, 0.3), "generated up", color=_GRADIENT)
    arrow(axes, (5.95, 0.5), (4.5, 0.5), (4.5, 1.53), color=_GRADIENT, dashed=True)
    arrow(
        axes, (4.4, 1.53), (4.4, 0.6), (1.95, 0.6), (1.95, y - 0.26), color=_GRADIENT, dashed=True
    )
    note(axes, (3.2, 0.42), "through D, whose weights stay", color=_GRADIENT)


def codes() -> Drawing:
    """Codes of both kinds of models against N(0, I), with draws from it."""
    free, bound = autoencoder_codes(), vae_codes()
    draws = np.random.default_rng(7).standard_normal((60, 2))
    with house_style():
        figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, name, drawn, reach in zip(
            panels, ("Autoencoder", "VAE"), (free, bound), (8.5, 3.9), strict=True
        ):
            _cloud(axes, drawn, draws, reach)
            axes.set_title(f"{name}: {100 * share_near(drawn):.0f} % of draws near a code")
    described = (
        "Two clouds of codes in five colors. Those of an autoencoder lie in islands off the origin, those of a VAE "
        "fill a disc about it. Crosses are draws from N(0, I); dashed circles hold half and 95 % of it."
    )
    return Drawing(figure, described)


def _cloud(axes: Axes, drawn: Points, draws: Points, reach: float) -> None:
    for group, color in zip(drawn, CLASS_COLORS, strict=False):
        axes.scatter(
            group[:, 0], group[:, 1], s=7, color=color, linewidths=0, alpha=0.75, rasterized=True
        )
    for share in (0.5, 0.95):
        radius = float(np.sqrt(-2 * np.log(1 - share)))
        axes.add_patch(
            Circle((0, 0), radius, fill=False, edgecolor=INK, linestyle="--", linewidth=0.9)
        )
    axes.scatter(draws[:, 0], draws[:, 1], marker="x", s=14, color=INK, linewidths=0.8)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="z₁", ylabel="z₂")
    axes.tick_params(labelsize=SMALL_SIZE)
    axes.grid(visible=False)


def autoencoder_codes() -> Points:
    """(groups, codes, 2) in islands: nothing in the loss says where they should lie, nor how close."""
    generator = np.random.default_rng(3)
    centers = np.array([[5.2, 3.6], [-4.6, 5.0], [-5.4, -3.2], [3.4, -5.4], [0.6, 2.2]])
    lengths = np.array([[1.4, 0.35], [0.5, 1.1], [1.2, 0.5], [0.4, 0.9], [1.0, 0.3]])
    slopes = np.array([0.5, -0.4, 0.9, 0.3, -0.7])
    noise = generator.standard_normal((NUM_GROUPS, _PER_GROUP, 2)) * lengths[:, None]
    noise[..., 1] += slopes[:, None] * noise[..., 0]
    return np.asarray(centers[:, None] + noise)


def vae_codes() -> Points:
    """(groups, codes, 2), each a draw from a Gaussian of standard deviation POSTERIOR_STD, together N(0, I).

    The means lie in one sector for each group.
    """
    generator = np.random.default_rng(4)
    means = generator.standard_normal((NUM_GROUPS * _PER_GROUP, 2)) * np.sqrt(1 - POSTERIOR_STD**2)
    order = np.argsort(np.arctan2(means[:, 1], means[:, 0]))
    drawn = means[order] + POSTERIOR_STD * generator.standard_normal(means.shape)
    return np.asarray(drawn.reshape(NUM_GROUPS, _PER_GROUP, 2))


def share_near(drawn: Points, *, number: int = 4_000) -> float:
    """Of draws from N(0, I), those with a code nearby."""
    draws = np.random.default_rng(5).standard_normal((number, 2))
    distances = np.linalg.norm(draws[:, None] - drawn.reshape(1, -1, 2), axis=2)
    return float((distances.min(axis=1) <= _NEAR).mean())
