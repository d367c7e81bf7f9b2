"""An experiment with a reference, ready to be explored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from latentbench.artifacts.files import read_arrays, read_json
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS
from tests.evaluation.conftest import (
    build_reference,
    give_attributes,
    make_dataset_config,
    make_experiment,
    run,
    transformer_settings,
)

__all__ = [
    "build_reference",
    "give_attributes",
    "make_dataset_config",
    "make_experiment",
    "transformer_settings",
]

Make = Callable[..., Path]
Explored = tuple[dict[str, np.ndarray], dict[str, Any], Result]


@pytest.fixture
def explore(
    make_prepared: Make, build_reference: Make, make_experiment: Make
) -> Callable[..., Explored]:
    """Explore networks with initial weights; return arrays, facts and the command's result."""

    def make(
        objective: str,
        prepared: Path | None = None,
        classifier: dict[str, Any] | None = None,
        **sections: Any,
    ) -> Explored:
        data = prepared or make_prepared()
        results = make_experiment(data, objective, **sections)
        reference = build_reference(data, **(classifier or {"epochs": 1}))
        result = run(
            "explore",
            config=results / "config.yaml",
            data=data,
            reference=reference,
            results=results,
        )
        assert result.exit_code == 0, result.output
        return read_arrays(results / LATENT_ARRAYS), read_json(results / LATENT_FACTS), result

    return make
