"""Decoding processes end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Workers kill their parent at the first image and never finish. All processes hold the pipe of
# standard output, so its end comes when the last of them has ended.
SCRIPT = """
import os, signal, sys, threading
from pathlib import Path
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.preparation.decoding_pool import DecodeJob, DecodeTask, DecodingPool

class Hanging:
    def read(self, reference):
        os.kill(reference, signal.SIGKILL)
        threading.Event().wait()

spec = ResizeSpec(image_size=32, channels=1, crop=None, pad=0)
job = DecodeJob(Hanging(), {"train": [os.getpid()] * 6}, spec, skip=False)
tasks = (DecodeTask("train", i, i + 1, Path(sys.argv[1]), 0) for i in range(6))
with DecodingPool(job, num_workers=3) as pool:
    list(pool.run(tasks))
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "images")],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == -9, ended.stderr
