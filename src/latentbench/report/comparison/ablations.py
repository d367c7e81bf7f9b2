"""What each change of settings did: pairs of models that differ in little, and their distances beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentbench.config.models import has_prior
from latentbench.report.presentation.formatting import join_words
from latentbench.report.results.ranking import (
    CLOCK,
    Ranked,
    margin,
    primary,
    rank,
    tied,
    written_gap,
    written_margin,
)
from latentbench.report.results.tables import (
    NONE,
    Column,
    distance_column,
    flatten,
    of_provenance,
    plain,
    reconstructed,
    score_of,
    three_decimals,
)
from latentbench.results.study import Experiment, RunGroup, Study

OBJECTIVE = "model.name"

# By settings that are known as a technique, the paper that says why; where it depends, by their value.
PAPERS: Mapping[str, str | Mapping[str, str]] = {
    "model.architecture": {"convolutional": "[@radford2016]", "residual": "[@gulrajani2017]"},
    "model.dilation": "[@yu2017]",
    "model.attention_resolution": "[@zhang2019sagan]",
    "model.spectral_norm": "[@miyato2018]",
    "model.initialization": {
        "dcgan": "[@radford2016]",
        "xavier": "[@glorot2010]",
        "kaiming": "[@he2015]",
        "orthogonal": "[@saxe2014]",
    },
    "model.kl_weight": "[@higgins2017beta]",
    "model.kl_warmup_steps": "[@bowman2016]",
    "model.discriminator_learning_rate": "[@heusel2017]",
    "model.ema_decay": "[@yazici2019]",
    "model.label_smoothing": "[@salimans2016]",
    "model.loss": {
        "non_saturating": "[@goodfellow2014]",
        "minimax": "[@goodfellow2014]",
        "hinge": "[@lim2017]",
        "least_squares": "[@mao2017]",
    },
    "model.gp_weight": "[@gulrajani2017]",
}

# Of these, the papers are about GANs alone.
_OF_GANS = {"model.architecture"}

# What stands for a setting that is left open.
_OPEN = {"model.decoder_std": "1.0"}


@dataclass(frozen=True)
class Change:
    """Two models, one of which is the other with `keys` of its settings changed.

    `ranks` are by a distance, if both were measured.
    """

    first: RunGroup
    other: RunGroup
    keys: Sequence[str]
    ranks: tuple[Ranked, Ranked] | None

    @property
    def judged(self) -> tuple[Ranked, Ranked] | None:
        """The ranks, where samples say how good both are."""
        return (
            self.ranks
            if all(has_prior(objective_of(each)) for each in (self.first, self.other))
            else None
        )

    @property
    def settings(self) -> str:
        """What was changed, as Markdown."""
        before, after = (settings_of(each) for each in (self.first, self.other))
        return join_words([_setting(key, before, after) for key in self.keys])

    @property
    def explained(self) -> str:
        """The same with the papers that say why, and with what a new objective brings along."""
        before, after = (settings_of(each) for each in (self.first, self.other))
        parts = [
            f"{_setting(key, before, after)} {_paper(key, after)}".rstrip() for key in self.keys
        ]
        own = [
            f"{_code(key)} {_value(key, after)}"
            for key in after
            if _counts(key) and key not in before
        ]
        return join_words(parts) + (
            f", with {join_words(own)}" if own and OBJECTIVE in self.keys else ""
        )

    @property
    def effect(self) -> int:
        """1 where it came closer to the real images by more than the margin, -1 where farther off, else 0."""
        if self.judged is None or tied(*self.judged):
            return 0
        before, after = self.judged
        return 1 if after.score.mean < before.score.mean else -1


def settings_of(run_group: RunGroup) -> dict[str, str]:
    return flatten(run_group.members[0].settings or {})


def objective_of(run_group: RunGroup) -> str:
    return settings_of(run_group).get(OBJECTIVE, "")


def changes_of(study: Study, run_groups: Sequence[RunGroup]) -> list[Change]:
    """Each contender against the one before it that it differs from in the fewest settings, of those the first; and
    against one of another objective that it is like otherwise."""
    metric, _ = primary(study, run_groups)
    ranked = {r.name: r for r in rank(distance_column(metric), run_groups)} if metric else {}
    found = []
    for place, run_group in enumerate(run_groups):
        earlier = [each for each in run_groups[:place] if objective_of(each)]
        kin = [each for each in earlier if objective_of(each) == objective_of(run_group)]
        nearest = sorted(kin, key=lambda each: len(_different(each, run_group)))[:1]
        for first in nearest + [each for each in earlier if _is_like(each, run_group)][:1]:
            if keys := _different(first, run_group):
                ranks = [ranked[each.name] for each in (first, run_group) if each.name in ranked]
                found.append(
                    Change(first, run_group, keys, (ranks[0], ranks[1]) if len(ranks) > 1 else None)
                )
    return found


def told(study: Study) -> str:
    """What became of each model by what it was changed in, as Markdown; nothing where none was."""
    paragraphs = []
    changes = [
        change
        for experiments in study.by_dataset().values()
        for change in changes_of(study, study.run_groups(experiments))
        if change.ranks or _both_encode(change)
    ]
    for change in changes:
        sentences = [*distances(change), *reconstructions(change), *_remarks(change)]
        paragraphs.append(f"**{change.other.name}**, {change.explained}: {' '.join(sentences)}")
    return "\n\n".join([_rule(changes), *paragraphs]) if paragraphs else ""


def _is_like(first: RunGroup, other: RunGroup) -> bool:
    """Whether two of different objectives differ in settings that only one of them has."""
    before, after = settings_of(first), settings_of(other)
    common = [key for key in before.keys() & after.keys() if _counts(key)]
    return before.get(OBJECTIVE) not in (None, after.get(OBJECTIVE)) and all(
        before[k] == after[k] for k in common
    )


def _counts(key: str) -> bool:
    return key.startswith(("model.", "training.")) and key not in (
        OBJECTIVE,
        "training.checkpoints",
    )


def _different(first: RunGroup, other: RunGroup) -> list[str]:
    """Of models of two objectives, the objective: the settings that one alone has come with it."""
    before, after = settings_of(first), settings_of(other)
    if before.get(OBJECTIVE) != after.get(OBJECTIVE):
        return [OBJECTIVE]
    return [key for key in after if _counts(key) and before.get(key) != after[key]]


def _setting(key: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    return f"{_code(key)} {_value(key, after)} instead of {_value(key, before).rstrip(',')}"


def _paper(key: str, settings: Mapping[str, str]) -> str:
    papers = PAPERS.get(key, "")
    if key in _OF_GANS and "model.n_critic" not in settings:
        return ""
    return papers if isinstance(papers, str) else papers.get(settings[key], "")


def _code(key: str) -> str:
    return f"`{key.partition('.')[2]}`"


def _value(key: str, settings: Mapping[str, str]) -> str:
    value = settings.get(key, NONE)
    if value != NONE:
        return value.replace("_", "-")
    if key == "model.discriminator_learning_rate":
        return f"{settings.get('model.learning_rate')}, the generator's,"
    return _OPEN.get(key, NONE)


def _rule(changes: Sequence[Change]) -> str:
    """What the margins are, in words for all."""
    judged = [change.judged for change in changes if change.judged]
    repeated = {r.name: None for ranks in judged for r in ranks if r.trainings > 1}
    once = [ranks for ranks in judged if all(r.trainings == 1 for r in ranks)]
    sentences = ["A margin is twice the standard deviation of the difference."] * bool(judged)
    if repeated:
        sentences.append(
            f"Beside {join_words(list(repeated))} it is over trainings, whose spread stands for both sides: the other was "
            "trained once."
        )
    sentences += [
        "Of models that were trained once it is over sampling seeds only: another training might move them farther."
    ] * bool(once)
    return " ".join(sentences)


def distances(change: Change) -> list[str]:
    if change.ranks is None:
        return []
    before, after = change.ranks
    name = after.column.name
    numbers = f"{name} {after.written} against {before.written} of {change.first.name}"
    without = [
        each.name for each in (change.first, change.other) if not has_prior(objective_of(each))
    ]
    if without:
        return [
            f"{numbers}, which does not judge {join_words(without)}, not trained to make samples."
        ]
    direction = "higher" if after.score.mean > before.score.mean else "lower"
    certain = "the margin is unknown"
    if margin(before, after) is not None:
        more = "less than" if tied(before, after) else "more than"
        certain = f"{more} the margin over {_repetitions(change)} ({written_margin(before, after)})"
    return [f"{numbers}, {direction} by {written_gap(before, after)}, {certain}."]


def _repetitions(change: Change) -> str:
    trainings = max(len(change.first.members), len(change.other.members))
    if trainings > 1:
        return f"{trainings} trainings"
    return f"{(change.other.members[0].metrics or {}).get('num_seeds', 'the')} sampling seeds"


def _both_encode(change: Change) -> bool:
    members = [each.members[0] for each in (change.first, change.other)]
    return all((member.exploration or {}).get("method") == "encoding" for member in members)


def reconstructions(change: Change) -> list[str]:
    """Of models that encode: reconstruction is what they are trained for."""
    pair = (change.first, change.other)
    columns = {
        "MSE": Column("", reconstructed("mse"), -1),
        "SSIM": Column("", reconstructed("ssim"), 1, three_decimals),
    }
    parts = []
    for name, column in columns.items() if _both_encode(change) else ():
        found = {ranked.run_group.name: ranked for ranked in rank(column, pair)}
        if len(found) == len(pair):
            before, after = (found[each.name] for each in pair)
            parts.append(f"{name} {after.written} against {before.written}")
    return (
        [f"Test images are reconstructed with {join_words(parts)} of {change.first.name}."]
        if parts
        else []
    )


def _remarks(change: Change) -> list[str]:
    return [*_replaced(change), *_generator_steps(change), *_pace(change)]


def _replaced(change: Change) -> list[str]:
    """A network that has lost its batch normalization by the change."""
    before, after = (_normalized(each.members[0]) for each in (change.first, change.other))
    known = {layer["network"] for layer in change.other.members[0].layers}
    lost = sorted((before - after) & known)
    return [f"It takes the place of batch normalization in the {join_words(lost)}."] if lost else []


def _normalized(experiment: Experiment) -> set[str]:
    return {
        layer["network"] for layer in experiment.layers if layer["kind"].startswith("BatchNorm")
    }


def _generator_steps(change: Change) -> list[str]:
    """What a change of the players' turns leaves to the generator in the same epochs."""
    if {"model.n_critic", "model.n_generator"}.isdisjoint(change.keys):
        return []
    steps = [_steps(each.members[0]) for each in (change.other, change.first)]
    if None in steps:
        return []
    return [f"The generator took {steps[0]:,} steps instead of {steps[1]:,}."]


def _steps(experiment: Experiment) -> int | None:
    """A step of history is one of the discriminator or critic."""
    model = (experiment.settings or {}).get("model") or {}
    if not experiment.history:
        return None
    return int(experiment.history[-1]["step"]) // int(model["n_critic"]) * int(model["n_generator"])


def _pace(change: Change) -> list[str]:
    """When it had come as far as the first, if before its end, and what that took."""
    sentences = []
    if change.judged:
        key, goal = change.judged[0].column.metric, change.judged[0].score.mean
        checkpoints = change.other.checkpoints
        reached = [c.epoch for c in checkpoints if key in c.scores and c.scores[key].mean <= goal]
        if reached and reached[0] < checkpoints[-1].epoch:
            sentences.append(
                f"It had come as close as {change.first.name} does in the end by epoch {reached[0]} of "
                f"{checkpoints[-1].epoch}."
            )
    rates = [score_of(_RATE, each) for each in (change.first, change.other)]
    if rates[0] and rates[1]:
        ratio = rates[0].mean / rates[1].mean
        sentences += [f"An epoch takes {plain(ratio, 1)} times as long."] * (abs(ratio - 1) > CLOCK)
    return sentences


_RATE = Column("", of_provenance("images_per_second"), 1)
