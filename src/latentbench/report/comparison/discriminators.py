"""How well the discriminators of GANs separate real from generated images, and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from latentbench.report.comparison.classes import FEWEST, cells_table, pivot, stack_rows
from latentbench.report.presentation import image_grids, line_plots, page, style
from latentbench.report.presentation.image_grids import Panel
from latentbench.results import Experiment, Study, Table
from latentbench.results.files import Array
from latentbench.results.formatting import escape_markdown, join_words, percent
from latentbench.results.quantities import format_number
from latentbench.results.tables import ABSENT, percent_cell

_COUNTS = {"num_real": "Real images", "num_generated": "Generated"}
_SHARES = {
    "accuracy": "Right, %",
    "predicted_fake": "Called fake, %",
    "false_positives": "Generated called real, %",
    "false_negatives": "Real called fake, %",
}
_COLUMNS = _COUNTS | _SHARES | {"threshold": "Threshold"}
_COUNTED = {"false_positives": ["num_generated"], "false_negatives": ["num_real"]}
_BY_CLASS = {
    "accuracy": ("accuracy", "images on which each discriminator is right"),
    "false_positives": ("false positives", "generated images called real"),
    "false_negatives": ("false negatives", "real test images called fake"),
}
_LEFT_OUT = f"Rows of zeros and classes with fewer than {FEWEST} images are left out."
_SPLITS = {"training": "train", "test": "test", "generated": "generated"}
_KINDS = ("real", "generated")
_WRONG = "most wrong"
_JUDGMENTS = ("surest", "least sure", _WRONG)
_SURELY_FAKE = -700  # a score whose exponential overflows
_NEARLY_ALL, _MOST = 0.9, 0.65  # shares of a balanced set of images
_MANY_TIMES = 3  # by so much one rate of errors exceeds the other
_TEXT_LEVEL = 0.17  # of the highest peak: the height of a line of text above it
_NUM_BINS = 40
_PANELS_SHARE = 0.78  # of the figure's width, without the tick labels
_TAIL = 0.002  # share of the scores left out at either end of the axis


def judgments(study: Study) -> Table:
    """Return a row per GAN: its discriminator on real test images and on generated ones."""
    rows = stack_rows(study, lambda each: [_facts(each)["all"]] if _facts(each) else [])
    if rows.empty:
        return Table(None)
    cells = _cells(rows)
    thresholds = rows["experiment"].map(lambda name: _facts(study[name])["threshold"])
    cells["threshold"] = thresholds.map(lambda value: format_number(value, 1))
    return _all_shares("Model", cells.set_index("experiment").rename(escape_markdown))


def judgments_by_class(study: Study) -> list[tuple[str, Table, str]]:
    """Return tables by class as name, table and caption.

    One model of a dataset has a table of all shares. Of several there is a table per share.
    """
    tables = []
    all_rows = stack_rows(study, lambda each: _facts(each).get("classes"))
    for where, rows in all_rows.groupby("where", sort=False):
        cells = _cells(rows)
        models = list(rows["experiment"].unique())
        if len(models) == 1:
            caption = f"The same of **{escape_markdown(models[0])}**{where}, by class."
            table = _all_shares("Class", cells.set_index("name"))
            tables.append((f"discriminator by class{where}", table, caption))
            continue
        for key, (title, what) in _BY_CLASS.items():
            by_class = pivot(cells, key).fillna(ABSENT)
            shown = by_class[~by_class.isin([ABSENT, percent_cell(0)]).all(axis="columns")]
            if len(shown):
                caption = f"Share (%) of {what}, by class{where}. {_LEFT_OUT}"
                table = cells_table("Class", shown)
                tables.append((f"discriminator {title} by class{where}", table, caption))
    return tables


def score_histograms(study: Study) -> page.Drawing:
    """Return a panel per GAN: the scores of training, test and generated images."""
    arrays = [f"scores_{split}" for split in _SPLITS.values()]
    found, notes = study.with_evaluation(*arrays, facts=["discriminator"])
    present = [each for each in found if all(map(len, _scores(each).values()))]
    if not present:
        return page.Drawing(None, notes=notes)
    figures, panels = line_plots.panels_of_curves(len(present))
    inches = _PANELS_SHARE * style.WIDTH / min(3, len(present))
    for experiment, axes in zip(present, panels, strict=True):
        _draw_histogram(axes, experiment, inches=inches)
    description = "Histograms of the discriminators' scores, of"
    return page.Drawing.of(figures, description, present, notes)


def judged_images(study: Study) -> page.Drawing:
    """Return two lines of images per GAN, real and generated, with their scores.

    Each line has the surest judgments, the least sure and those that are most wrong.
    """
    arrays = [f"judged_{kind}{suffix}" for kind in _KINDS for suffix in ("", "_scores")]
    present, notes = study.with_evaluation(*arrays, facts=["discriminator"])
    if not present:
        return page.Drawing(None, notes=notes)
    groups = [_judgment_panels(each, kind) for each in present for kind in _KINDS]
    figures = image_grids.panels_figures(groups, across=len(_JUDGMENTS))
    description = "Real and generated images with the surest and the most wrong scores, of"
    return page.Drawing.of(figures, description, present, notes)


def score_scales(study: Study) -> str:
    """Return whose scores are probabilities, and the thresholds of the others, as sentences."""
    estimated, others = [], []
    for each in study:
        facts = _facts(each)
        if facts.get("estimates_probability"):
            estimated.append(each.in_markdown)
        elif facts:
            threshold = format_number(facts["threshold"], 2)
            others.append(f"{each.in_markdown} (threshold {threshold})")
    sentences = []
    if estimated:
        sentences.append(
            f"Numbers of {join_words(estimated)} are the estimated probability that the image is "
            "real, the sigmoid of the score."
        )
    if others:
        sentences.append(
            f"Those of {join_words(others)} are scores, which are no probabilities: only their "
            "order and the side of the threshold have a meaning."
        )
    return " ".join(sentences)


def verdicts(study: Study) -> str:
    """Return a list of what discriminators achieve, alike ones together."""
    found: dict[str, list[str]] = {}
    for experiment in study:
        if _facts(experiment):
            verdict, share = _verdict(_facts(experiment)["all"])
            found.setdefault(verdict, []).append(f"**{experiment.in_markdown}** ({percent(share)})")
    return "\n".join(f"- {verdict}: {join_words(names)}." for verdict, names in found.items())


def _facts(experiment: Experiment) -> Mapping[str, Any]:
    return experiment.evaluation.get("discriminator") or {}


def _judgment_panels(experiment: Experiment, kind: str) -> list[Panel]:
    """Return a panel per judgment; images that are not wrong are left out of the last."""
    images = experiment.evaluation_arrays[f"judged_{kind}"]
    scores = experiment.evaluation_arrays[f"judged_{kind}_scores"].astype(float)
    wrong = (scores[-1] > _facts(experiment)["threshold"]) == (kind == "generated")
    panels = []
    for place, judgment in enumerate(_JUDGMENTS):
        shown = wrong if judgment == _WRONG else np.ones_like(wrong)
        labels = [_score_label(experiment, score) for score in scores[place][shown]]
        title = f"{kind}, {judgment}" if shown.any() else f"{kind}, none wrong"
        if place == 0:
            title = f"{experiment.name}: {title}"
        color = style.color_of(experiment.index)
        panels.append(Panel(title, color, images[place][None], columns=labels, shown=shown[None]))
    return panels


def _score_label(experiment: Experiment, score: float) -> str:
    """Return the probability in percent where the score stands for one, else the score."""
    if not _facts(experiment).get("estimates_probability"):
        return format_number(round(score, 2) + 0.0, 2)  # no −0.0
    percentage = 100 / (1 + math.exp(-score)) if score > _SURELY_FAKE else 0.0
    if percentage < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if percentage > 99.9 else f"{percentage:.1f} %"


def _verdict(row: Mapping[str, Any]) -> tuple[str, float]:
    """Return what a discriminator achieves, and the share that shows it."""
    for kind, share in (("fake", row["predicted_fake"]), ("real", 1 - row["predicted_fake"])):
        if share >= _MOST:
            extent = "nearly everything" if share >= _NEARLY_ALL else "too many images"
            return f"Calls {extent} {kind} (share of a set that is half {kind})", share
    accuracy = row["accuracy"]
    if accuracy >= _NEARLY_ALL:
        verdict = "Separates real from generated images"
    elif accuracy >= _MOST:
        verdict = "Separates most real from generated images"
    else:
        verdict = "Hardly separates real from generated images; guessing is right on half"
    return verdict + _errors(row), accuracy


def _errors(row: Mapping[str, Any]) -> str:
    """Return on which kind most errors are, if the rates differ by more than chance explains."""
    positives, negatives = row["false_positives"], row["false_negatives"]
    if not positives and not negatives:
        return ", without errors"
    variance = positives * (1 - positives) / row["num_generated"]
    variance += negatives * (1 - negatives) / row["num_real"]
    fewer, more = sorted((positives, negatives))
    if more < _MANY_TIMES * fewer or more - fewer <= 2 * math.sqrt(variance):
        return ""
    kind = "generated" if positives > negatives else "real"
    return f", with {'most' if fewer else 'all'} errors on {kind} images"


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with numbers as text; shares of fewer than FEWEST images are absent."""
    cells = rows[["experiment", "name"]].copy()
    for key in _COUNTS:
        cells[key] = rows[key].map("{:,}".format)
    for key in _SHARES:
        few = rows[_COUNTED.get(key, list(_COUNTS))].lt(FEWEST).any(axis="columns")
        cells[key] = rows[key].mask(few).map(percent_cell)
    return cells


def _all_shares(title: str, cells: pd.DataFrame) -> Table:
    shown = cells[cells.columns.intersection(list(_COLUMNS))]
    return cells_table(title, shown.rename(columns=_COLUMNS))


def _scores(experiment: Experiment) -> dict[str, Array]:
    """Return the finite scores by kind of image; a model that diverged has none."""
    scores = {}
    for kind, split in _SPLITS.items():
        values = experiment.evaluation_arrays[f"scores_{split}"].astype(float)
        scores[kind] = values[np.isfinite(values)]
    return scores


def _draw_histogram(axes: Axes, experiment: Experiment, *, inches: float) -> None:
    own = style.color_of(experiment.index)
    colors = {"training": style.MUTED, "test": style.INK, "generated": own}
    scores = _scores(experiment)
    low, high = np.quantile(np.concatenate(list(scores.values())), [_TAIL, 1 - _TAIL])
    threshold = float(_facts(experiment)["threshold"])
    edges = np.linspace(low, high + 1e-6 * (1 + abs(high)), _NUM_BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    left, right = min(low, threshold), max(edges[-1], threshold)
    highest, along = 0.0, {}
    for kind, values in scores.items():
        # Kinds differ in their number of images, so shares are drawn instead of counts.
        shares = 100 * np.histogram(values, edges)[0] / max(len(values), 1)
        filled = kind == "training"
        alpha = 0.3 if filled else 1
        axes.stairs(shares, edges, color=colors[kind], fill=filled, alpha=alpha, linewidth=1.2)
        highest = max(highest, float(shares.max()))
        along[kind] = float((middles[shares.argmax()] - left) / (right - left))
    places = _name_places(along, inches=inches)
    headroom = 1.06 + _TEXT_LEVEL * (1 + max(level for _, level in places.values()))
    axes.set(xlim=(left, right), ylim=(0, headroom * highest))
    dashes: Any = (0, (4, 3))
    axes.axvline(threshold, 0, 1 / headroom, color=style.MUTED, linewidth=1, linestyle=dashes)
    for kind, (middle, level) in places.items():
        y = (1.04 + _TEXT_LEVEL * level) / headroom
        where: dict[str, Any] = {"transform": axes.transAxes, "ha": "center"}
        axes.text(middle, y, kind, color=colors[kind], fontsize=style.SMALL_SIZE, **where)
    size = style.fitting_size(experiment.name, inches)
    axes.set_title(experiment.name, color=own, fontsize=size)
    axes.set_xlabel("score")
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")


def _name_places(along: Mapping[str, float], *, inches: float) -> dict[str, tuple[float, int]]:
    """Return where each name stands: its middle along the axes, and its level above the peaks.

    `along` are the peaks as shares of the width. A name is moved into the axes of width `inches`
    and put on the lowest level on which it overlaps no other.
    """
    places: dict[str, tuple[float, int]] = {}
    spans: list[tuple[float, float, int]] = []
    for name in ("generated", "training", "test"):
        half = (style.text_width(name, size=style.SMALL_SIZE, bold=False) / 2 + 0.05) / inches
        middle = min(max(along[name], half), 1 - half)
        free = [0, 1, 2]
        for low, high, level in spans:
            if low < middle + half and high > middle - half and level in free:
                free.remove(level)
        spans.append((middle - half, middle + half, free[0]))
        places[name] = (middle, free[0])
    return places
