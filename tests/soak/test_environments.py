"""One run in an environment that is odd in many ways; `make soak` tries each way alone."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.soak import environments


@pytest.mark.slow
def test_a_run_in_an_odd_environment_has_the_same_results(tmp_path: Path) -> None:
    expected = environments.ordinary_digests(tmp_path)
    assert len(expected) > 20
    variables: dict[str, str | None] = {
        "HOME": None,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONHASHSEED": "7",
        "TMPDIR": "/nonexistent",
        "MPLCONFIGDIR": "/nonexistent",
        "COLUMNS": "1",
    }
    odd = environments.Environment(
        "odd",
        folder='{a,b} it\'s "quoted" $HOME %s Ångström 潜在 🖼',
        variables=variables,
        prepare=lambda: os.umask(0o077) and None,
    )
    assert environments.trouble_in(odd, tmp_path, expected, random.Random(0)) is None
