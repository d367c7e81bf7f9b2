"""Sentences on discriminators: their decision rule, and how well they separate images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.results.experiment import Experiment
from latentbench.results.formatting import join_words, names_of, percent
from latentbench.results.quantities import format_number
from latentbench.results.study import Study

_NEARLY_ALL, _MOST = 0.9, 0.65  # shares of a balanced set of images
_MANY_TIMES = 3  # by so much one rate of errors exceeds the other

Row = Mapping[str, Any]


def verdicts(study: Study) -> str:
    """Return the decision rules, then a list: what discriminators achieve, alike ones together."""
    judged = [each for each in study if each.evaluation.get("discriminator")]
    found: dict[str, list[str]] = {}
    for experiment in judged:
        verdict, share = _verdict(experiment.evaluation["discriminator"]["all"])
        found.setdefault(verdict, []).append(f"**{experiment.name}** ({percent(share)})")
    items = [f"- {verdict}: {join_words(names)}." for verdict, names in found.items()]
    return "\n\n".join([*_rules(judged), "\n".join(items)]) if judged else ""


def _rules(judged: Sequence[Experiment]) -> list[str]:
    """Return a paragraph per threshold that follows from a loss, and one for critics."""
    by_threshold: dict[float, list[Experiment]] = {}
    critics = []
    for experiment in judged:
        if "loss" in experiment.model:
            by_threshold.setdefault(_threshold(experiment), []).append(experiment)
        else:
            critics.append(experiment)
    rules = []
    for threshold, own in by_threshold.items():
        by_whom = f" by {names_of(own)}" if len(own) < len(judged) else ""
        rule = f"An image is called real{by_whom} if its score is above {threshold:g}"
        rules.append(f"{rule}{_halfway(own)}.")
    return [*rules, _critics_rule(critics)] if critics else rules


def _threshold(experiment: Experiment) -> float:
    return float(experiment.evaluation["discriminator"]["threshold"])


def _halfway(judged: Sequence[Experiment]) -> str:
    smoothed = [each for each in judged if each.model.get("label_smoothing")]
    if len(smoothed) == len(judged):
        return ""
    reason = ", halfway between the loss's targets for real and for generated images"
    if smoothed:
        reason += f" (with the smoothed labels of {names_of(smoothed)}, halfway is slightly lower)"
    return reason


def _critics_rule(critics: Sequence[Experiment]) -> str:
    thresholds = [f"{format_number(_threshold(each), 1)} for {each.name}" for each in critics]
    return (
        "A critic's scores have no fixed threshold, because a constant added to them changes "
        "nothing. An image is called real if its score is above the value that best separates "
        f"training images from as many generated ones: {join_words(thresholds)}."
    )


def _verdict(row: Row) -> tuple[str, float]:
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


def _errors(row: Row) -> str:
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
