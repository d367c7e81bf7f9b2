"""A trained experiment beside a reference, ready to be explored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from latentbench.artifacts.files import read_arrays, read_json, write_array, write_json
from latentbench.artifacts.layout import DATASET_MANIFEST, EXPLORATION, EXPLORED, SPLITS, attributes_name
from tests.evaluation.conftest import build_reference, make_dataset_config, make_experiment, run

__all__ = ["build_reference", "make_dataset_config", "make_experiment"]

Make = Callable[..., Path]
Explored = tuple[dict[str, np.ndarray], dict[str, Any], Result]


@pytest.fixture
def explore(make_prepared: Make, build_reference: Make, make_experiment: Make) -> Callable[..., Explored]:
    """Explores networks of first weights and returns the arrays, the facts and what was said."""

    def make(objective: str, prepared: Path | None = None, **sections: Any) -> Explored:
        data = prepared or make_prepared()
        results = make_experiment(data, objective, **sections)
        reference = build_reference(data, epochs=1)
        result = run("explore", config=results / "config.yaml", data=data, reference=reference, results=results)
        assert result.exit_code == 0, result.output
        return read_arrays(results / EXPLORED), read_json(results / EXPLORATION), result

    return make


def give_attributes(data: Path) -> Path:
    """Let prepared squares have three attributes: a coin, whether they lie low, and one that a single image has."""
    manifest = read_json(data / DATASET_MANIFEST) | {"attribute_names": ["coin", "low", "rare"]}
    for split in SPLITS:
        number = manifest[split]["num_images"]
        low = np.arange(number) % 4 // 2
        coin = np.random.default_rng(0).integers(0, 2, number)
        attributes = np.stack([coin, low, np.arange(number) == 0], axis=1).astype(np.uint8)
        write_array(data / attributes_name(split), attributes)
    write_json(data / DATASET_MANIFEST, manifest)
    return data
