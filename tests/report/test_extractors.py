"""Reports on distances over the features of DINOv2 and CLIP."""

from __future__ import annotations

from pathlib import Path

import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_csv, write_csv
from latentbench.artifacts.metrics import DISTANCES, EXTRACTOR_NAMES, METRICS
from latentbench.report import glance
from latentbench.report.comparison import captions, curves, headline, memorization
from latentbench.results import ranking, tables
from latentbench.results.formatting import NBSP
from tests.report.test_tables import column

COLUMNS = {
    "dinov2": {"fd_classifier": "fd_dinov2", "kd_classifier": "kd_dinov2"},
    "clip": {"fd_classifier": "cmmd"},
}


def replace_extractor(folder: Path, extractor: str) -> None:
    """Rename the classifier's metrics of a study to those of another extractor."""
    names = COLUMNS[extractor]
    for path in folder.glob("*/metrics.csv"):
        rows = []
        for row in read_csv(path):
            renamed = {}
            for key, value in row.items():
                base = key.removesuffix("_std")
                if (base == "kd_classifier" and base not in names) or base == "fd_class_shares":
                    continue
                new = names.get(base, base.replace("_classifier", f"_{extractor}"))
                renamed[new + key.removeprefix(base)] = value
            rows.append(renamed)
        write_csv(path, rows, columns=list(rows[0]))
    for path in folder.glob("*/metrics.json"):
        text = path.read_text(encoding="utf-8")
        for old, new in names.items():
            text = text.replace(old, new)
        text = text.replace("_classifier", f"_{extractor}").replace(
            '"classifier"', f'"{extractor}"'
        )
        path.write_text(text, encoding="utf-8")


def test_every_distance_has_an_extractor_with_a_name() -> None:
    assert {key for keys in DISTANCES.values() for key in keys} <= {each.key for each in METRICS}
    assert {metric.extractor for metric in METRICS} == EXTRACTOR_NAMES.keys() == DISTANCES.keys()
    first = [next(metric for metric in METRICS if metric.extractor == name) for name in DISTANCES]
    assert [metric.key for metric in first] == [keys[0] for keys in DISTANCES.values()]
    assert sorted(first, key=METRICS.index) == first, "both are in order of precedence"


@pytest.mark.parametrize(("extractor", "name"), [("dinov2", "FD (DINOv2)"), ("clip", "CMMD")])
def test_the_report_ranks_by_the_distance_and_names_its_network(make_study, extractor, name):
    folder = make_study()
    replace_extractor(folder, extractor)
    study = open_study(folder)
    measured = [metric.name for metric in study.measured_metrics]
    assert measured == [name] + (["KD (DINOv2)"] if extractor == "dinov2" else [])
    metric, _ = ranking.primary(study, ranking.generative(study, study.run_groups()))
    assert metric.name == name
    assert study.prdc_extractor_name == EXTRACTOR_NAMES[extractor]
    text = tables.glance(study).markdown.replace(NBSP, " ")
    assert column(text, name)["wgan-gp"] == "**12.0** ± 0.2"
    assert f"features of {EXTRACTOR_NAMES[extractor]}" in glance.caption(study)
    assert f"{name} is the {metric.long_name}" in captions.summary_caption(study)
    assert name in captions.protocol(study)
    assert EXTRACTOR_NAMES[extractor] in memorization.closeness(study).markdown
    assert name in headline.answer(study)


def test_cmmd_has_no_curve_over_the_number_of_samples(make_study):
    folder = make_study()
    replace_extractor(folder, "clip")
    for path in folder.glob("*/metrics.json"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"sample_sizes"', '"other"'), encoding="utf-8")
    study = open_study(folder)
    assert curves.sample_size_curves(study).figure is None
    assert "CMMD" not in captions.sample_sizes(study)
