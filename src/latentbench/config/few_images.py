"""What few training images mean for GANs, for metrics and for copies, and what to set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.config.budgets import MAX_TRAIN_IMAGES, Budget
from latentbench.errors import list_names

# Fewer training images are few for a GAN. With 5,000 images of CIFAR-10, augmentation more than
# halves the FID of StyleGAN2 (Zhao et al., 2020).
FEW_FOR_GANS = 5_000
# Fewer training images bias Fréchet distances by more than models differ. Over 64 features of a
# classifier, 300 real faces have a distance of 4.3 to 1,500 others, 1,000 real faces of 2.2, and
# 1,500 of 1.9 (docs/models.md).
FEW_FOR_DISTANCES = 1_000
# With fewer training images, a GAN without augmentation may mostly copy them.
FEW_FOR_COPIES = 1_000

AUGMENT = "[color, translation, cutout]"


def advice(
    num_train: int, *, unaugmented: Sequence[str], num_validation: int = 0, budget: Budget = "full"
) -> list[str]:
    """Return sentences on a dataset with few training images.

    There are none for a large dataset, and for one that the small budget may have cut.

    Args:
        num_train: The number of training images.
        unaugmented: The names of the GANs that train on them without `augment`.
        num_validation: The number of validation images.
        budget: The budget of the study.
    """
    if budget == "small" and num_train + num_validation >= MAX_TRAIN_IMAGES:
        return []
    sentences = []
    if num_train < FEW_FOR_GANS and unaugmented:
        sentences.append(
            f"{num_train:,} training images are few for a GAN: its discriminator memorizes them, "
            "and as training goes on, samples become worse or copies. Then set augment: "
            f"{AUGMENT} for {list_names(unaugmented)}, with more epochs, because augmented "
            "trainings are slower."
        )
    if num_train < FEW_FOR_DISTANCES:
        sentences.append(
            f"Distances to {num_train:,} training images are too large, and a model that copies "
            "these has a low one. Compare models at equal numbers of images, with the score of "
            "test images, and look at the share of copies."
        )
    if num_train < FEW_FOR_COPIES:
        sentences.append(
            "A model may copy so few images: the report shows samples with their nearest training "
            "images, and the share that is closer to them than test images are."
        )
    return sentences


def lacks_augmentation(model: Mapping[str, Any]) -> bool:
    """Return whether a model, from its settings, is a GAN without `augment`."""
    return model.get("augment") == []
