"""The diffs of CONTRIBUTING.md apply to this tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)


def test_there_is_a_model_a_metric_and_a_figure() -> None:
    assert [diff.split()[1].split("/")[-1] for diff in DIFFS] == [
        "autoencoders.py",
        "metrics.py",
        "training.ipynb",
    ]


@pytest.mark.parametrize("diff", DIFFS)
def test_a_diff_applies(diff: str) -> None:
    command = ["git", "apply", "-p0", "--check", "--unidiff-zero", "-"]
    done = subprocess.run(
        command, cwd=ROOT, input=diff, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
