"""What a prepared dataset contains, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentbench.artifacts.paths import VALIDATION
from latentbench.data.preparation.decode import FormatFacts
from latentbench.data.sources import RawDataset
from latentbench.errors import quote

Labels = np.ndarray[Any, np.dtype[np.int64]]

_KINDS = {"train": "training", "test": "test", VALIDATION: "validation"}  # of images, by split
MAX_CLASSES = 20  # that are listed with their numbers of images
MAX_NAMES = 5  # of images that are listed per reason
NEARLY_BLACK = 4096  # of 65,536 levels


@dataclass(frozen=True)
class PreparedContents:
    """Labels by split, and the name of each image that was skipped with what is wrong with it."""

    labels: dict[str, Labels]
    skipped: dict[str, str]
    facts: FormatFacts


def summarize(name: str, contents: RawDataset, written: PreparedContents) -> list[str]:
    """Return how the files were read: splits, classes with their counts, what was left out."""
    numbers = [f"{len(labels):,} {_KINDS[key]} images" for key, labels in written.labels.items()]
    lines = [f"Prepared {name}: {', '.join(numbers)}."]
    if contents.class_names:
        lines += _summarize_classes(contents.class_names, written.labels)
    if contents.attribute_names:
        lines.append(f"Attributes: {_join(contents.attribute_names, MAX_CLASSES)}.")
    lines += contents.notes
    if written.skipped:
        lines.append(_summarize_skipped(written.skipped))
    if written.facts.num_animated:
        lines.append(
            f"{written.facts.num_animated:,} files have several frames or pages: the first is used."
        )
    brightest = written.facts.brightest_16bit
    if 0 < brightest < NEARLY_BLACK:
        lines.append(
            f"The brightest 16-bit level is {brightest:,} of 65,535, so these images are nearly "
            f"black: they use {brightest.bit_length()} of 16 bits. "
            "Multiply their levels if that is not meant."
        )
    return lines


def _summarize_classes(class_names: list[str], labels: Mapping[str, Labels]) -> list[str]:
    counts = {}
    for split, own in labels.items():
        counts[_KINDS[split]] = np.bincount(own[own >= 0], minlength=len(class_names))
    listed = []
    for index, class_name in enumerate(class_names):
        numbers = " + ".join(f"{own[index]:,}" for own in counts.values())
        listed.append(f"{quote(class_name)} {numbers}")
    if len(listed) > MAX_CLASSES:
        listed[MAX_CLASSES:] = [f"{len(listed) - MAX_CLASSES:,} more"]
    kinds = " + ".join(counts)
    lines = [f"{len(class_names):,} classes ({kinds} images): {', '.join(listed)}."]
    for kind, own in counts.items():
        missing = [class_names[index] for index in np.flatnonzero(own == 0)]
        if missing:
            lines.append(f"Classes without {kind} images: {_join(missing, MAX_CLASSES)}.")
    return lines


def _summarize_skipped(skipped: dict[str, str]) -> str:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, kind in skipped.items():
        by_kind[kind].append(name)
    parts = []
    for kind, names in sorted(by_kind.items()):
        parts.append(f"{len(names):,} {kind} ({_join(names, MAX_NAMES)})")
    return f"Skipped {len(skipped):,} images: {'; '.join(parts)}."


def _join(names: list[str], longest: int) -> str:
    quoted = [quote(name) for name in names[:longest]]
    if len(names) > longest:
        quoted.append(f"{len(names) - longest:,} more")
    return ", ".join(quoted)
