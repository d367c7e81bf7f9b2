"""What the models were made with: where they differ from one another, and what all of them share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latentbench.report.presentation.page import Table
from latentbench.report.results.tables import ABSENT, flatten, pipe_table
from latentbench.results.study import Experiment, Study

Values = Mapping[str, Mapping[str, str]]  # of each model by name

_MOST_COLUMNS = 4  # models that have a column each; more have a row each
_NARROW = 60  # letters

# Which of a model's settings its networks have no place for.
_OF_CONVOLUTIONS = ("width", "layers_per_stage", "dilation", "attention_resolution")
_OF_FULLY_CONNECTED = ("hidden_dims",)
_OF_LABELS = ("label_dim",)


def settings(study: Study) -> tuple[Table, Table]:
    """Settings that differ between the experiments, and those that all share or all that have them.

    Those of the model are without `model.`, and those that have no effect on it are left out.
    """
    present, notes = study.with_files("config.yaml", "configure", lambda e: e.settings)
    differing, shared = _compared({e.name: _settings(e.settings or {}) for e in present}, "Setting")
    if len(present) == 1:
        notes = [*notes, "One experiment alone has nothing to differ from."]
    return Table(differing, notes), Table(shared)


def provenance(study: Study) -> tuple[Table, Table]:
    """What made the results: what differs between the experiments, and what all share."""
    present, notes = study.with_files("provenance", "train", lambda e: e.provenance)
    differing, shared = _compared({e.name: _origin(e) for e in present}, "What")
    return Table(differing, notes), Table(shared)


def _settings(section: Mapping[str, Any]) -> dict[str, str]:
    model = section.get("model") or {}
    is_flat = model.get("architecture") == "fully_connected"
    idle = {f"model.{key}" for key in (_OF_CONVOLUTIONS if is_flat else _OF_FULLY_CONNECTED)}
    if model.get("condition") is None:
        idle |= {f"model.{key}" for key in _OF_LABELS}
    return {
        f"`{key.removeprefix('model.')}`": each
        for key, each in flatten(section).items()
        if key not in idle
    }


def _origin(experiment: Experiment) -> dict[str, str]:
    record = experiment.provenance or {}
    packages = record.get("packages") or {}
    commit = (
        f"`{str(record.get('commit'))[:12]}`"
        if record.get("commit")
        else "not from a git repository"
    )
    digest = record.get("data_digest")
    rows = {
        "Commit": commit
        + (" with uncommitted changes" if record.get("uncommitted_changes") else ""),
        "Command": _command(experiment),
        f"Data digest of {experiment.dataset}": f"`{digest[:16]}`" if digest else None,
        "Device": record.get("device"),
        "Processor": record.get("processor"),
        "Cores": record.get("cores"),
        "CPU threads used": record.get("threads"),
        "Precision": record.get("precision"),
        "System": record.get("system"),
        "Python": record.get("python"),
        **{str(name): version for name, version in packages.items()},
    }
    return {key: str(value).replace("|", "\\|") for key, value in rows.items() if value is not None}


def _command(experiment: Experiment) -> str | None:
    """With MODEL and DATASET in place of their names, which differ in every command and tell nothing."""
    command = (experiment.provenance or {}).get("command")
    if not command:
        return None
    for name, place in ((experiment.name, "MODEL"), (experiment.dataset, "DATASET")):
        command = (
            re.sub(rf"(?<=/){re.escape(name)}(?![\w.-])", place, str(command)) if name else command
        )
    return f"`{command}`"


def _compared(values: Values, what: str) -> tuple[str | None, str | None]:
    """A table of what the models differ in, and one of what is the same in all that have it."""
    keys = _in_sections(dict.fromkeys(key for of_model in values.values() for key in of_model))
    found = {
        key: [of_model[key] for of_model in values.values() if key in of_model] for key in keys
    }
    differing = [key for key in keys if len(set(found[key])) > 1]
    few = len(values) <= _MOST_COLUMNS
    table = _by_key(values, differing, what) if few else _by_model(values, differing)
    same = [(key, found[key][0]) for key in keys if key not in differing]
    return table if differing else None, _in_two(same, what) if same else None


def _in_sections(keys: Iterable[str]) -> list[str]:
    """Those of a section together: not every model has the same."""
    sections: dict[str, list[str]] = {}
    for key in keys:
        sections.setdefault(key.rpartition(".")[0], []).append(key)
    return [key for section in sections.values() for key in section]


def _by_key(values: Values, keys: Sequence[str], what: str) -> str:
    rows = [[key, *(of_model.get(key, ABSENT) for of_model in values.values())] for key in keys]
    return pipe_table([what, *values], rows, texts=1 + len(values))


def _by_model(values: Values, keys: Sequence[str]) -> str:
    """What more than half of those have that have it at all stands once, at the head; a row has what is otherwise."""
    usual = {}
    for key in keys:
        found = [of_model[key] for of_model in values.values() if key in of_model]
        value, number = Counter(found).most_common(1)[0]
        if 2 * number > len(found):
            usual[key] = value
    rows = [["*most that have it*", _in_words(usual)]] if usual else []
    for name, of_model in values.items():
        own = {
            key: of_model[key]
            for key in keys
            if key in of_model and of_model[key] != usual.get(key)
        }
        rows.append([name, _in_words(own) or "as most"])
    return pipe_table(["Model", "Differs in"], rows, texts=2)


def _in_words(values: Mapping[str, str]) -> str:
    return "; ".join(f"{key} {value}" for key, value in values.items())


def _in_two(rows: Sequence[tuple[str, str]], what: str) -> str:
    """A table that is narrow, as two beside each other."""
    if max(len(value) for _, value in rows) > _NARROW:
        return pipe_table([what, "Value"], rows, texts=2)
    half = -(-len(rows) // 2)
    left, right = rows[:half], [*rows[half:], ("", "")]
    beside = [[*pair, *other] for pair, other in zip(left, right, strict=False)]
    return pipe_table([what, "Value"] * 2, beside, texts=4)
