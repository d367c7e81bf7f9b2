"""What kinds of data and models a study has; captions depend on it."""

from __future__ import annotations

from latentbench.config.models import has_prior
from latentbench.results.study import Study


def has_classes(study: Study) -> bool:
    """Return whether the images of some dataset have classes, as far as it was explored."""
    return any(each.latent.get("class_names") for each in study)


def has_conditional(study: Study) -> bool:
    """Return whether some model is conditional."""
    return any(each.model.get("condition") for each in study)


def has_class_means(study: Study) -> bool:
    """Return whether the mean codes of classes were decoded.

    Only unconditional models with an encoder have them.
    """
    facts = [each.latent for each in study]
    return any(len(each.get("means") or []) > 1 and not each.get("label_names") for each in facts)


def lacks_prior(study: Study) -> bool:
    """Return whether the codes of some model follow no prior."""
    return not all(has_prior(each.model.get("name", "")) for each in study)
