"""Sentences on how well discriminators separate real from generated images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from latentbench.results.formatting import join_words, percent
from latentbench.results.study import Study

_NEARLY_ALL, _MOST = 0.9, 0.65  # shares of a balanced set of images
_MANY_TIMES = 3  # by so much one rate of errors exceeds the other

Row = Mapping[str, Any]


def verdicts(study: Study) -> str:
    """Return a list of what discriminators achieve, alike ones together."""
    found: dict[str, list[str]] = {}
    for experiment in study:
        facts = experiment.evaluation.get("discriminator")
        if facts:
            verdict, share = _verdict(facts["all"])
            found.setdefault(verdict, []).append(f"**{experiment.name}** ({percent(share)})")
    return "\n".join(f"- {verdict}: {join_words(names)}." for verdict, names in found.items())


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
