"""Signs of trouble that training found: mode collapse, saturation, unused latents."""

from __future__ import annotations

import pandas as pd

from latentbench.artifacts.paths import WARNINGS
from latentbench.results import Study, Table, tables
from latentbench.results.formatting import escape_markdown, join_words

_SIGNS = [
    "mode collapse",
    "saturated discriminator",
    "overfitted discriminator",
    "posterior collapse",
    "inactive latents",
]


def table(study: Study) -> Table:
    """Return a row per model that showed signs of trouble: the epochs of each, in any training."""
    found = _signs(study)
    if found.empty:
        return Table(None)
    epochs = found.groupby(["experiment", "sign"])["epoch"].agg(list_epochs).unstack()
    epochs = epochs.reindex(index=found["experiment"].unique())
    epochs = epochs.reindex(columns=_SIGNS).dropna(axis="columns", how="all")
    epochs.insert(0, "Epochs", study.history.groupby("experiment")["epoch"].nunique())
    epochs = epochs.fillna(tables.ABSENT).rename(escape_markdown).rename(columns=str.capitalize)
    epochs = epochs.rename_axis("Model").reset_index()
    return Table(tables.pipe_table(epochs, num_text=epochs.shape[1]))


def verdict(study: Study) -> str:
    """Return which models showed no sign of trouble, as a sentence."""
    watched, _ = study.with_rows(study.history, "history.csv", "train")
    troubled = set(_signs(study)["experiment"])
    free = [each.in_markdown for each in watched if each.name not in troubled]
    if not free:
        return ""
    models = "any model" if len(free) == len(watched) else join_words(free)
    return f"No epoch of {models} showed signs of trouble."


def list_epochs(epochs: pd.Series) -> str:
    """Return `3`, `1 and 2`, `1 to 4 and 7`."""
    parts = []
    ordered = epochs.astype(int).drop_duplicates().sort_values()
    for _, run in ordered.groupby((ordered.diff() != 1).cumsum()):
        if len(run) > 2:
            parts.append(f"{run.iloc[0]} to {run.iloc[-1]}")
        else:
            parts += map(str, run)
    return join_words(parts)


def _signs(study: Study) -> pd.DataFrame:
    """Return a row per experiment, epoch and sign of trouble."""
    if WARNINGS not in study.history:
        return pd.DataFrame(columns=["experiment", "epoch", "sign"])
    rows = study.history[["experiment", "epoch"]].copy()
    rows["sign"] = study.history[WARNINGS].fillna("").str.split("; ")
    rows = rows.explode("sign")
    rows["sign"] = rows["sign"].str.partition(":")[0]
    return rows[rows["sign"].isin(_SIGNS)]
