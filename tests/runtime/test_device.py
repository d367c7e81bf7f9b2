"""What a process is set to before it computes."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

GIVEN_BACK = """
import os
from pathlib import Path

import torch

from latentbench.config.base import Compute
from latentbench.runtime.device import prepare_compute


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def given_back() -> int:
    tensor = torch.ones(10_000_000)  # 40 MB, as large as a feature map
    before = resident()
    del tensor
    return before - resident()


default = given_back()
prepare_compute(Compute(device="cpu"))
print(default, given_back())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has the switch")
def test_freed_memory_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_BACK], check=True, stdout=subprocess.PIPE, text=True
    )
    default, kept = map(int, done.stdout.split())
    assert default > 36_000_000
    assert kept < 4_000_000
