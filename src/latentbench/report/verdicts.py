"""What a study says about its models beyond their ranking: strengths and weaknesses, and what each change did."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latentbench.artifacts.layout import OVERLAPS, overlap_column
from latentbench.report.quantities import duration, listed
from latentbench.report.results import LABEL_ACCURACY, Contender, Experiment, Metric, Score, Study
from latentbench.report.tables import flatten, measured, of_provenance, plain, reconstructed
from latentbench.report.words import Ranked, difference, primary, spread, written

# By settings that are known as a technique, the paper that says why.
PAPERS = {
    "model.network": "[@radford2016; @gulrajani2017]",
    "model.dilation": "[@yu2017]",
    "model.attention": "[@zhang2019sagan]",
    "model.spectral_norm": "[@miyato2018]",
    "model.initialisation": "[@glorot2010; @he2015; @saxe2014]",
    "model.kl_weight": "[@higgins2017beta]",
    "model.kl_warmup_steps": "[@bowman2016]",
    "model.discriminator_learning_rate": "[@heusel2017]",
    "model.ema_decay": "[@yazici2019]",
    "model.label_smoothing": "[@salimans2016]",
    "model.loss": "[@goodfellow2014; @lim2017; @mao2017]",
    "model.gp_weight": "[@gulrajani2017]",
}


@dataclass(frozen=True)
class Criterion:
    """A quantity in which models have strengths. `better` is 1 where more is better, -1 where less is."""

    name: str
    value: Callable[[Experiment], Score | None]
    better: int
    write: Callable[[float], str] = "{:.3g}".format

    def of(self, contender: Contender) -> float | None:
        scores = [self.value(member) for member in contender.members]
        return None if None in scores else statistics.mean(score.mean for score in scores if score)


def strengths(study: Study) -> str:
    """Per dataset, what each model is best and worst at; nothing where there is nothing to compare."""
    paragraphs = []
    for dataset, experiments in study.by_dataset().items():
        contenders = study.contenders(experiments)
        metric, _ = primary(study, contenders)
        if metric is None or len(contenders) < 2:
            continue
        places = [_places(criterion, contenders) for criterion in _criteria(study, metric)]
        opening = [f"On **{dataset}**:"] * (len(study.by_dataset()) > 1)
        paragraphs += [*opening, *(_portrait(contender, places) for contender in contenders)]
    return "\n\n".join(paragraphs)


def changes(study: Study) -> str:
    """What became of each model's distance by what it was changed in, against the first of its kind.

    Of a kind are models with one objective on one dataset that differ in a few settings.
    """
    told = []
    for _, experiments in study.by_dataset().items():
        contenders = study.contenders(experiments)
        metric, _ = primary(study, contenders)
        firsts: dict[str, Contender] = {}
        for contender in contenders:
            kind = flatten(contender.members[0].settings or {}).get("model.objective")
            if kind is None or metric is None:
                continue
            first = firsts.setdefault(kind, contender)
            if first is not contender:
                told += _change(first, contender, metric)
    return "\n\n".join(told)


def _criteria(study: Study, metric: Metric) -> list[Criterion]:
    overlaps = {"precision": "fidelity (precision)", "recall": "diversity (recall)"}
    extractor = study.overlap_extractor or metric.extractor
    return [
        Criterion(f"distance to the real images ({metric.name})", measured(metric.key), -1),
        *(
            Criterion(overlaps[name], measured(overlap_column(name, extractor)), 1, "{:.2f}".format)
            for name in OVERLAPS
            if name in overlaps
        ),
        Criterion("reconstruction (MSE)", reconstructed("mse"), -1),
        Criterion("drawing the class that is asked for", measured(LABEL_ACCURACY), 1, "{:.1%}".format),
        Criterion("training time", of_provenance("seconds"), -1, duration),
    ]


Placed = tuple[Criterion, list[tuple[float, Contender]]]


def _places(criterion: Criterion, contenders: Sequence[Contender]) -> Placed:
    """The contenders that have the quantity, the best first."""
    found = [(value, contender) for contender in contenders if (value := criterion.of(contender)) is not None]
    return criterion, sorted(found, key=lambda pair: -criterion.better * pair[0])


def _portrait(contender: Contender, places: Sequence[Placed]) -> str:
    best, worst = [], []
    for criterion, order in places:
        shown = [criterion.write(value) for value, _ in order]
        if len(order) < 2 or shown[0] == shown[-1]:
            continue
        mine = next((text for text, (_, other) in zip(shown, order, strict=True) if other is contender), None)
        best += [f"{criterion.name}, {mine}"] * (mine == shown[0])
        worst += [f"{criterion.name}, {mine}"] * (mine == shown[-1])
    placed = {"best in": best, "last in": worst}
    told = "; ".join(f"{place} {listed(names)}" for place, names in placed.items() if names)
    text = told or "neither best nor last in anything that was measured"
    return f"**{contender.name}** is {text}.{_trouble(contender)}"


def _trouble(contender: Contender) -> str:
    troubled = sum(len(member.troubles) for member in contender.members)
    epochs = sum(len(member.history) for member in contender.members)
    return f" Its training showed signs of trouble in {troubled} of {epochs} epochs." * bool(troubled)


def _change(first: Contender, other: Contender, metric: Metric) -> list[str]:
    before, after = first.score(metric.key), other.score(metric.key)
    if before is None or after is None:
        return []
    settings = [flatten(each.members[0].settings or {}) for each in (first, other)]
    different = [key for key in settings[1] if key.startswith(("model.", "training.")) and _differ(key, settings)]
    if not different:
        return []
    what = listed(
        [
            f"`{key.partition('.')[2]}` {settings[1][key]} instead of {settings[0].get(key)}"
            f"{' ' * (key in PAPERS)}{PAPERS.get(key, '')}"
            for key in different
        ]
    )
    gap, margin = after.mean - before.mean, spread(before, after)
    certain = "its spread is unknown"
    if margin is not None:
        certain = f"{'more' if abs(gap) > margin else 'not more'} than the spread ({difference(margin, before)})"
    direction = "higher" if gap > 0 else "lower"
    sentences = [
        f"**{other.name}** ({what}): {metric.name} {written(Ranked(other, after))} against "
        f"{written(Ranked(first, before))} of {first.name}, {direction} by {difference(abs(gap), before)}, {certain}."
    ]
    return [" ".join([*sentences, *_pace(first, other, metric, before)])]


def _differ(key: str, settings: Sequence[dict[str, str]]) -> bool:
    return key not in ("model.objective", "training.checkpoints") and settings[0].get(key) != settings[1][key]


def _pace(first: Contender, other: Contender, metric: Metric, goal: Score) -> list[str]:
    """When it had come as far as the first, and what that took."""
    sentences = []
    reached = [c.epoch for c in other.checkpoints if metric.key in c.scores and c.scores[metric.key].mean <= goal.mean]
    if reached:
        last = other.checkpoints[-1].epoch
        sentences.append(f"It had come as close as {first.name} does in the end by epoch {reached[0]} of {last}.")
    rates = [Criterion("", of_provenance("images_per_second"), 1).of(each) for each in (first, other)]
    if rates[0] and rates[1]:
        sentences.append(f"An epoch takes {plain(rates[0] / rates[1], 2)} times as long.")
    return sentences
