"""Training: steps per second and peak memory with the same networks, and time to the first step.

Each row compares a training run of latentbench with an alternative (`peers.py`): the same networks,
images, batch size, optimizer settings and threads. Both run in turns, each turn in a new process.
The second epoch is measured; the first is a warm-up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from PIL import Image
from turns import add_turn_arguments, peak_mb, run_turn

from latentbench.artifacts.files import (
    file_sha256,
    read_csv,
    write_array,
    write_manifest,
    write_yaml,
)
from latentbench.artifacts.paths import DATASET_MANIFEST, HISTORY, images_name, labels_name
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.rng import numpy_generator

BATCH = 64
SIDES = ("ours", "theirs")


@dataclass(frozen=True)
class Row:
    model: dict[str, Any]
    image_size: int
    channels: int
    steps: int  # per epoch
    peer: str
    loop: Callable[[Path, ExperimentConfig], Iterator[float]]
    precision: str = "auto"  # of latentbench; the others compute in float32 on a CPU

    def __str__(self) -> str:
        color = "color" if self.channels == 3 else "gray"
        network = f"width {self.model['width']}" if "width" in self.model else "fully connected"
        precision = "" if self.precision == "auto" else f", {self.precision}"
        return f"{self.image_size}×{self.image_size} {color}, {network}, batch {BATCH}{precision}"


DCGAN = {"name": "dcgan", "latent_dim": 100, "width": 64}
VAE = {"name": "vae", "latent_dim": 16, "decoder_std": 1.0}
CONVOLUTIONAL = VAE | {"width": 32}
FULLY_CONNECTED = VAE | {"architecture": "fully_connected"}
WGAN_GP = {"name": "wgan_gp", "width": 64}
ROWS = {
    "dcgan": Row(DCGAN, 64, 3, 12, "PyTorch's example", peers.pytorch_example),
    "vae": Row(CONVOLUTIONAL, 32, 1, 100, "pythae", peers.pythae_trainer),
    "vae-arrays": Row(
        CONVOLUTIONAL, 32, 1, 100, "pythae on arrays in memory", peers.pythae_trainer_on_arrays
    ),
    "vae-bfloat16": Row(
        CONVOLUTIONAL, 32, 1, 100, "pythae in float32", peers.pythae_trainer, precision="bfloat16"
    ),
    "vae-fc": Row(FULLY_CONNECTED, 32, 1, 200, "pythae", peers.pythae_trainer),
    "wgan-gp": Row(WGAN_GP, 32, 3, 20, "mimicry", peers.mimicry_trainer),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "rows", nargs="*", choices=[*ROWS, []], help=f"of {', '.join(ROWS)}; default: all"
    )
    add_turn_arguments(parser, SIDES, turns=5)
    arguments = parser.parse_args()
    if arguments.turn_of:
        [name] = arguments.rows
        print(
            json.dumps(one_turn(ROWS[name], arguments.root, arguments.turn_of, arguments.threads))
        )
        return
    for name in arguments.rows or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            compare(name, Path(folder), arguments.turns, arguments.threads)


def compare(name: str, root: Path, turns: int, threads: int) -> None:
    row = ROWS[name]
    make_pictures(root, row)
    write_config(root, row, threads)
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(turns):
        for side in SIDES:
            measured[side].append(
                run_turn(__file__, name, "--turn-of", side, "--root", root, "--threads", threads)
            )
    rates = {side: [turn["rate"] for turn in measured[side]] for side in SIDES}
    ours, theirs = (statistics.median(rates[side]) for side in SIDES)
    our_peak, their_peak = (max(turn["peak_mb"] for turn in measured[side]) for side in SIDES)
    ratios = [mine / other for mine, other in zip(*rates.values(), strict=True)]
    place = "GPU" if torch.cuda.is_available() else f"{threads} threads"
    print(
        f"training  {name} {row}, {place}: "
        f"latentbench {ours:.2f} steps/s, {row.peer} {theirs:.2f} steps/s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"peak memory {our_peak:.0f} MB, {row.peer} {their_peak:.0f} MB"
    )
    if row.loop is peers.pytorch_example:
        compare_starts(root, row, turns)


def compare_starts(root: Path, row: Row, turns: int) -> None:
    waits = {side: [first_step(root, side) for _ in range(turns)] for side in SIDES}
    ours, theirs = (statistics.median(waits[side]) for side in SIDES)
    print(
        f"start     time to the first step: latentbench {ours:.1f} s, {row.peer} {theirs:.1f} s, "
        f"ratio {theirs / ours:.2f}"
    )


def make_pictures(root: Path, row: Row) -> None:
    """Write the same smooth random images as a class folder of PNGs and as a prepared dataset."""
    rng = numpy_generator(0, "pictures")
    size, number = row.image_size, BATCH * row.steps
    coarse = rng.integers(0, 256, (number, 8, 8, row.channels), dtype=np.uint8)
    pictures = [
        Image.fromarray(one.squeeze()).resize((size, size), Image.Resampling.BICUBIC)
        for one in coarse
    ]
    folder = root / "pictures" / "all"
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        picture.save(folder / f"{index:05d}.png")
    images = np.stack(
        [np.asarray(picture).reshape(size, size, row.channels) for picture in pictures]
    )
    prepared = root / "prepared"
    labels = np.full(number, -1, dtype=np.int64)
    splits = {}
    for split in ("train", "test"):
        write_array(prepared / images_name(split), images)
        write_array(prepared / labels_name(split), labels)
        splits[split] = {
            "num_images": number,
            "images_sha256": file_sha256(prepared / images_name(split)),
            "labels_sha256": file_sha256(prepared / labels_name(split)),
        }
    nothing: dict[str, Any] = {
        "class_names": [],
        "attribute_names": [],
        "skipped": [],
        "settings": {},
    }
    shape = {"image_size": size, "channels": row.channels}
    about = {
        "format": 1,
        "name": "pictures",
        "source": "folder",
        "digest": splits["train"]["images_sha256"],
    }
    write_manifest(prepared / DATASET_MANIFEST, about | shape | nothing | splits)


def write_config(root: Path, row: Row, threads: int) -> None:
    """Write the resolved config of the row's experiment."""
    training = {"epochs": 2, "checkpoints": [2], "batch_size": BATCH, "precision": row.precision}
    experiment = {"study": "bench", "dataset": "pictures", "model": row.model, "training": training}
    experiment["compute"] = {"threads": threads}
    dataset = {
        "source": "folder",
        "path": "x",
        "image_size": row.image_size,
        "channels": row.channels,
    }
    raw = {
        "studies": {"bench": {"title": "Bench"}},
        "datasets": {"pictures": dataset},
        "experiments": {"ours": experiment},
    }
    write_yaml(
        root / "config.yaml",
        parse_params(raw, where="benchmark").experiment("ours").model_dump(mode="json"),
    )


def one_turn(row: Row, root: Path, side: str, threads: int) -> dict[str, float]:
    """Return steps per second in the second epoch and the peak memory in MB (of a GPU if used)."""
    config = read_config(root / "config.yaml", ExperimentConfig)
    if side == "ours":
        rate = our_rate(config, root)
    else:
        torch.set_num_threads(threads)
        epochs = row.loop(root / "pictures", config)
        next(epochs)
        rate = next(epochs)
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else peak_mb()
    return {"rate": rate, "peak_mb": peak}


def our_rate(config: ExperimentConfig, root: Path) -> float:
    from latentbench.training.train import Folders, train_experiment

    with tempfile.TemporaryDirectory(dir=root) as name:
        place = Path(name)
        folders = Folders(root / "prepared", place / "results", place / "logs", place / "scratch")
        train_experiment(config, folders)
        return float(read_csv(folders.results / HISTORY)[1]["images_per_second"]) / BATCH


OURS = """
import sys
from latentbench.cli import main
from latentbench.models.dcgan import DCGAN
def first(*_, **__): raise SystemExit
DCGAN.step = first
main(sys.argv[1:])
"""
THEIRS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import peers
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
peers.nn.BCELoss.forward = lambda *_: sys.exit()
next(peers.pytorch_example(Path(sys.argv[2]), read_config(Path(sys.argv[3]), ExperimentConfig)))
"""


def first_step(root: Path, side: str) -> float:
    """Return the seconds from the start of a process to its first training step."""
    config = root / "config.yaml"
    if side == "ours":
        words = [
            "train",
            "--config",
            config,
            "--data",
            root / "prepared",
            "--results",
            root / "first",
        ]
        words += ["--logs", root / "first-logs", "--scratch", root / "first-scratch"]
        command = [sys.executable, "-c", OURS, *map(str, words)]
    else:
        command = [
            sys.executable,
            "-c",
            THEIRS,
            *map(str, [Path(__file__).parent, root / "pictures", config]),
        ]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
