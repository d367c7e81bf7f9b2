"""The layers of the networks, as tables."""

from __future__ import annotations

import pandas as pd

from latentbench.results import Experiment, Study, Table, formatting
from latentbench.results.layers import COUNTS, GEOMETRY, with_operations
from latentbench.results.tables import pipe_table


def architectures(study: Study) -> list[tuple[str, Table]]:
    """Return a table of layers for each architecture, with the names of its models.

    Counts are for one image. The last table holds a note on models that were not trained.
    """
    owners: dict[str, list[str]] = {}
    for name, layers in study.layers.groupby("experiment", sort=False):
        owners.setdefault(_table(layers, study[name]), []).append(f"**{study[name].in_markdown}**")
    tables = [(formatting.join_words(names), Table(table)) for table, names in owners.items()]
    _, notes = study.with_rows(study.layers, "architecture.csv", "train")
    if notes:
        tables.append(("others", Table(None, notes)))
    return tables


def _table(layers: pd.DataFrame, experiment: Experiment) -> str:
    table = with_operations(layers, experiment)
    table = table[["network", "kind", *GEOMETRY, "output", *COUNTS]]
    table["network"] = table["network"].mask(table["network"].duplicated(), "")
    total = {"network": "*all*"} | layers[COUNTS].sum().to_dict()
    table = pd.concat([table, pd.DataFrame([total])]).fillna("")
    table[COUNTS] = table[COUNTS].map(lambda count: f"{count:,}" if count else "")
    if table["dilation"].isin(["", "1×1"]).all():
        table = table.drop(columns="dilation")
    table = table.rename(columns={"kind": "layer", "multiply_adds": "multiply-adds"})
    num_text = table.shape[1] - len(COUNTS)
    return pipe_table(table.rename(columns=str.capitalize), num_text=num_text)
