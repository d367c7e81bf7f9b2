"""Run all benchmarks or some by name. Each file has more options when run by itself."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("prepare", "training", "frechet", "overlap", "fid", "forecast", "scale")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument(
        "--pictures", help="a zip or folder of JPEGs for `prepare`; default: synthetic"
    )
    arguments = parser.parse_args()
    for name in arguments.names or BENCHMARKS:
        words = ["--path", arguments.pictures] if name == "prepare" and arguments.pictures else []
        script = Path(__file__).with_name(f"{name}.py")
        # Results are on standard output; standard error is shown if the benchmark fails.
        result = subprocess.run(
            [sys.executable, str(script), *words], check=False, stderr=subprocess.PIPE, text=True
        )
        if result.returncode != 0:
            sys.exit(f"benchmarks/{name}.py failed.\n{result.stderr}")


if __name__ == "__main__":
    main()
