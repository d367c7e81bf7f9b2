"""What stands beside tables and figures: how their numbers were measured and how they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.artifacts.metrics import LABEL_ACCURACY, Metric
from latentbench.config.models import has_prior
from latentbench.report.presentation.formatting import listed, spaced
from latentbench.report.presentation.line_plots import SCALES
from latentbench.report.results.columns import overlap_columns
from latentbench.report.results.study import Study


def protocol(study: Study) -> str:
    """How the numbers of the summary were measured, as Markdown."""
    measured = [e.metrics for e in study.experiments if e.metrics]
    if not measured:
        return ""
    protocols: dict[str, set[str]] = {}
    for metrics in measured:
        for extractor, text in (metrics.get("protocols") or {}).items():
            protocols.setdefault(extractor, set()).add(spaced(str(text).strip().rstrip(".")))
    if study.repeats():
        spread = (
            "Trainings that differ in their seed alone are ranked as one, by their mean; there ± is the standard "
            "deviation over them, elsewhere over sampling seeds. Beside a model that was trained once, their spread "
            "stands for both."
        )
    else:
        spread = (
            "Elsewhere ± is the standard deviation over sampling seeds; each model was trained once, "
            "so differences between repeated trainings are not in it."
        )
    told = [
        _protocol(study.metrics, extractor, sorted(texts))
        for extractor, texts in sorted(protocols.items())
    ]
    between = "\n\n" if any(len(texts) > 1 for texts in protocols.values()) else " "
    return between.join([_sample_sizes(measured), *told, spread])


def _protocol(metrics: Sequence[Metric], extractor: str, texts: Sequence[str]) -> str:
    """Of one extractor: what is the same on all datasets once, what differs in a list."""
    names = listed(
        [metric.name for metric in metrics if metric.extractor == extractor] or [extractor]
    )
    if len(texts) == 1:
        return f"{names}: {texts[0]}."
    clauses = [text.split("; ") for text in texts]
    same = [clause for clause in clauses[0] if all(clause in others for others in clauses)]
    items = ["; ".join(clause for clause in each if clause not in same) for each in clauses]
    listing = "\n".join(f"- {item}" for item in items)
    shared = "; ".join(same)
    return f"{names}, by dataset:\n\n{listing}" + f"\n\n{shared[:1].upper()}{shared[1:]}." * bool(
        same
    )


_BY_ATTRIBUTES = (
    "of models asked by attributes, the mean of two shares, averaged over attributes: of samples that were to have "
    "one, those in which it is seen, and of those that were not, those in which it is not"
)


def summary_caption(study: Study) -> str:
    """What the columns are, as far as they are there."""
    names = [f"{metric.name} is the {metric.long_name}" for metric in study.metrics]
    told = f" {listed(names)}, to real images." if names else ""
    asked = [experiment for experiment in study.experiments if experiment.score(LABEL_ACCURACY)]
    by_attributes = [
        experiment for experiment in asked if (experiment.metrics or {}).get("attributes")
    ]
    ways = ["the share of samples that are recognized as the class they were asked for"] * (
        asked != by_attributes
    )
    ways += [_BY_ATTRIBUTES] * bool(by_attributes)
    told += f" As asked is {'; '.join(ways)}." * bool(ways)
    return f"Each model after its last epoch.{told}{best_in_bold(study)}"


def best_in_bold(study: Study) -> str:
    """What bold stands for in tables of models; nothing where none has a rival."""
    if all(len(study.run_groups(experiments)) < 2 for experiments in study.by_dataset().values()):
        return ""
    repeats = ", repeats as one" * bool(study.repeats())
    return f" The best of each column{' by dataset' * (len(study.by_dataset()) > 1)} is in bold{repeats}."


def curves_caption(study: Study) -> str:
    """Of the metrics against epochs and time, and what the dashed line is worth."""
    sentences = [
        "Distance to the real images after each checkpoint, against epochs (left) and against training time (right); "
        "lower is better. Bars are the ± of the summary. "
        f"{SCALES} An estimate may fall below zero; the axis is then linear about it and logarithmic beyond."
    ]
    sentences += [
        f"A dashed line is the distance of {unseen:,} real test images, which no model saw{_worth(unseen, measured)}."
        for unseen, measured in _unseen(study)
    ]
    sentences += [
        f"A dotted line is the distance between two halves of the training images, {images:,} each: as real as can be, "
        "on that number."
        for images in sorted(
            {int(e.halves["num_images"]) for e in study.experiments if "num_images" in e.halves}
        )
    ]
    if len(sentences) > 1:
        sentences.append(
            "Where such a line would lie far below all curves, it is given in numbers at the lower edge."
        )
    return " ".join(sentences)


def _worth(unseen: int, samples: int) -> str:
    """What their distance says of samples: the fewer are measured, the larger it is."""
    if unseen == samples:
        return ", about what a perfect model would score"
    return f"; so good samples, {samples:,} as they are measured, would score {'lower' if unseen < samples else 'higher'}"


def _unseen(study: Study) -> list[tuple[int, int]]:
    """How many real test images gave the floors, and how many samples stand beside them."""
    measured = [
        e.metrics
        for e in study.experiments
        if e.metrics and e.floor and e.metrics.get("num_test_images")
    ]
    return sorted(
        {(int(metrics["num_test_images"]), int(metrics["num_samples"])) for metrics in measured}
    )


def samples_caption(study: Study) -> str:
    turns = "; of conditional models the labels take turns" * has_conditional(study)
    return (
        "Images generated after the last epoch, not selected. The same place in each grid holds the image of the same "
        f"latent vector{turns}."
    )


def overlap_caption(study: Study) -> str:
    return (
        f"Fidelity and diversity apart, over the features of the {study.overlap_extractor}. Precision is the share of "
        "samples that lie among real images, recall the share of real images that lie among samples; density and "
        "coverage are the same two in a form that single outliers do not sway. Good samples with little variety score "
        f"high in precision and density, low in recall and coverage.{_above_real(study)}{best_in_bold(study)}"
    )


def _above_real(study: Study) -> str:
    """That samples may score higher than real images, and what that says; nothing where none does."""
    above = [
        quantity
        for quantity, column in overlap_columns(study).items()
        if quantity in ("precision", "density")
        and any(
            (score := column.value(e)) and score.mean > e.floor.get(column.metric, math.inf)
            for e in study.experiments
        )
    ]
    return (
        f" Where {' or '.join(above)} is above that of real images, samples are more typical, not better."
        * bool(above)
    )


def reconstruction_ways(study: Study) -> str:
    """By what way each model reconstructs real images."""
    names: dict[str, list[str]] = {"encoding": [], "inversion": []}
    inversions = []
    for experiment in study.experiments:
        if experiment.exploration:
            inverts = experiment.exploration.get("method") == "inversion"
            names["inversion" if inverts else "encoding"].append(experiment.name)
            inversions += [_inversion(experiment.exploration)] * inverts
    told = "; ".join(f"by {way}: {', '.join(found)}" for way, found in names.items() if found)
    return " ".join([f"{told[0].upper()}{told[1:]}.", *dict.fromkeys(inversions)]) if told else ""


def reconstruction_scope(study: Study) -> str:
    """Over how many images reconstruction errors are means."""
    sizes = {
        int(number)
        for e in study.experiments
        if (number := e.reconstruction("test").get("num_images"))
    }
    numbers = [f"{size:,}" for size in sorted(sizes)]
    return (
        f"The errors are means over {listed(numbers)} images in [0, 1], the same for all models."
        if sizes
        else ""
    )


def _inversion(exploration: Mapping[str, Any]) -> str:
    steps = max(exploration.get("inversion_steps") or [0])
    starts = exploration.get("inversion_starts")
    return f"Inversion is {steps} steps of Adam on the latent, from the nearest of {starts} random ones."


def _sample_sizes(measured: Sequence[dict[str, Any] | Any]) -> str:
    """How many images were compared with how many, in one sentence for all or one for each way."""
    sizes = dict.fromkeys(
        tuple(int(metrics.get(key) or 0) for key in ("num_samples", "num_seeds", "num_reference"))
        for metrics in measured
    )
    return " ".join(
        f"Measured on {samples:,} generated images for each of {seeds} sampling seed{'s' * (seeds != 1)}, "
        f"against {reference:,} real images."
        for samples, seeds, reference in sizes
    )


def has_classes(study: Study) -> bool:
    """Whether some dataset of the study has them, as far as exploration told."""
    return any((e.exploration or {}).get("class_names") for e in study.experiments)


def has_conditional(study: Study) -> bool:
    return any(((e.settings or {}).get("model") or {}).get("condition") for e in study.experiments)


def has_class_means(study: Study) -> bool:
    """Whether the mean codes of classes were decoded: by models that encode and are asked for no label."""
    facts = [e.exploration or {} for e in study.experiments]
    return any(len(each.get("means") or []) > 1 and not each.get("label_names") for each in facts)


def lacks_prior(study: Study) -> bool:
    """Whether the codes of some model follow no prior."""
    return any(
        not has_prior(((e.settings or {}).get("model") or {}).get("name", ""))
        for e in study.experiments
    )
