"""Sentences of captions that depend on the models of a study."""

from __future__ import annotations

from latentbench.results.formatting import join_words, names_of
from latentbench.results.kinds import has_conditional
from latentbench.results.study import Study


def samples(study: Study) -> str:
    """Return the caption of the grids of samples."""
    text = (
        "Images generated after the last epoch, not selected. The same place in each grid holds "
        "the same latent vector."
    )
    return f"{text} Conditional models get the labels in turn." if has_conditional(study) else text


def reconstruction_methods(study: Study) -> str:
    """Return how each model reconstructs real images: by encoding or by inversion."""
    encoding = [each for each in study if each.latent.get("method") == "encoding"]
    inversion = [each for each in study if each.latent.get("method") == "inversion"]
    sentences = []
    if encoding:
        sentences.append(f"By encoding: {names_of(encoding)}.")
    if inversion:
        sentences.append(f"By inversion: {names_of(inversion)}.")
    settings = [(max(e.latent["inversion_steps"]), e.latent["inversion_starts"]) for e in inversion]
    for steps, starts in dict.fromkeys(settings):
        sentences.append(
            f"Inversion takes {steps} steps of Adam on the latent, from the nearest of {starts} "
            "random ones."
        )
    return " ".join(sentences)


def reconstruction_scope(study: Study) -> str:
    """Return over how many images reconstruction errors are means."""
    numbers = study.reconstruction.query("split == 'test'")["num_images"].unique()
    if not len(numbers):
        return ""
    images = join_words([f"{number:,}" for number in sorted(numbers)])
    return f"Errors are means over the first {images} images, the same for all models."


def walk_sources(study: Study) -> str:
    """Return which images are moved along the directions of attributes."""
    present, _ = study.with_latent("directions", facts=["directions"])
    sources = {each.latent.get("directions_source", "test images") for each in present}
    if "samples" not in sources:
        return "Test images"
    samples = "samples with the classifier's attributes for models without an encoder"
    return f"Test images, or {samples}," if len(sources) > 1 else f"{samples.capitalize()},"
