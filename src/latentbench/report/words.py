"""Sentences computed from results: they say what the numbers say, and change when the numbers do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latentbench.report.quantities import NBSP, decimals, duration, listed, literal
from latentbench.report.results import Contender, Metric, Score, Study


@dataclass(frozen=True)
class Ranked:
    """A contender and the score that ranks it."""

    contender: Contender
    score: Score

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def trainings(self) -> int:
        return len(self.contender.members)


def head(study: Study) -> dict[str, Any]:
    """What stands at the head of the report, as Markdown: title, question, authors, the answer in a sentence."""
    config = study.config
    answers = [_answer(study, dataset, contenders) for dataset, contenders in _groups(study)]
    content: dict[str, Any] = {"title": literal(config.title), "subtitle": literal(config.question)}
    content["author"] = [literal(str(author)) for author in config.authors]
    # Metadata that ends with a line is read as paragraphs.
    paragraphs = {"abstract": "\n\n".join(answers), "budget": budget(study)}
    return content | {key: f"{text}\n" for key, text in paragraphs.items() if text}


def budget(study: Study) -> str:
    """That a study was cut down, where it was."""
    return (
        "This is a **first look**, with the small budget: few images and epochs, narrow networks. Its numbers say that "
        "everything runs, not which model is better; `budget: full` gives those."
    ) * (study.config.budget == "small")


def headline(study: Study) -> str:
    """Which model is best on each dataset, by how much, and whether that exceeds the spread."""
    paragraphs = []
    for dataset, contenders in _groups(study):
        paragraphs.append(_answer(study, dataset, contenders))
        further = [
            *_other_metrics(study, contenders),
            *_equal_time(study, contenders),
            *_reconstruction(contenders),
        ]
        paragraphs += [" ".join(further)] if further else []
    return "\n\n".join([*paragraphs, *_warnings(study)])


def _groups(study: Study) -> list[tuple[str, list[Contender]]]:
    return [(dataset, study.contenders(experiments)) for dataset, experiments in study.by_dataset().items()]


def _answer(study: Study, dataset: str, contenders: Sequence[Contender]) -> str:
    """Which model is best; of several datasets, on which."""
    winner = _winner(study, contenders)
    return f"On **{dataset}**, {winner[0].lower()}{winner[1:]}" if len(study.by_dataset()) > 1 else winner


def troubles(study: Study) -> str:
    """The signs of trouble that training named, by model and epochs."""
    told = []
    for experiment in study.experiments:
        epochs: dict[str, list[int]] = {}
        for epoch, signs in experiment.troubles.items():
            for sign in signs.split("; "):
                epochs.setdefault(sign.partition(":")[0], []).append(epoch)
        told += [
            f"**{experiment.name}** showed signs of {_with_article(kind)} in {_epochs(seen)} of "
            f"{len(experiment.history)}."
            for kind, seen in epochs.items()
        ]
    if told:
        return " ".join(told)
    looked = [experiment for experiment in study.experiments if experiment.history]
    return "No epoch showed signs of mode collapse, a saturated discriminator or posterior collapse." * bool(looked)


def _with_article(kind: str) -> str:
    return f"a {kind}" if kind.startswith("saturated") else kind


def _epochs(numbers: Sequence[int]) -> str:
    """Runs of epochs: epoch 3; epochs 1 to 4 and 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"epoch{'s' * (len(numbers) > 1)} {listed(parts)}"


def _winner(study: Study, contenders: Sequence[Contender]) -> str:
    metric, ranking = primary(study, contenders)
    if metric is None or not ranking:
        return "No model has been measured yet, so there is no best one; `latentbench evaluate` measures."
    best = ranking[0]
    if len(ranking) == 1:
        return (
            f"Only **{best.name}** has been measured ({metric.name} {written(best)}): "
            "there is nothing to compare it with."
        )
    margin = spread(best.score, ranking[1].score)
    if margin is None:
        return _lead(metric, ranking) + ". With a single set of samples its spread is unknown."
    if ranking[1].score.mean - best.score.mean <= margin:
        return _tie(metric, ranking)
    return (
        f"{_lead(metric, ranking)}. This exceeds the spread over {sources_of_spread(ranking[:2])} "
        f"({difference(margin, best.score)}, twice the standard deviation of the difference)."
    )


def _lead(metric: Metric, ranking: Sequence[Ranked]) -> str:
    best, second = ranking[:2]
    gap = second.score.mean - best.score.mean
    share = f" ({100 * gap / second.score.mean:.0f}{NBSP}%)" if second.score.mean > 0 else ""
    return (
        f"**{best.name}** comes closest to the real images: its {metric.name} of {written(best)} is "
        f"{difference(gap, best.score)}{share} below that of {second.name}, the next best "
        f"({written(second)})"
    )


def _tie(metric: Metric, ranking: Sequence[Ranked]) -> str:
    best = ranking[0]
    tied = [r for r in ranking if _within(best.score, r.score)]
    scores = listed([f"**{r.name}** ({written(r)})" for r in tied])
    gap = tied[-1].score.mean - best.score.mean
    return (
        f"By {metric.name}, {scores} cannot be told apart: they differ by {difference(gap, best.score)}, "
        f"which is within the spread over {sources_of_spread(tied)} (twice the standard deviation of the difference)."
    )


def sources_of_spread(ranking: Sequence[Ranked]) -> str:
    """What the standard deviations are over."""
    kinds = {ranked.trainings > 1 for ranked in ranking}
    return listed(["the trainings"] * (True in kinds) + ["the sampling seeds"] * (False in kinds))


def _other_metrics(study: Study, contenders: Sequence[Contender]) -> list[str]:
    """Whether the remaining metrics name the same best model."""
    first, ranking = primary(study, contenders)
    if len(ranking) < 2:
        return []
    agree, sentences = [], []
    for metric in study.metrics:
        other = _ranking(metric, contenders)
        if metric is first or len(other) < 2:
            continue
        if other[0].contender is ranking[0].contender:
            agree.append(metric.name)
        else:
            sentences.append(f"By {metric.name}, {other[0].name} comes first instead ({written(other[0])}).")
    if agree:
        sentences.insert(0, f"{listed(agree)} {'agrees' if len(agree) == 1 else 'agree'}: {ranking[0].name} is lowest.")
    return sentences


def _equal_time(study: Study, contenders: Sequence[Contender]) -> list[str]:
    """The best model within the training time of the fastest, by the checkpoints that each had by then."""
    metric, ranking = primary(study, contenders)
    totals = [(r.contender.checkpoints[-1].seconds or math.nan, r.name) for r in ranking]
    if metric is None or len(ranking) < 2 or any(math.isnan(seconds) for seconds, _ in totals):
        return []
    budget, fastest = min(totals)
    reached = []
    for r in ranking:
        in_time = [c for c in r.contender.checkpoints if (c.seconds or 0) <= budget and metric.key in c.scores]
        if in_time:
            reached.append(Ranked(r.contender, in_time[-1].scores[metric.key]))
    if len(reached) < 2:
        return []
    best = min(reached, key=lambda r: r.score.mean)
    return [
        f"Within the training time of the fastest ({fastest}, {duration(budget)}), "
        f"the lowest {metric.name} at a checkpoint is that of {best.name} ({written(best)})."
    ]


def _reconstruction(contenders: Sequence[Contender]) -> list[str]:
    errors = [(error, c) for c in contenders if (error := c.reconstruction_error) is not None]
    if len(errors) < 2:
        return []
    error, best = min(errors, key=lambda pair: pair[0])
    way = (best.members[0].exploration or {}).get("method", "")
    return [f"Real test images are reconstructed best by {best.name} (by {way}, MSE {_digits(error)})."]


def _warnings(study: Study) -> list[str]:
    return [
        f"**Mind** ({e.name}): {text}" for e in study.experiments for text in (e.metrics or {}).get("warnings") or []
    ]


def primary(study: Study, contenders: Sequence[Contender]) -> tuple[Metric | None, list[Ranked]]:
    """The metric that most of the contenders were measured by, and their ranking by it."""
    metric = max(study.metrics, key=lambda m: len(_ranking(m, contenders)), default=None)
    return metric, _ranking(metric, contenders) if metric else []


def _ranking(metric: Metric, contenders: Sequence[Contender]) -> list[Ranked]:
    found = [Ranked(c, score) for c in contenders if (score := c.score(metric.key)) is not None]
    return sorted(found, key=lambda r: r.score.mean)


def spread(one: Score, other: Score) -> float | None:
    """Twice the standard deviation of the difference of two means; None where either spread is unknown."""
    if one.std is None or other.std is None:
        return None
    return 2 * math.hypot(one.std, other.std)


def _within(one: Score, other: Score) -> bool:
    margin = spread(one, other)
    return margin is not None and abs(one.mean - other.mean) <= margin


def written(ranked: Ranked) -> str:
    score = ranked.score
    places = decimals([score.mean])
    std = "" if score.std is None else f" ± {score.std:.{places}f}"
    return f"{score.mean:,.{places}f}{std}" + f" over {ranked.trainings} trainings" * (ranked.trainings > 1)


def difference(value: float, score: Score) -> str:
    """With the decimals of the score, or more where it would vanish."""
    return f"{value:,.{max(decimals([score.mean]), decimals([value]) - 1)}f}"


def _digits(value: float) -> str:
    return f"{value:,.{decimals([value])}f}"
