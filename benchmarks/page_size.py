"""The size of a report's page: of a made-up study whose images are photographs.

Each of the models has the arrays that evaluation and exploration write, filled with random crops of
the photographs, which take more bytes than what models generate. Nothing is trained. The page is
rendered, and its size and that of its largest figures are printed.

    python benchmarks/page_size.py faces.zip --models 10
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from latentbench.artifacts.files import write_yaml  # noqa: E402
from latentbench.artifacts.paths import CONFIG, EVOLUTION, PAGE, PDF, samples_path  # noqa: E402
from latentbench.config.load import read_yaml  # noqa: E402
from latentbench.report.build import build_report  # noqa: E402
from latentbench.training.evolution import write_evolution  # noqa: E402
from tests.report import conftest  # noqa: E402
from tests.report.synthetic_results import CLASSES, Array, Imagination  # noqa: E402

KINDS = ("vae", "wgan-gp", "conditional-dcgan", "dcgan", "conditional-vae")
NUM_PHOTOGRAPHS = 500
EPOCHS = 30  # frames of an animation
LARGEST = 12


class Photographs(Imagination):
    """Draws photographs instead of blobs."""

    photographs: Array

    def blobs(self, *leading: int, shared: bool = False, **_: Any) -> Array:
        """Return uint8 (*leading, side, side, channels)."""
        random = self.shared if shared else self.random
        return self.photographs[random.integers(0, len(self.photographs), leading)]


def read_photographs(path: Path, side: int) -> Array:
    """Return the first images of a zip, uint8 (number, side, side, 3)."""
    images = []
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".png"))]
        for name in names[:NUM_PHOTOGRAPHS]:
            with archive.open(name) as file, Image.open(file) as image:
                edge = min(image.size)
                left, top = (image.width - edge) // 2, (image.height - edge) // 2
                square = image.convert("RGB").crop((left, top, left + edge, top + edge))
                images.append(np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)))
    return np.stack(images)


def write_results(folder: Path, number: int, side: int) -> None:
    """Write what the stages of a study with so many models write."""
    names = [f"{KINDS[place % len(KINDS)]}_{place}" for place in range(number)]
    conftest.write_study(folder, names)
    for place, name in enumerate(names):
        settings = read_yaml(folder / name / CONFIG)
        write_yaml(folder / name / CONFIG, settings | {"image_size": side})
        see = Photographs(place, side=side, channels=3)
        conftest.write_training(folder / name, seconds=10.0 * (place + 1))
        conftest.write_metrics(folder / name, 20.0 + place, 0.2)
        conftest.write_arrays_of(folder / name, see, CLASSES)
        conftest.write_pictures(folder / name, [1, 2, 4], side=side, channels=3, see=see)
        if place == 0:
            checkpoints = [samples_path(folder / name, epoch) for epoch in (1, 2, 4)]
            frames = [(epoch, checkpoints[epoch % 3]) for epoch in range(1, EPOCHS + 1)]
            write_evolution(frames, [folder / EVOLUTION[1]])
        shutil.copy(folder / EVOLUTION[1], folder / name / EVOLUTION[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    Photographs.photographs = read_photographs(arguments.photographs, arguments.side)
    with tempfile.TemporaryDirectory() as name:
        results, output = Path(name, "results", "demo"), arguments.output or Path(name, "report")
        write_results(results, arguments.models, arguments.side)
        build_report(results, ROOT / "report", output)
        page = (output / PAGE).read_text(encoding="utf-8")
        print(f"{PAGE}: {len(page) / 1e6:.1f} MB, {PDF}: {(output / PDF).stat().st_size / 1e6:.1f}")
        figures = re.findall(r'<figure id="([^"]*)"(.*?)</figure>', page, re.DOTALL)
        for figure, content in sorted(figures, key=lambda each: -len(each[1]))[:LARGEST]:
            print(f"{len(content) / 1e6:5.2f} MB  {figure}")


if __name__ == "__main__":
    main()
