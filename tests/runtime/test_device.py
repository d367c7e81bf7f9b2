"""What a process is set to before it computes."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from latentbench.config.base import Compute
from latentbench.runtime.device import prepare_compute

def faults_of_steps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        tensor = torch.ones(10_000_000)  # 40 MB, as large as a feature map
        del tensor
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults_of_steps()
default = faults_of_steps()
prepare_compute(Compute(device="cpu"))
faults_of_steps()
print(default, faults_of_steps())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has the switch")
def test_the_memory_of_one_step_is_kept_for_the_next() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, stdout=subprocess.PIPE, text=True
    )
    default, kept = map(int, done.stdout.split())
    assert default > 20_000
    assert kept < 1_000
