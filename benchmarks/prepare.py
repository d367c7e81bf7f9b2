"""Preparing images: latentbench against ImageFolder and a DataLoader with as many workers.

Both read the same JPEGs, crop the center, resize with the antialiased bicubic filter and write one
uint8 array. ImageFolder reads unpacked files; unpacking is not timed. Imports are not timed on
either side. Both sides run in turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from latentbench.artifacts.files import write_yaml
from latentbench.config.load import parse_params
from latentbench.data.image_archive import ImageArchive
from latentbench.rng import numpy_generator

OURS = """
import sys, time
from pathlib import Path
from latentbench.config.datasets import DatasetConfig
from latentbench.config.load import read_config
from latentbench.data.preparation.prepare import prepare_dataset
config, raw, output = map(Path, sys.argv[1:4])
start = time.perf_counter()
prepare_dataset(read_config(config, DatasetConfig), raw, output, workers=int(sys.argv[4]))
print(time.perf_counter() - start)
"""
THEIRS = """
import sys, time
import numpy as np
import torch
from torchvision import datasets, transforms
folder, crop, size, workers = sys.argv[1], *map(int, sys.argv[2:5])
start = time.perf_counter()
resize = transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC)
steps = transforms.Compose([transforms.CenterCrop(crop), resize, transforms.PILToTensor()])
dataset = datasets.ImageFolder(folder, transform=steps)
loader = torch.utils.data.DataLoader(dataset, batch_size=64, num_workers=workers)
images = torch.cat([images for images, _ in loader]).permute(0, 2, 3, 1).contiguous().numpy()
np.save(f"{folder}/../images.npy", images)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, help="a zip or folder of images; default: synthetic")
    parser.add_argument("--number", type=int, default=6000, help="number of synthetic images")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--crop", type=int, default=148)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), arguments)


def compare(root: Path, arguments: argparse.Namespace) -> None:
    path = arguments.path or make_pictures(root / "made.zip", arguments.number)
    number = unpack(path, root / "unpacked" / "all")
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(arguments.turns):
        rates["ours"].append(number / our_seconds(root, path.resolve(), arguments))
        rates["theirs"].append(number / their_seconds(root, arguments))
    ours, theirs = statistics.median(rates["ours"]), statistics.median(rates["theirs"])
    ratios = [mine / other for mine, other in zip(rates["ours"], rates["theirs"], strict=True)]
    size = arguments.image_size
    print(
        f"prepare   {number:,} JPEGs to {size}×{size}, {arguments.workers} workers, "
        f"latentbench {ours:,.0f} images/s, ImageFolder {theirs:,.0f} images/s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def make_pictures(path: Path, number: int) -> Path:
    """Write JPEGs of 250×250 pixels and 9 kB, like those of Labeled Faces in the Wild.

    They have shapes at several scales and noise.
    """
    rng = numpy_generator(0, "photographs")
    grain = rng.normal(0, 3, (250, 250, 1))
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(number):
            levels = grain
            for side, weight in ((4, 0.6), (16, 0.3), (60, 0.1)):
                coarse = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
                layer = Image.fromarray(coarse).resize((250, 250))
                levels = levels + weight * np.asarray(layer, dtype=np.float64)
            place = path.with_name("picture.jpg")
            Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(place)
            archive.write(place, f"{index:05d}.jpg")
    return path


def unpack(path: Path, folder: Path) -> int:
    """Unpack the images into one class folder, as ImageFolder requires, and return their number."""
    archive = ImageArchive(path)
    folder.mkdir(parents=True)
    names = archive.image_names()
    for index, name in enumerate(names):
        (folder / f"{index:06d}{Path(name).suffix}").write_bytes(archive.read_bytes(name))
    return len(names)


def our_seconds(root: Path, path: Path, arguments: argparse.Namespace) -> float:
    """Return the seconds to prepare the fetched images: decoding, writing and checksums."""
    dataset = {
        "source": "folder",
        "path": str(path),
        "image_size": arguments.image_size,
        "crop": arguments.crop,
    }
    raw = {"studies": {}, "datasets": {"pictures": dataset}, "experiments": {}}
    config = root / "pictures.yaml"
    write_yaml(
        config, parse_params(raw, where="benchmark").dataset("pictures").model_dump(mode="json")
    )
    command = [sys.executable, "-m", "latentbench"]
    subprocess.run([*command, "fetch", "--config", config, "--output", root / "raw"], check=True)
    return seconds(
        [sys.executable, "-c", OURS, config, root / "raw", root / "prepared", arguments.workers]
    )


def their_seconds(root: Path, arguments: argparse.Namespace) -> float:
    words = [root / "unpacked", arguments.crop, arguments.image_size, arguments.workers]
    return seconds([sys.executable, "-c", THEIRS, *words])


def seconds(command: list[object]) -> float:
    """Run a script and return the seconds that it prints."""
    words = [str(word) for word in command]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
