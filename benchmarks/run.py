"""Runs every benchmark. Words after a name go to it: run.py prepare --path faces.zip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("prepare", "training", "frechet")


def main() -> None:
    names = [name for name in sys.argv[1:2] if name in BENCHMARKS] or list(BENCHMARKS)
    words = sys.argv[2:] if len(names) == 1 else []
    for name in names:
        script = Path(__file__).with_name(f"{name}.py")
        # Progress goes to standard error; the rows are on standard output.
        subprocess.run([sys.executable, str(script), *words], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
