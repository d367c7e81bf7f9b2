"""DataFrames from the result files of a study's experiments."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_EXPERIMENTS
from latentbench.artifacts.files import convert_read_errors
from latentbench.results.experiment import Experiment, has_all
from latentbench.results.files import read_history, read_record, read_table

_MODEL_COLUMNS = ("name", "architecture", "width", "latent_dim", "condition", "learning_rate")
_RECORDED = ("seconds", "images_per_second", "peak_memory_mb")
_SIZES = ["parameters", *_RECORDED, "images", "cpu_seconds"]
_ERRORS = ("mse", "psnr", "ssim")
_IDENTITY = ["experiment", "training", "seed"]
# Columns of history.csv with the loss within an interval of time, in percent.
_INTERVAL_LOSS = r"(train|test)_loss_(\d+)_(\d+)"


def experiments(
    members: Sequence[Experiment], runs: Mapping[str, str], sizes: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per experiment: what was trained, how large it is and what it took.

    `sizes` are those of all trainings, of which the experiment has the mean.
    """
    rows = []
    for member in members:
        row = {
            "experiment": member.name,
            "dataset": member.dataset,
            "run": runs[member.name],
            "seed": member.seed,
            "model": member.model.get("name"),
        }
        row |= {column: member.model.get(column) for column in _MODEL_COLUMNS[1:]}
        row["latent_dim"] = member.latent_dim
        rows.append(row)
    table = pd.DataFrame(rows).set_index("experiment")
    return table.join(sizes.groupby("experiment")[_SIZES].mean())


def sizes(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per training: the number of weights, and what training took.

    `images` counts those that training saw, each as often as it did.
    """
    rows = []
    for training in trainings:
        parameters = training.provenance.get("parameters")
        row = _identity(training)
        row["parameters"] = sum(parameters.values()) if parameters else None
        row |= {column: training.provenance.get(column) for column in _RECORDED}
        row["cpu_seconds"] = (training.provenance.get("cost") or {}).get("cpu_seconds")
        epochs = read_history(training.folder)
        row["images"] = epochs["images"].max() if "images" in epochs else None
        rows.append(row)
    return pd.DataFrame(rows).astype(dict.fromkeys(_SIZES, float))


def metrics(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per training, checkpoint, prior and metric of metrics.csv.

    `mean` and `std` are over `n` sets of samples; std is NaN for a single one.
    """
    columns = [*_IDENTITY, "epoch", "prior", "metric", "mean", "std", "n"]
    parts = []
    for member in trainings:
        table = read_table(member.folder / paths.METRICS, sort_by="epoch", text=("prior",))
        for column in table:
            if f"{column}_std" in table:
                part = pd.DataFrame({"epoch": table["epoch"], "mean": table[column]})
                part["std"] = table[f"{column}_std"]
                part["n"] = table.get("num_seeds")
                part["prior"] = table.get("prior", member.prior)
                parts.append(part.assign(metric=column, **_identity(member)))
    if not parts:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(parts, ignore_index=True)[columns].dropna(subset="mean")
    return rows.astype({"seed": "Int64", "epoch": int, "n": "Int64"}).reset_index(drop=True)


def history(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return the rows of every history.csv, with experiment, training and seed in front."""
    tables = []
    for training in trainings:
        table = read_history(training.folder)
        if len(table):
            own = _identity(training)
            tables.append(table.assign(**own)[[*own, *table]])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_IDENTITY)


def interval_losses(history: pd.DataFrame) -> pd.DataFrame:
    """Return a row per training, epoch, split and interval of time of a diffusion's loss.

    `start` and `end` are those of the interval, in [0, 1], and `loss` is the mean within it.
    """
    named = list(history.columns[history.columns.str.fullmatch(_INTERVAL_LOSS)])
    kept = history.reindex(columns=[*_IDENTITY, "epoch", *named])
    rows = kept.melt([*_IDENTITY, "epoch"], value_name="loss").dropna(subset="loss")
    parts = rows["variable"].astype(str).str.extract(_INTERVAL_LOSS)
    rows = rows.assign(split=parts[0], start=parts[1], end=parts[2]).drop(columns="variable")
    rows[["start", "end"]] = rows[["start", "end"]].astype(float) / 100
    return rows.reset_index(drop=True)


def iterations(members: Sequence[Experiment]) -> pd.DataFrame:
    """Return the rows of every iterations.csv, with the experiment in the first column."""
    return _stack(
        {
            member.name: read_table(member.folder / paths.ITERATIONS, sort_by="step")
            for member in members
        }
    )


def layers(members: Sequence[Experiment]) -> pd.DataFrame:
    """Return the rows of every architecture.csv, with the experiment in the first column."""
    tables = {}
    for member in members:
        path = member.folder / paths.ARCHITECTURE
        if path.is_file():
            with convert_read_errors(path):
                table = pd.read_csv(path, dtype=str, keep_default_na=False)
                counts = ["parameters", "multiply_adds"]
                table[counts] = table[counts].astype(int)
            tables[member.name] = table
    return _stack(tables)


def costs(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per training and stage: what the record of the stage measured."""
    rows = []
    for training in trainings:
        for stage in OF_EXPERIMENTS:
            cost = read_record(training.folder / paths.record_name(stage)).get("cost")
            if cost:
                rows.append({**_identity(training), "stage": stage, **cost})
        if training.selection:
            rows.append({**_identity(training), "stage": paths.SEARCH, **_search_cost(training)})
    columns = [*_IDENTITY, "stage", "wall_seconds", "cpu_seconds", "peak_memory_mb"]
    return pd.DataFrame(rows, columns=columns)


def sampling(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per training and number of sampling steps: quality and cost of its samples.

    `steps` is NaN for models that sample in one step. `evaluations` of networks and `seconds` are
    per image. The other columns are distances, precision and recall of one set of samples after the
    last epoch.
    """
    rows = []
    for training in trainings:
        record = read_record(training.folder / paths.record_name("evaluate")).get("sampling") or {}
        seconds = {cost["steps"]: cost["seconds_per_image"] for cost in record.get("costs", [])}
        for measured in training.evaluation.get("sampling") or []:
            own = {"steps": measured["steps"], "evaluations": measured["evaluations"]}
            own["seconds"] = seconds.get(measured["steps"])
            own["device"] = record.get("device")
            rows.append(_identity(training) | own | measured)
    columns = [*_IDENTITY, "steps", "evaluations", "seconds", "device"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    numbers = table.columns.drop([*_IDENTITY, "device"])
    return table.astype(dict.fromkeys(numbers, float))


def mean_sampling(sampling: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the trainings of each experiment, by number of steps."""
    keys = ["experiment", "steps"]
    rest = sampling.drop(columns=["training", "seed"])
    grouped = rest.groupby(keys, sort=False, dropna=False)
    means = grouped.mean(numeric_only=True)
    return means.assign(device=grouped["device"].first()).reset_index()


def checkpoints(rows: pd.DataFrame, history: pd.DataFrame, *, num_trainings: int) -> pd.DataFrame:
    """Return epoch, seconds, mean and std of a metric at the checkpoints of a run.

    `rows` are those of the metric, of all trainings of the run. Of several trainings, the table has
    the checkpoints that all of them have, with the mean and standard deviation over trainings.
    """
    if len(history):
        times = history.set_index(["training", "epoch"])["seconds"]
        rows = rows.join(times, on=["training", "epoch"])
    else:
        rows = rows.assign(seconds=float("nan"))
    if num_trainings == 1:
        return rows[["epoch", "seconds", "mean", "std"]].reset_index(drop=True)
    shared = rows[rows.groupby("epoch")["mean"].transform("size") == num_trainings]
    grouped = shared.groupby("epoch")
    table = {
        "seconds": grouped["seconds"].mean(),
        "mean": grouped["mean"].agg(statistics.mean),
        "std": grouped["mean"].agg(statistics.stdev),
    }
    return pd.DataFrame(table).reset_index()


def searches(members: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per trial of a search: the values tried and their distance.

    `mean` and `std` of the distance to the validation images are over sets of samples. They are NaN
    for a trial that diverged.
    """
    rows = []
    for member in members:
        for number, trial in enumerate(member.selection.get("trials", []), start=1):
            row = {"experiment": member.name, "trial": number, "seed": trial["seed"]}
            row["values"] = trial["values"]
            row["is_selected"] = trial["values"] == member.selection["values"]
            rows.append(row | {key: trial[key] for key in ("mean", "std")})
    columns = ["experiment", "trial", "seed", "values", "is_selected", "mean", "std"]
    return pd.DataFrame(rows, columns=columns).astype({"mean": float, "std": float})


def reconstruction(members: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per experiment and split: mean errors over the images that all models share."""
    rows = []
    for split in paths.SPLITS:
        for member in members:
            rivals = [each for each in members if each.dataset == member.dataset]
            numbers = [each.num_reconstructed(split) for each in rivals]
            shared = min((number for number in numbers if number), default=0)
            names = [f"{split}_{error}" for error in _ERRORS]
            if shared and has_all(member.latent_arrays, names):
                row = {"experiment": member.name, "split": split, "num_images": shared}
                for error, name in zip(_ERRORS, names, strict=True):
                    row[error] = float(member.latent_arrays[name][:shared].mean())
                rows.append(row)
    return pd.DataFrame(rows, columns=["experiment", "split", "num_images", *_ERRORS])


def likelihoods(trainings: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per training and prior with bounds on the likelihood of test images.

    `num_images` and `num_draws` were used. Columns such as `elbo_nats`, `gap_nats` and
    `bound_bits_per_dimension` are means over images, `elbo_nats_std_error` is one's standard error.
    """
    rows = []
    for member in trainings:
        facts = member.evaluation.get("likelihood") or {}
        numbers = {key: value for key, value in facts.items() if key != "bounds"}
        rows += [_identity(member) | numbers | bounds for bounds in facts.get("bounds", [])]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*_IDENTITY, "prior"])


def scores(
    metrics: pd.DataFrame, sizes: pd.DataFrame, reconstruction: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per training, prior and quantity after the last epoch, as far as it is finite.

    The prior is empty where the quantity does not depend on it.
    """
    last = metrics[metrics["epoch"] == metrics.groupby("training")["epoch"].transform("max")]
    measured = last.rename(columns={"metric": "quantity"})[
        [*_IDENTITY, "prior", "quantity", "mean", "std"]
    ]
    errors = reconstruction.query("split == 'test'")[["experiment", *_ERRORS]]
    first = sizes.loc[sizes["training"] == sizes["experiment"], _IDENTITY]
    long = [
        table.melt(id_vars=_IDENTITY, var_name="quantity", value_name="mean")
        for table in (sizes, first.merge(errors, on="experiment"))
    ]
    result = pd.concat([measured, *long], ignore_index=True)
    result["prior"] = result["prior"].fillna("")
    result["mean"] = result["mean"].astype(float)
    result["std"] = result["std"].astype(float)
    return result[result["mean"].abs() < float("inf")].reset_index(drop=True)


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as text: `{model: {width: 32}}` as `{model.width: "32"}`.

    The names of experiment and study are left out; the name of the model comes first.
    """
    flat: dict[str, str] = {}
    for key, value in sorted(section.items(), key=lambda item: item[0] != "name"):
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif prefix or key not in {"name", "study"}:
            flat[f"{prefix}{key}"] = setting_text(value)
    return flat


def setting_text(value: Any) -> str:
    """Return a setting as a table prints it: `none`, `yes`, `no`, `0.0002`, `1, 2, 4`."""
    if isinstance(value, list):
        return ", ".join(map(setting_text, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return np.format_float_positional(value, trim="0") if isinstance(value, float) else str(value)


def _search_cost(member: Experiment) -> dict[str, float]:
    """Return what the trials of a search and its selection took together."""
    records = [member.folder / paths.SELECT_RECORD]
    for number in range(1, len(member.selection["trials"]) + 1):
        records.append(member.folder / paths.SEARCH / str(number) / paths.PROVENANCE)
    costs = pd.DataFrame([read_record(record).get("cost") or {} for record in records])
    total = costs.sum()
    total["peak_memory_mb"] = costs["peak_memory_mb"].max()
    return dict(total)


def _identity(training: Experiment) -> dict[str, Any]:
    """Return the first columns of the rows of a training."""
    return {
        "experiment": training.experiment,
        "training": training.name,
        "seed": training.seed,
    }


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables below one another, with their names in `experiment`."""
    named = [
        table.assign(experiment=name).set_index("experiment").reset_index()
        for name, table in tables.items()
        if len(table)
    ]
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=["experiment"])
