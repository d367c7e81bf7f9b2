"""A tiny study of models with initial weights, explored with synthetic directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentbench.app.explorer import Explorer, open_explorers
from latentbench.artifacts.files import write_arrays, write_json, write_yaml
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS, STUDY
from latentbench.config.load import parse_params, read_yaml
from latentbench.rng import numpy_generator
from tests.evaluation.conftest import give_attributes, make_experiment

__all__ = ["make_experiment"]

Make = Callable[..., Path]
ATTRIBUTES = ("coin", "low")


@pytest.fixture
def make_study(
    tmp_path: Path, make_prepared: Make, make_experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Write a study and its data into a new working directory; return its path from there."""

    def make(models: Sequence[str] = ("vae", "dcgan", "cgan"), **sections: Any) -> Path:
        data = give_attributes(make_prepared()).rename(tmp_path / "data/prepared/squares")
        for name in models:
            own = dict(sections)
            if name == "dcgan":
                own["model"] = {"latent_dim": 9} | own.get("model", {})
            write_exploration(make_experiment(data, name, **own), has_encoder=name == "vae")
        results = tmp_path / "results" / "tiny"
        raw = {
            "studies": {"tiny": {"title": "Tiny"}},
            "datasets": {"squares": {"source": "folder", "path": "x", "attributes": "x"}},
            "experiments": {
                name: {"study": "tiny", "dataset": "squares", "model": {"name": name}}
                for name in models
            },
        }
        study = parse_params(raw, where="params.yaml").study("tiny")
        write_yaml(results / STUDY, study.model_dump(mode="json"))
        monkeypatch.chdir(tmp_path)
        return Path("results/tiny")

    return make


@pytest.fixture
def explorer(make_study: Callable[..., Path]) -> Explorer:
    """The models of the study, with paths relative to the working directory."""
    make_study()
    [found] = open_explorers(Path("results/tiny"), Path("data/prepared"), device="cpu").values()
    return found


def write_exploration(results: Path, *, has_encoder: bool) -> None:
    """Write what explore would, as far as the explorer reads it."""
    model = read_yaml(results / "config.yaml")["model"]
    latent_dim = model.get("latent_dim", 32**2)  # noise of the size of an image
    rng = numpy_generator(0, "directions")
    arrays: dict[str, Any] = {
        "principal_directions": rng.normal(size=(4, latent_dim)).astype(np.float32),
        "principal_mean": rng.normal(size=latent_dim).astype(np.float32),
        "attribute_directions": rng.normal(size=(2, latent_dim)).astype(np.float32),
    }
    if has_encoder:
        places = rng.normal(size=(20, 2)).astype(np.float32)
        arrays |= {
            "variance_per_dimension": rng.uniform(0.5, 2, latent_dim),
            "projection_pca": places,
            "projection_tsne": places[::-1].copy(),
            "projection_rows": rng.permutation(20),
            "projection_labels": np.arange(20) % 4,
        }
    # The direction that is found best comes first, which differs between models.
    names = ATTRIBUTES if has_encoder else ATTRIBUTES[::-1]
    facts = {
        "class_names": ["a", "b", "c", "d"],
        "directions": [{"attribute": name} for name in names],
    }
    write_arrays(results / LATENT_ARRAYS, arrays)
    write_json(results / LATENT_FACTS, facts)
