"""Images for the figures with a slider: toward a class, and from one label to another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch

from latentbench.data.image_grid import Images
from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.explorations.attribute_directions import (
    FINE_STEPS,
    NUM_SHOWN,
    data_from_images,
    data_from_samples,
    find_directions,
    follow,
)
from latentbench.latent.model_probe import ModelProbe, Rows

MAX_CLASSES = 10  # the most frequent ones
MIX_STEPS = 9  # from one label to the other, both included
_NUM_MIXED = 4  # latents under each mix
_MAX_IMAGES = 400  # latents are fewer where there are many pairs of labels


def explore_class_directions(probe: ModelProbe) -> Findings:
    """Follow the direction of each class, in standard deviations of the codes along it.

    Nothing for conditional models, which have the class as an input, and for datasets with
    attributes, whose directions are followed instead.
    """
    manifest = probe.dataset.manifest
    names = manifest.class_names
    if probe.is_conditional or manifest.attribute_names or len(names) < 2:
        return Findings()
    classes = _frequent_classes(probe)
    shown = [names[label] for label in classes]

    def classes_of(split: str, rows: Rows) -> Array:
        is_class: Array = np.equal.outer(probe.dataset.labels(split)[rows], classes)
        return is_class.astype(np.uint8)

    def predict(images: Images) -> Array:
        probabilities = probe.realism.class_probabilities(images)
        assert probabilities is not None
        is_class: Array = np.equal.outer(probabilities.argmax(axis=-1), classes)
        return is_class

    if probe.has_encoder:
        data = data_from_images(probe, shown, classes_of)
    elif probe.realism.class_names:
        data = data_from_samples(probe, shown, predict)
    else:
        return Findings()
    directions = find_directions(probe, data)
    if not directions:
        return Findings()
    facts = []
    for each in directions:
        facts.append(
            {"class": each.attribute, "accuracy": each.accuracy, "base_rate": each.base_rate}
        )
    images = follow(probe, data.first(NUM_SHOWN), directions, FINE_STEPS)
    return Findings(facts={"class_directions": facts}, interactive={"directions": images})


def _frequent_classes(probe: ModelProbe) -> list[int]:
    """Return the most frequent classes of training images, in their order."""
    labels = probe.dataset.labels("train")
    counts = np.bincount(labels[labels >= 0], minlength=len(probe.dataset.manifest.class_names))
    return sorted(np.argsort(-counts, kind="stable")[:MAX_CLASSES].tolist())


def explore_label_mixes(probe: ModelProbe) -> Findings:
    """Decode shared latents under labels between two labels; nothing for unconditional models.

    `mixes` is (pairs, latents, steps, height, width, channel). Models conditioned on classes have
    all pairs of the most frequent classes. Models conditioned on attributes have a pair per
    attribute: the most frequent label without it and with it.
    """
    if not probe.is_conditional:
        return Findings()
    pairs = list(_label_pairs(probe))
    facts = []
    for start, end in pairs:
        names = [probe.label_set.describe(start), probe.label_set.describe(end)]
        facts.append(dict(zip(("from", "to"), names, strict=True)))
    ends = torch.tensor(pairs, dtype=torch.float32, device=probe.device)
    # The embedding is linear in the label, so this interpolates embeddings linearly.
    weights = torch.linspace(0, 1, MIX_STEPS, device=probe.device)[:, None]
    labels = torch.lerp(ends[:, :1], ends[:, 1:], weights)
    number = min(_NUM_MIXED, max(1, _MAX_IMAGES // (len(pairs) * MIX_STEPS)))
    latents = probe.latents(number, "mixed labels")
    shape = (len(pairs), number, MIX_STEPS, -1)
    images = probe.decode(latents[None, :, None].expand(shape), labels[:, None].expand(shape))
    return Findings(facts={"mixes": facts}, interactive={"mixes": images})


def _label_pairs(probe: ModelProbe) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the vectors of the two labels of each pair."""
    label_set = probe.label_set
    by_frequency = np.argsort(-np.array(label_set.counts), kind="stable").tolist()
    if label_set.names == probe.dataset.manifest.class_names:
        shown = sorted(by_frequency[:MAX_CLASSES])
        yield from combinations([label_set.vectors[place] for place in shown], 2)
        return
    frequent = label_set.vectors[by_frequency[0]]
    for place in range(len(frequent)):
        without, with_it = list(frequent), list(frequent)
        without[place], with_it[place] = 0, 1
        yield without, with_it
