"""Ablations: pairs of runs that differ in few settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from latentbench.results import ranking
from latentbench.results.experiment import RunGroup
from latentbench.results.ranking import Ranked
from latentbench.results.statistics import Comparison
from latentbench.results.study import Study

MODEL = "name"  # the setting that is the kind of model


@dataclass(frozen=True)
class Change:
    """A run that differs from an earlier one in the settings `keys`.

    `before` and `after` are all settings of both. `ranks` are their scores by the primary
    distance, if both were measured, and `test` is that of the second score less the first, if both
    were trained repeatedly. `searched` are settings for which the same search of both selected
    different values.
    """

    first: RunGroup
    second: RunGroup
    before: pd.Series
    after: pd.Series
    keys: Sequence[str]
    ranks: tuple[Ranked, Ranked] | None
    test: Comparison | None = None
    searched: Sequence[str] = ()

    @property
    def without_prior(self) -> list[str]:
        """The runs whose decoders do not know latents like those that are drawn."""
        runs = (self.first, self.second)
        return [run.name for run in runs if not run.members[0].is_generative]

    @property
    def judged(self) -> tuple[Ranked, Ranked] | None:
        """The scores, if both models were trained to generate samples."""
        return None if self.without_prior else self.ranks


def find_changes(study: Study, runs: Sequence[RunGroup]) -> list[Change]:
    """Return each run with the earlier ones that it is compared with.

    These are the run of the same kind of model from which it differs in the fewest settings, and
    the first of another kind that agrees with it in all settings that both have. Settings for which
    both were searched with the same values do not count: each run has the value that is best for
    it.
    """
    _, order = ranking.primary(study, ranking.by_prior(study, runs))
    ranked = ranking.by_name(order)
    # A run is compared by the samples of its own prior.
    own = {run.name: study.by_prior(run)[0].name for run in runs}
    comparisons = ranking.compare([each for each in order if each.run.is_generative])
    known = [run for run in runs if run.members[0].settings]
    settings = _compared_settings(study, known)
    tried = _tried_values(study, known).reindex(columns=settings.columns, fill_value="")
    changes = []
    for place, run in enumerate(known):
        earlier, after = settings.iloc[:place], settings.loc[run.name]
        is_searched = tried.iloc[:place].eq(tried.loc[run.name]) & tried.loc[run.name].ne("")
        is_another = earlier.ne(after)
        differs = is_another & ~is_searched
        same_kind = ~differs[MODEL]
        conflicts = (differs & earlier.ne("") & after.ne("")).drop(columns=MODEL)
        other_kind = ~same_kind & ~conflicts.any(axis="columns")
        nearest = differs[same_kind].sum(axis="columns").sort_values(kind="stable")
        for name in [*nearest.index[:1], *earlier.index[other_kind][:1]]:
            keys = [MODEL] if other_kind[name] else list(settings.columns[differs.loc[name]])
            if keys:
                first = known[settings.index.get_loc(name)]
                names = own[name], own[run.name]
                is_ranked = all(each in ranked for each in names)
                ranks = (ranked[names[0]], ranked[names[1]]) if is_ranked else None
                test = comparisons.between(ranks[1], ranks[0]) if ranks else None
                own_searched = (is_another & is_searched).loc[name]
                searched = list(settings.columns[own_searched])
                before = earlier.loc[name]
                changes.append(Change(first, run, before, after, keys, ranks, test, searched))
    return changes


def _compared_settings(study: Study, runs: Sequence[RunGroup]) -> pd.DataFrame:
    """Return the settings of model and training by run; empty text where a model has none.

    Their keys lack the section, `model` or `training`: no two sections share one.
    """
    names = {run.members[0].name: run.name for run in runs}
    settings = study.settings.loc[list(names)].rename(index=names).dropna(axis=1, how="all")
    compared = settings.filter(regex=r"^(model|training)\.(?!checkpoints)")
    return compared.fillna("").rename(columns=lambda key: key.partition(".")[2])


def _tried_values(study: Study, runs: Sequence[RunGroup]) -> pd.DataFrame:
    """Return the values that the search of each run tried, by setting; empty text without one."""
    names = {run.members[0].name: run.name for run in runs}
    settings = study.settings.loc[list(names)].rename(index=names)
    tried = settings.filter(regex=r"^search\.").fillna("")
    return tried.rename(columns=lambda key: key.partition(".")[2])
