"""Settings and provenance of the models: what differs between them, and what they share."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from latentbench.results import Experiment, Study, Table, tables
from latentbench.results.formatting import code_markdown, escape_markdown

_MAX_COLUMNS = 4  # models that have a column each; more models have a row each
_MAX_NARROW = 60  # letters of a value, for two columns of values side by side

_OF_CONVOLUTIONS = ["width", "layers_per_stage", "dilation", "attention_resolution"]
_OF_LABELS = ["label_dim", "label_dropout", "guidance"]

# With both, no network embeds labels as vectors of `label_dim` entries.
_WITHOUT_LABEL_DIM = ["conditional_batch_norm", "projection_discriminator"]

# Keys of the record of training in the table of provenance.
_RECORDED = ("device", "processor", "cores", "threads", "precision", "system", "python")


def settings(study: Study) -> tuple[Table, Table]:
    """Return the settings that differ between experiments, and those that they share.

    Settings of the model stand without `model.`; those without effect on it are left out.
    """
    present, notes = study.with_files("config.yaml", "configure", lambda each: each.settings)
    if not present:
        return Table(None, notes), Table(None)
    values = study.settings.dropna(how="all")
    values = values.rename(columns=lambda key: key.removeprefix("model."))
    is_flat = values["architecture"] == "fully_connected"
    is_embedded = ~values.reindex(columns=_WITHOUT_LABEL_DIM).eq("yes").all(axis=1)
    for has_none, keys in (
        (is_flat, _OF_CONVOLUTIONS),
        (~is_flat, ["hidden_dims"]),
        (~is_embedded, ["label_dim"]),
        (values["condition"] == "none", _OF_LABELS),
    ):
        values.loc[has_none, values.columns.intersection(keys)] = np.nan
    if "channel_multipliers" in values:
        values["channel_multipliers"] = values["channel_multipliers"].replace("none", "default")
    if len(present) == 1:
        notes.append("No settings differ: the study has a single experiment.")
    values = values.rename(index=escape_markdown, columns="`{}`".format)
    differing, shared = _compare(values.map(escape_markdown, na_action="ignore"), "Setting")
    return replace(differing, notes=notes), shared


def provenance(study: Study) -> tuple[Table, Table]:
    """Return what differs in how the experiments were made, and what they share."""
    present, notes = study.with_files("provenance", "train", lambda each: each.provenance)
    origins = pd.DataFrame(
        [_origin_of_all(study, each) for each in present],
        index=[each.in_markdown for each in present],
    )
    differing, shared = _compare(origins, "What")
    return replace(differing, notes=notes), shared


def _origin_of_all(study: Study, experiment: Experiment) -> dict[str, str]:
    """Return the origin of an experiment: of each entry, the values of all its trainings.

    The commands of further trainings differ from that of the first by the name of their folder.
    """
    values: dict[str, dict[str, None]] = {}
    for training in study.trainings_of(experiment).members:
        for key, value in _origin(training).items():
            if key != "Command" or not training.is_repeat:
                values.setdefault(key, {})[value] = None
    return {key: ", ".join(own) for key, own in values.items()}


def _origin(experiment: Experiment) -> dict[str, str]:
    record = experiment.provenance
    commit = record.get("commit")
    origin = {"Commit": code_markdown(commit[:12]) if commit else "not from a git repository"}
    if record.get("uncommitted_changes"):
        origin["Commit"] += " with uncommitted changes"
    if record.get("command"):
        origin["Command"] = code_markdown(_without_names(record["command"], experiment))
    if record.get("data_digest"):
        dataset = escape_markdown(experiment.dataset)
        origin[f"Data digest of {dataset}"] = code_markdown(record["data_digest"][:16])
    for key in _RECORDED:
        if record.get(key) is not None:
            origin[key.capitalize()] = escape_markdown(str(record[key]))
    for package, version in (record.get("packages") or {}).items():
        origin[escape_markdown(package)] = escape_markdown(str(version))
    return origin


def _without_names(command: str, experiment: Experiment) -> str:
    """Return a command with MODEL and DATASET in place of the names, which always differ."""
    for name, placeholder in ((experiment.name, "MODEL"), (experiment.dataset, "DATASET")):
        if name:
            command = re.sub(rf"(?<=/){re.escape(name)}(?![\w.-])", placeholder, command)
    return command


def _compare(values: pd.DataFrame, what: str) -> tuple[Table, Table]:
    """Return a table of the columns that differ between rows, and one of those that do not.

    A column that not all rows have differs. Columns of one section, such as `training.`, stand
    together.
    """
    if values.empty:
        return Table(None), Table(None)
    sections = values.columns.str.replace(r"[^.]*$", "", regex=True)
    values = values.iloc[:, pd.factorize(sections)[0].argsort(kind="stable")]
    is_shared = (values.nunique() == 1) & values.notna().all()
    differing = values.loc[:, ~is_shared & values.notna().any()]
    shared = values.loc[:, is_shared].iloc[:1].T
    if differing.empty:
        table = None
    elif len(values) > _MAX_COLUMNS:
        table = _table_by_model(differing)
    else:
        rows = differing.T.fillna(tables.ABSENT).rename_axis(what).reset_index()
        table = tables.pipe_table(rows, num_text=rows.shape[1])
    return Table(table), Table(None if shared.empty else _two_columns(shared, what))


def _table_by_model(values: pd.DataFrame) -> str:
    """Return a row per model of what differs from the values that most of the models have."""
    usual = values.mode().iloc[0]
    usual = usual[2 * values.eq(usual).sum() > values.notna().sum()]
    rows = {"*most that have it*": _join(usual)}
    for name, own in values.iterrows():
        rows[name] = _join(own[own.notna() & own.ne(usual.reindex(own.index))]) or "as most"
    table = pd.Series(rows).rename_axis("Model").reset_index(name="Differs in")
    return tables.pipe_table(table[table["Differs in"] != ""], num_text=2)


def _join(values: pd.Series) -> str:
    return "; ".join(f"{key} {value}" for key, value in values.items())


def _two_columns(values: pd.DataFrame, what: str) -> str:
    """Return a table of values, in two columns where all are narrow."""
    table = values.reset_index().set_axis([what, "Value"], axis=1)
    if table["Value"].str.len().max() > _MAX_NARROW:
        return tables.pipe_table(table, num_text=2)
    half = (len(table) + 1) // 2
    parts = [table[:half], table[half:].reset_index(drop=True)]
    return tables.pipe_table(pd.concat(parts, axis=1).fillna(""), num_text=4)
