"""A small synthetic study on disk: experiments with three evaluated checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from latentbench.artifacts.files import (
    read_arrays,
    read_csv,
    read_json,
    read_manifest,
    write_arrays,
    write_csv,
    write_json,
    write_manifest,
    write_yaml,
)
from latentbench.artifacts.metrics import PRDC
from latentbench.artifacts.paths import (
    EVALUATION_ARRAYS,
    EVOLUTION,
    INTERACTIVE_ARRAYS,
    ITERATIONS,
    LAST_METRICS,
    LATENT_ARRAYS,
    LATENT_FACTS,
    METRICS,
    PROVENANCE,
    RECONSTRUCTIONS,
    record_name,
    samples_path,
)
from latentbench.config.load import parse_params, read_yaml
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import house_style
from tests.report.synthetic_results import (
    CLASSES,
    Array,
    Imagination,
    denoising,
    examined,
    explored,
    interactive,
    ode,
    pictured,
)

EPOCHS = 4
TERMS = {
    "vae": ("loss", "reconstruction", "kl"),
    "dcgan": ("discriminator_loss", "generator_loss", "accuracy_real"),
    "wgan-gp": ("critic_loss", "wasserstein", "gradient_penalty", "generator_loss"),
    "diffusion": ("loss",),
}
WATCHED = {
    "vae": (
        "gradient",
        "train_bits_per_dimension",
        "test_bits_per_dimension",
        "train_mse",
        "test_mse",
    ),
    "dcgan": (
        "generator_gradient",
        "train_accuracy_real",
        "test_accuracy_real",
        "test_accuracy_fake",
    ),
    "wgan-gp": ("critic_gradient", "train_wasserstein", "test_wasserstein"),
    "diffusion": (
        "gradient",
        *("train_loss", "train_loss_0_25", "train_loss_25_50"),
        *("test_loss", "test_loss_0_25", "test_loss_25_50"),
    ),
}
# Conditional models are named after the unconditional ones that they are like.
CONDITIONAL = "conditional-"
SIX = {"vae": (30.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)} | {
    f"{CONDITIONAL}{name}": (mean, 0.2)
    for name, mean in (("vae", 25.0), ("dcgan", 18.0), ("wgan-gp", 11.0))
}
SCORES = {"vae": (30.0, 0.4), "dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)}
# More models than colors, or places on a page: `vae_1` is like `vae` in another size.
MANY = {
    f"{name}{more}": (mean + place, 0.2)
    for place, more in enumerate(("", "_1", "_2"))
    for name, (mean, _) in SIX.items()
}

MakeStudy = Callable[..., Path]


@pytest.fixture(autouse=True)
def style_of_the_report() -> Iterator[None]:
    """As a page sets it; the settings of other tests stay."""
    with house_style():
        yield


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Write results/demo; `scores` has mean and std of each model's FD (classifier)."""

    def make(
        scores: Mapping[str, tuple[float, float | None]] = SCORES,
        channels: int = 1,
        side: int = 8,
        classes: list[str] = CLASSES,
    ) -> Path:
        folder = tmp_path / "results" / "demo"
        write_study(folder, list(scores))
        for number, (name, (mean, std)) in enumerate(scores.items()):
            write_training(folder / name, seconds=10.0 * (number + 1))
            write_metrics(folder / name, mean, std)
            write_arrays_of(
                folder / name, Imagination(number, side=side, channels=channels), classes
            )
        return folder

    return make


def write_study(folder: Path, names: list[str]) -> None:
    models = {}
    for name in names:
        models[name] = {"name": kind_of(name).replace("-", "_")}
        size = int(name.partition("_")[2] or 0)
        if kind_of(name) == "diffusion":  # whose latents are as large as an image
            models[name] |= {"width": 32 + size}
        else:
            models[name] |= {"latent_dim": 32 + size}
        if name.startswith(CONDITIONAL):
            models[name] |= {"condition": "class"}
    params = parse_params(
        {
            "studies": {
                "demo": {
                    "title": "Three models",
                    "question": "Which is best?",
                    "authors": ["A. Author"],
                }
            },
            "datasets": {"glyphs": {"source": "glyphs"}},
            "defaults": {"training": {"epochs": EPOCHS, "checkpoints": [1, 2, 4]}},
            "experiments": {
                name: {
                    "study": "demo",
                    "dataset": "glyphs",
                    "model": model,
                }
                for name, model in models.items()
            },
        },
        where="a made-up study",
    )
    write_yaml(folder / "study.yaml", params.study("demo").model_dump(mode="json"))
    for name in names:
        write_yaml(folder / name / "config.yaml", params.experiment(name).model_dump(mode="json"))


def kind_of(name: str) -> str:
    return name.removeprefix(CONDITIONAL).partition("_")[0]


def make_repeats(folder: Path, first: str, *others: str) -> None:
    """Give the other experiments the settings of the first, with seeds of their own."""
    settings = read_yaml(folder / first / "config.yaml")
    for seed, name in enumerate(others, start=1):
        write_yaml(folder / name / "config.yaml", settings | {"name": name, "seed": seed})


def make_trainings(make: MakeStudy, **scores: list[float]) -> Path:
    """Write a study of models with several trainings each; scores are their distances."""
    named = {}
    for name, distances in scores.items():
        for place, distance in enumerate(distances):
            named[f"{name}_{place}" if place else name] = (distance, 0.1)
    folder = make({name.replace("wgan", "wgan-gp"): score for name, score in named.items()})
    for name, distances in scores.items():
        first = name.replace("wgan", "wgan-gp")
        make_repeats(folder, first, *(f"{first}_{place}" for place in range(1, len(distances))))
    return folder


def repeat_training(folder: Path, name: str, *scores: tuple[float, float | None]) -> None:
    """Give an experiment further trainings with these means and standard deviations."""
    study = read_yaml(folder / "study.yaml")
    numbers = study.get("repeats", {}) | {name: 1 + len(scores)}
    write_yaml(folder / "study.yaml", study | {"repeats": numbers})
    settings = read_yaml(folder / name / "config.yaml")
    write_yaml(folder / name / "config.yaml", settings | {"repeats": 1 + len(scores)})
    for number, score in enumerate(scores, start=1):
        place = folder / name / "repeats" / str(number)
        # Files are made for the model that a folder is named after.
        made = place / name
        write_training(made, seconds=20.0)
        write_metrics(made, *score)
        for path in sorted(made.iterdir()):
            path.rename(place / path.name)
        made.rmdir()
        own = {"name": f"{name}/repeats/{number}", "seed": settings["seed"] + number}
        write_yaml(place / "config.yaml", settings | own)
        (place / record_name("explore")).unlink()


def put_on_two_datasets(folder: Path) -> None:
    """Of the experiments on glyphs, let the vae be on another dataset."""
    for path, old, new in (
        (folder / "study.yaml", "datasets:\n- glyphs", "datasets:\n- faces\n- glyphs"),
        (folder / "vae" / "config.yaml", "dataset: glyphs", "dataset: faces"),
    ):
        path.write_text(path.read_text().replace(old, new))


def write_training(folder: Path, *, seconds: float) -> None:
    rows = [
        {"epoch": epoch, "step": 100 * epoch, "images": 6400 * epoch, "seconds": seconds * epoch}
        | {"images_per_second": 6400 / seconds, "peak_memory_mb": 900.0}
        | {
            term: (place + 1) * (0.1 if "accuracy" in term else 10) / epoch
            for place, term in enumerate(
                TERMS[kind_of(folder.name)] + WATCHED[kind_of(folder.name)]
            )
        }
        for epoch in range(1, EPOCHS + 1)
    ]
    signs = [
        "mode collapse: samples are alike; posterior collapse: no unit",
        "mode collapse: still",
        "",
        "",
    ]
    warnings = [{"warnings": sign if folder.name == "vae" else ""} for sign in signs]
    rows = [row | sign for row, sign in zip(rows, warnings, strict=True)]
    write_csv(folder / "history.csv", rows, columns=list(rows[0]))
    write_iterations(folder)
    layer = {
        "network": "encoder",
        "kernel": "4×4",
        "stride": "2×2",
        "padding": "1×1",
        "dilation": "1×1",
    }
    layers = [
        layer
        | {
            "layer": "0",
            "kind": "Conv2d",
            "output": "8×16×16",
            "parameters": 1_360,
            "multiply_adds": 34_816,
        },
        layer
        | {"layer": "1", "kind": "ReLU", "output": "8×16×16", "parameters": 0, "multiply_adds": 0},
        layer
        | {"network": "decoder", "layer": "0", "kind": "Linear", "output": "64", "parameters": 640}
        | {"multiply_adds": 640},
    ]
    write_csv(folder / "architecture.csv", layers, columns=list(layers[0]))
    record: dict[str, Any] = {
        "command": f"latentbench train --config results/demo/{folder.name}/config.yaml",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "uncommitted_changes": False,
        "python": "3.11.2",
        "packages": {"latentbench": "0.1.0", "torch": "2.6.0"},
        "system": "Linux x86_64",
        "processor": "A processor",
        "cores": 2,
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "seed": 0,
        "data_digest": "feedfacecafebeef" * 4,
        "seconds": seconds * EPOCHS,
        "images_per_second": 6400 / seconds,
        "peak_memory_mb": 900.0,
        "parameters": {"encoder": 500_000, "decoder": 700_000},
    }
    write_manifest(folder / PROVENANCE, record | {"cost": cost(seconds * EPOCHS + 5)})
    for stage, took in (("evaluate", 30.0), ("explore", 12.0)):
        write_manifest(folder / record_name(stage), {"stage": stage, "cost": cost(took)})


def cost(wall_seconds: float) -> dict[str, float]:
    return {
        "wall_seconds": wall_seconds,
        "cpu_seconds": 1.5 * wall_seconds,
        "peak_memory_mb": 800 + wall_seconds,
    }


def write_iterations(folder: Path, number: int = 60) -> None:
    """Write noisy loss terms; the generator's are missing at the first point."""
    terms = TERMS[kind_of(folder.name)]
    noise = np.random.default_rng(0).normal(1, 0.1, (number, len(terms)))
    rows = [
        {"step": 5 * point, "images": 320 * point}
        | {
            term: (place + 1) * 40 / point * noise[point - 1, place]
            for place, term in enumerate(terms)
        }
        | ({"generator_loss": None} if point == 1 and "generator_loss" in terms else {})
        for point in range(1, number + 1)
    ]
    write_csv(folder / ITERATIONS, rows, columns=["step", "images", *terms])


def write_pictures(
    folder: Path,
    epochs: list[int],
    *,
    columns: int = 8,
    side: int = 32,
    channels: int = 1,
    see: Imagination | None = None,
) -> None:
    """What training leaves under samples/; the settings have 32 pixels."""
    see = see or Imagination(len(folder.name), side=side, channels=channels)
    mosaics, rows = pictured(see, epochs, columns=columns)
    for epoch, image_grid in mosaics.items():
        write_picture(samples_path(folder, epoch), image_grid)
    if kind_of(folder.name) == "vae":
        write_picture(folder / RECONSTRUCTIONS, rows)
    frames = [Image.fromarray(image_grid.squeeze()) for image_grid in mosaics.values()]
    for name in EVOLUTION:
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])


def write_picture(path: Path, picture: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.squeeze()).save(path)


def write_metrics(folder: Path, mean: float, std: float | None) -> None:
    rows = [
        {"epoch": epoch, "num_samples": 5000, "num_seeds": 3, "num_reference": 10_000}
        | {
            "fd_classifier": mean * EPOCHS / epoch,
            "fd_classifier_std": std,
            "kd_classifier": mean / 1000 * EPOCHS / epoch,
            "kd_classifier_std": std and std / 900,
        }
        | {f"{name}_classifier": 1 / (place + mean) for place, name in enumerate(PRDC)}
        | {f"{name}_classifier_std": std and std / 1000 for name in PRDC}
        | {
            "closer_to_train_classifier": mean / 40,
            "closer_to_train_classifier_std": std and std / 40,
            "fd_class_shares": mean / 4,
            "fd_class_shares_std": std and std / 4,
        }
        for epoch in (1, 2, 4)
    ]
    write_csv(folder / "metrics.csv", rows, columns=list(rows[0]))
    protocols = {"classifier": "features of the classifier trained on glyphs, at 32×32"}
    numbers = [1250, 2500, 5000]
    line = {
        "num_samples": numbers,
        "distances": [mean + 100 / number for number in numbers],
        "fitted_from": 1250,
        "infinite": mean,
    }
    write_json(
        folder / "metrics.json",
        rows[-1]
        | {"sample_sizes": {"fd_classifier": line}}
        | {
            "protocols": protocols,
            "seed": 0,
            "test_scores": {
                "fd_classifier": 1.5,
                "fd_classifier_std": 0.2,
                "fd_class_shares": 0.4,
                "kd_classifier": 0.001,
                "recall_classifier": 0.9,
                "closer_to_train_classifier": 0.5,
            }
            | {"label_accuracy": 0.95},
            "num_test_images": 5000,
            "num_test_sets": 10,
            "num_test_compared": 4000,
            "has_random_classes": True,
            "train_halves": {
                "fd_classifier": 0.7,
                "fd_classifier_std": 0.1,
                "kd_classifier": 0.0004,
                "num_images": 5000,
                "num_splits": 20,
            },
        },
    )


def score_labels(folder: Path, accuracies: dict[str, str]) -> None:
    """Write a label accuracy with ± 0.01 for every checkpoint."""
    for name, accuracy in accuracies.items():
        scores = {"label_accuracy": accuracy, "label_accuracy_std": "0.01"}
        rows = [row | scores for row in read_csv(folder / name / METRICS)]
        write_csv(folder / name / METRICS, rows, columns=list(rows[0]))


def write_arrays_of(folder: Path, see: Imagination, classes: list[str]) -> None:
    conditional, kind = folder.name.startswith(CONDITIONAL), kind_of(folder.name)
    encodes = kind in {"vae", "diffusion"}
    arrays, facts = examined(
        see,
        discriminates=not encodes,
        has_likelihood=kind == "vae",
        probabilities=kind == "dcgan",
        conditional=conditional,
        classes=classes,
    )
    write_arrays(folder / EVALUATION_ARRAYS, arrays)
    write_json(folder / LAST_METRICS, read_json(folder / LAST_METRICS) | facts)
    arrays, facts = explored(see, encodes=encodes, conditional=conditional, classes=classes)
    if kind == "diffusion":
        for added, described in (denoising(see), ode(see)):
            arrays, facts = arrays | added, facts | described
        for name in ("variance_per_dimension", "kl_per_dimension"):
            del arrays[name]
        del facts["active_units"], facts["active_variance"]
    write_arrays(folder / LATENT_ARRAYS, arrays)
    moving, moved = interactive(see, encodes=encodes, conditional=conditional, classes=classes)
    write_arrays(folder / INTERACTIVE_ARRAYS, moving)
    write_json(folder / LATENT_FACTS, {"epoch": EPOCHS} | facts | moved)


def change(path: Path, **facts: Any) -> None:
    """Set facts of a JSON file; None takes one away."""
    changed = read_json(path) | facts
    write_json(path, {key: value for key, value in changed.items() if value is not None})


def change_record(path: Path, **facts: Any) -> None:
    """Set facts of a record with a checksum."""
    write_manifest(path, read_manifest(path) | facts)


def keep_arrays(path: Path, *names: str) -> None:
    """Leave only these arrays, as for a model that has no others."""
    write_arrays(path, {name: array for name, array in read_arrays(path).items() if name in names})


def figures_of(drawing: Drawing) -> list[Figure]:
    assert drawing.figure is not None
    return [drawing.figure, *drawing.continued]


def words_of(drawing: Drawing) -> set[str]:
    return {text.get_text() for figure in figures_of(drawing) for text in figure.findobj(Text)}


def images_drawn(drawing: Drawing) -> list[Array]:
    return [
        np.asarray(image.get_array())
        for figure in figures_of(drawing)
        for axes in figure.axes
        for image in axes.images
    ]


def give_datasets(folder: Path, **datasets: str) -> None:
    """Put experiments on other datasets than the study's one."""
    names = ["glyphs", *dict.fromkeys(datasets.values())]
    write_yaml(folder / "study.yaml", read_yaml(folder / "study.yaml") | {"datasets": names})
    for name, dataset in datasets.items():
        path = folder / name.replace("_", "-") / "config.yaml"
        write_yaml(path, read_yaml(path) | {"dataset": dataset})


def assert_on_the_page(figure: Figure) -> None:
    """Return all texts except tick labels, some of which matplotlib does not show."""
    figure.draw_without_rendering()
    assert all(axes.get_position().x1 <= 1 + 1e-6 for axes in figure.axes)
    written = [
        *figure.texts,
        *(text for axes in figure.axes for text in (*axes.texts, axes.title, axes._left_title)),
    ]
    for text in written:
        if text.get_text():
            extent = text.get_window_extent()
            assert extent.x0 >= -2, text.get_text()
            assert extent.x1 <= figure.bbox.x1 + 2, text.get_text()
