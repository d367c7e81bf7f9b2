"""What discriminators amount to, in words: where each draws its line, how often it is right, and on what it errs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.report.presentation.formatting import join_words, percent
from latentbench.report.results.tables import plain
from latentbench.results.study import Experiment, Study

# Shares of a balanced set that it calls the same, or is right on, from which on a verdict says so.
_NEARLY_ALL, _MOST = 0.9, 0.65

_FAR_ABOVE = 3  # times the other rate of errors

Row = Mapping[str, Any]


def verdicts(study: Study) -> str:
    """By what rule each discriminator is taken at its word, and what it amounts to, models that are alike together."""
    judged = [experiment for experiment in study.experiments if _facts(experiment)]
    alike: dict[str, list[str]] = {}
    for experiment in judged:
        row = _facts(experiment)["all"]
        alike.setdefault(_verdict(row), []).append(
            f"**{experiment.name}** ({percent(_share(row))})"
        )
    sentences = [f"- {verdict}: {join_words(names)}." for verdict, names in alike.items()]
    return "\n\n".join([*_rules(judged), "\n".join(sentences)]) if judged else ""


def _facts(experiment: Experiment) -> Mapping[str, Any]:
    return (experiment.metrics or {}).get("discriminator") or {}


def _rules(judged: Sequence[Experiment]) -> list[str]:
    """A paragraph for discriminators, whose loss says where the line is, and one for critics."""
    by_loss: dict[float, list[Experiment]] = {}
    critics = []
    for experiment in judged:
        if "loss" in _model(experiment):
            by_loss.setdefault(float(_facts(experiment)["threshold"]), []).append(experiment)
        else:
            critics.append(experiment)
    whose = len(by_loss) > 1 or bool(critics)
    rules = [_rule_of_loss(threshold, own, named=whose) for threshold, own in by_loss.items()]
    return [*rules, *([_rule_of_critics(critics)] if critics else [])]


def _rule_of_loss(threshold: float, judged: Sequence[Experiment], *, named: bool) -> str:
    smoothed = [e.name for e in judged if _model(e).get("label_smoothing")]
    halfway = "halfway between what the loss asks of real and of generated images"
    if len(smoothed) == len(judged):
        why = ""
    elif smoothed:
        why = f", {halfway}; with the smoothed labels of {join_words(smoothed)}, halfway would be a little lower"
    else:
        why = f", {halfway}"
    whose = f" by {join_words([e.name for e in judged])}" * named
    return f"An image is called real{whose} where its score is above {threshold:g}{why}."


def _rule_of_critics(critics: Sequence[Experiment]) -> str:
    thresholds = [f"{plain(float(_facts(e)['threshold']), 1)} for {e.name}" for e in critics]
    numbers = {len(e.examined["scores_train"]) for e in critics if "scores_train" in e.examined}
    images = f"{next(iter(numbers)):,} training images" if len(numbers) == 1 else "training images"
    return (
        "A critic's scores have no threshold of their own, since a constant added to them changes nothing: an image is "
        f"called real where its score is above the one that best tells {images} from as many generated ones: "
        f"{join_words(thresholds)}."
    )


def _model(experiment: Experiment) -> Mapping[str, Any]:
    return (experiment.settings or {}).get("model") or {}


def _share(row: Row) -> float:
    """What stands beside the name: how much it calls the same, where that is too much, or what it is right on."""
    shares = {"fake": row["predicted_fake"], "real": 1 - row["predicted_fake"], "": row["accuracy"]}
    return float(shares[_kind(row)])


def _kind(row: Row) -> str:
    """What it calls too many images, if anything."""
    if row["predicted_fake"] >= _MOST:
        return "fake"
    return "real" if 1 - row["predicted_fake"] >= _MOST else ""


def _verdict(row: Row) -> str:
    if kind := _kind(row):
        extent = "nearly everything" if _share(row) >= _NEARLY_ALL else "too much"
        return f"Calls {extent} {kind} (the share of a set of which half is)"
    accuracy = row["accuracy"]
    if accuracy >= _NEARLY_ALL:
        told = "Tells real from generated images"
    elif accuracy >= _MOST:
        told = "Tells most real from generated images"
    else:
        told = "Hardly tells real from generated images, where guessing gets half"
    return f"{told}{_errors(row)}"


def _errors(row: Row) -> str:
    """On which kind it errs, where that is far more than on the other and more than chance makes of so few."""
    errors = {
        "generated images": (row["false_positives"], row["num_generated"]),
        "real images": (row["false_negatives"], row["num_real"]),
    }
    if not any(rate for rate, _ in errors.values()):
        return " and errs on none"
    (_, (fewer, of_fewer)), (kind, (more, of_more)) = sorted(
        errors.items(), key=lambda item: float(item[1][0])
    )
    chance = math.sqrt(fewer * (1 - fewer) / of_fewer + more * (1 - more) / of_more)
    if more < _FAR_ABOVE * fewer or more - fewer <= 2 * chance:
        return ""
    return f" and errs {'mostly' if fewer else 'only'} on {kind}"
