"""What each change of settings did, as Markdown."""

from __future__ import annotations

import pandas as pd

from latentbench.results import Study, quantities, ranking
from latentbench.results.changes import MODEL, Change, find_changes
from latentbench.results.formatting import escape_markdown, join_markdown, join_words
from latentbench.results.ranking import rank

_NONE = "none"
_UNTESTED = (
    "Where one of two models was trained once, their difference is that of these trainings: it "
    "does not show what the setting does. The ± of a single training is the spread over sets of "
    "samples."
)

# The paper that introduced a setting, or one of its values.
PAPERS = {
    "dilation": "yu2017",
    "attention_resolution": "zhang2019sagan",
    "spectral_norm": "miyato2018",
    "architecture ddpmpp": "karras2022edm",
    "guidance": "ho2021",
    "label_dropout": "ho2021",
    "churn": "karras2022edm",
    "conditional_batch_norm": "dumoulin2017",
    "projection_discriminator": "miyato2018projection",
    "initialization dcgan": "radford2016",
    "initialization xavier": "glorot2010",
    "initialization kaiming": "he2015",
    "initialization orthogonal": "saxe2014",
    "kl_weight": "higgins2017beta",
    "kl_warmup_steps": "bowman2016",
    "discriminator_learning_rate": "heusel2017",
    "learning_rate_decay cosine": "loshchilov2017",
    "ema_decay": "yazici2019",
    "label_smoothing": "salimans2016",
    "loss non_saturating": "goodfellow2014",
    "loss minimax": "goodfellow2014",
    "loss hinge": "lim2017",
    "loss least_squares": "mao2017",
    "gp_weight": "gulrajani2017",
    "r1_weight": "mescheder2018",
    "r1_interval": "karras2020stylegan2",
    "augment": "zhao2020",
    "augment_target": "karras2020ada",
    "prior": "ghosh2020",
    "code_penalty": "ghosh2020",
    "decoder_weight_decay": "ghosh2020",
}
_PAPERS_ON_GANS = {
    "architecture convolutional": "radford2016",
    "architecture residual": "gulrajani2017",
    "architecture resnet": "lee2020mimicry",
}


def describe(study: Study) -> str:
    """Return what each change of settings did, as Markdown; empty where none was made."""
    paragraphs = []
    has_untested = False
    for runs in study.runs_by_dataset().values():
        for change in find_changes(study, runs):
            sentences = distances(change) + reconstructions(study, change)
            if sentences:
                sentences += _replaced_layers(study, change) + _generator_steps(study, change)
                text = " ".join([*sentences, *_pace(study, change)])
                paragraphs.append(f"**{change.second.in_markdown}**, {_explained(change)}: {text}")
                has_untested = has_untested or bool(change.judged and change.test is None)
    return "\n\n".join([_UNTESTED, *paragraphs] if has_untested else paragraphs)


def distances(change: Change) -> list[str]:
    """Return the distances of both models, and whether the trainings distinguish them."""
    if change.ranks is None:
        return []
    before, after = change.ranks
    name = after.quantity.name
    if change.without_prior:
        verb = "is" if len(change.without_prior) == 1 else "are"
        return [
            f"{name} is {after.text}, against {before.quoted}. It does not judge "
            f"{join_markdown(change.without_prior)}, which {verb} not trained to generate samples."
        ]
    direction = "above" if after.mean > before.mean else "below"
    gap = ranking.gap_text(before, after)
    sentence = f"{name} is {after.text}, {gap} {direction} {before.quoted}"
    if change.test is None:
        return [f"In these trainings, {sentence}."]
    evidence = ranking.evidence(after, before, change.test) + ranking.correction(change.test)
    if change.test.is_significant:
        return [f"{sentence} ({evidence})."]
    return [f"{sentence}; the trainings do not distinguish them ({evidence})."]


def reconstructions(study: Study, change: Change) -> list[str]:
    """Return the reconstruction errors of two models with encoders, which are trained for them."""
    pair = [change.first, change.second]
    if {run.members[0].latent.get("method") for run in pair} != {"encoding"}:
        return []
    parts = []
    for quantity in (quantities.MSE, quantities.SSIM):
        found = ranking.by_name(rank(study, quantity, pair))
        if len(found) == 2:
            before, after = found[change.first.name], found[change.second.name]
            parts.append(f"{quantity.name} {after.text} against {before.text}")
    return [f"Test images are reconstructed with {join_words(parts)}."] if parts else []


def changed_settings(change: Change) -> str:
    """Return the changed settings as Markdown."""
    return join_words([_setting(change, key) for key in change.keys])


def _setting(change: Change, key: str) -> str:
    before = _value(key, change.before).rstrip(",")
    return f"`{key}` {_value(key, change.after)} instead of {before}"


def _explained(change: Change) -> str:
    """Return the changed settings with their papers, and the settings only the new model has."""
    papers = PAPERS | (_PAPERS_ON_GANS if change.after.get("n_critic") else {})
    changed = []
    for key in change.keys:
        paper = papers.get(key) or papers.get(f"{key} {change.after[key]}")
        changed.append(_setting(change, key) + (f" [@{paper}]" if paper else ""))
    own = []
    if MODEL in change.keys:
        for key in change.after.index[change.before.eq("") & change.after.ne("")]:
            own.append(f"`{key}` {_value(key, change.after)}")
    text = join_words(changed) + (f", with {join_words(own)}" if own else "")
    for key in change.searched:
        text += (
            f", each with the `{key}` that its search selected "
            f"({_value(key, change.after)} and {_value(key, change.before)})"
        )
    return text


def _value(key: str, settings: pd.Series) -> str:
    """Return a setting as Markdown, with the default where it is left open."""
    value = settings[key]
    if value != _NONE:
        return escape_markdown(str(value))
    if key == "discriminator_learning_rate":
        return f"{settings['learning_rate']}, the generator's,"
    return "1.0" if key == "decoder_std" else _NONE


def _replaced_layers(study: Study, change: Change) -> list[str]:
    """Return the networks that have lost their batch normalization by the change."""
    before, after = change.first.members[0].name, change.second.members[0].name
    layers = study.layers[study.layers["experiment"].isin([before, after])]
    is_normalized = layers["kind"].str.startswith("BatchNorm")
    networks = is_normalized.groupby([layers["network"], layers["experiment"]]).any().unstack()
    networks = networks.reindex(columns=[before, after])
    lost = list(networks.index[networks[before].eq(True) & networks[after].eq(False)])
    return [f"It replaces batch normalization in the {join_words(lost)}."] if lost else []


def _generator_steps(study: Study, change: Change) -> list[str]:
    """Return how many steps the generator took, if their ratio to the critic's has changed."""
    if {"n_critic", "n_generator"}.isdisjoint(change.keys):
        return []
    steps = []
    for run, model in ((change.second, change.after), (change.first, change.before)):
        history = study.history[study.history["training"] == run.members[0].name]
        if history.empty:
            return []
        # History counts the steps of the discriminator or critic.
        turns = int(history["step"].iloc[-1]) // int(model["n_critic"])
        steps.append(f"{turns * int(model['n_generator']):,}")
    return [f"The generator took {steps[0]} steps instead of {steps[1]}."]


def _pace(study: Study, change: Change) -> list[str]:
    """Return when the run reached the other's final distance, and how long its epochs take."""
    sentences = []
    if change.judged:
        goal = change.judged[0]
        checkpoints = study.checkpoints(change.second, goal.quantity.key)
        reached = checkpoints.loc[checkpoints["mean"] <= goal.mean, "epoch"]
        last = checkpoints["epoch"].iloc[-1]
        if len(reached) and reached.iloc[0] < last:
            sentences.append(
                f"It reached the final {goal.quantity.name} of {change.first.in_markdown} by epoch "
                f"{reached.iloc[0]} of {last}."
            )
    pair = [change.first, change.second]
    rates = ranking.by_name(rank(study, quantities.IMAGES_PER_SECOND, pair))
    if len(rates) == 2:
        ratio = rates[change.first.name].mean / rates[change.second.name].mean
        if abs(ratio - 1) > ranking.TIMING_NOISE:
            sentences.append(f"An epoch takes {quantities.format_number(ratio, 1)} times as long.")
    return sentences
