"""Training: steps per second on the very same DCGAN networks, and the time before a job's first step.

The other side is what a user would pick instead, written after the loop of PyTorch's DCGAN example: pictures in a
folder, decoded and resized by torchvision in two DataLoader workers, binary cross-entropy, torch.optim.Adam, real
and fake passed through the discriminator one after the other, the generator's step through a discriminator that
collects gradients too. Both sides train the same networks on the same pictures at the same batch size with the
same threads, turn by turn, each turn in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from latentbench.artifacts.files import file_sha256, read_csv, write_array, write_json, write_yaml
from latentbench.artifacts.layout import DATASET_MANIFEST, HISTORY, images_name, labels_name
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.config.models import DCGANModel
from latentbench.models.initialisation import initialise
from latentbench.models.networks import Decoder, Encoder, Shape
from latentbench.rng import numpy_generator, torch_generator

BATCH = 64
LATENT_DIM = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12, help="timed steps per turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--turn-of", choices=RATES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turn_of:
        print(RATES[arguments.turn_of](arguments.root, arguments))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments)


def compare(root: Path, arguments: argparse.Namespace) -> None:
    make_pictures(root, size=arguments.image_size, number=BATCH * arguments.steps)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(arguments.turns):
        for side, measured in rates.items():
            measured.append(rate_of_turn(root, arguments, side))
    ours, theirs = (statistics.median(rates[side]) for side in ("ours", "theirs"))
    ratios = [mine / other for mine, other in zip(rates["ours"], rates["theirs"], strict=True)]
    place = "GPU" if torch.cuda.is_available() else f"{arguments.threads} threads"
    print(
        f"training  DCGAN {arguments.image_size}×{arguments.image_size}, width {arguments.width}, "
        f"batch {BATCH}, {place}: "
        f"latentbench {ours:.2f} steps/s, PyTorch's example {theirs:.2f} steps/s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    waits = {side: [first_step(root, side) for _ in range(arguments.turns)] for side in ("ours", "theirs")}
    ours, theirs = (statistics.median(waits[side]) for side in ("ours", "theirs"))
    print(
        f"start     seconds before the first step: latentbench {ours:.1f} s, PyTorch's example {theirs:.1f} s, "
        f"ratio {theirs / ours:.2f}"
    )


def rate_of_turn(root: Path, arguments: argparse.Namespace, side: str) -> float:
    """Steps per second of one side in a fresh process, so that neither finds the other's settings."""
    command = [sys.executable, __file__, "--turn-of", side, "--root", str(root)]
    for name in ("image_size", "width", "steps", "threads"):
        command += ["--" + name.replace("_", "-"), str(getattr(arguments, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def make_pictures(root: Path, *, size: int, number: int) -> None:
    """The same smooth random pictures twice: a class folder of PNGs, and a prepared dataset."""
    rng = numpy_generator(0, "pictures")
    coarse = rng.integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in coarse]
    )
    folder = root / "pictures" / "all"
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:05d}.png")
    prepared = root / "prepared"
    labels = np.full(number, -1, dtype=np.int64)
    splits = {}
    for split in ("train", "test"):
        write_array(prepared / images_name(split), images)
        write_array(prepared / labels_name(split), labels)
        digest = file_sha256(prepared / images_name(split))
        splits[split] = {"num_images": number, "images_sha256": digest, "labels_sha256": digest}
    nothing: dict[str, Any] = {"class_names": [], "attribute_names": [], "skipped": [], "settings": {}}
    shape = {"image_size": size, "channels": 3}
    about = {"format": 1, "name": "pictures", "source": "folder", "digest": splits["train"]["images_sha256"]}
    write_json(prepared / DATASET_MANIFEST, about | shape | nothing | splits)


def our_config(root: Path, arguments: argparse.Namespace) -> Path:
    model = {"objective": "dcgan", "latent_dim": LATENT_DIM, "width": arguments.width}
    training = {"epochs": 2, "checkpoints": [2], "batch_size": BATCH}
    experiment = {"study": "bench", "dataset": "pictures", "model": model, "training": training}
    experiment["compute"] = {"threads": arguments.threads}
    raw = {
        "studies": {"bench": {"title": "Bench"}},
        "datasets": {"pictures": {"source": "folder", "path": "x", "image_size": arguments.image_size}},
        "experiments": {"dcgan": experiment},
    }
    path = root / "config.yaml"
    write_yaml(path, parse_params(raw, where="benchmark").experiment("dcgan").model_dump(mode="json"))
    return path


def our_rate(root: Path, arguments: argparse.Namespace) -> float:
    """Steps per second in the second epoch of a whole training run: the first warms up."""
    from latentbench.training.train import Folders, train_experiment

    with tempfile.TemporaryDirectory(dir=root) as name:
        place = Path(name)
        folders = Folders(root / "prepared", place / "results", place / "logs", place / "scratch")
        train_experiment(read_config(our_config(root, arguments), ExperimentConfig), folders)
        return float(read_csv(folders.results / HISTORY)[1]["images_per_second"]) / BATCH


def their_rate(root: Path, arguments: argparse.Namespace) -> float:
    """Steps per second in the second epoch of the example's loop."""
    torch.set_num_threads(arguments.threads)
    epochs = example_loop(root / "pictures", image_size=arguments.image_size, width=arguments.width)
    next(epochs)
    return next(epochs)


RATES = {"ours": our_rate, "theirs": their_rate}


def example_loop(pictures: Path, *, image_size: int, width: int) -> Any:
    """Train epoch after epoch, yielding the steps per second of each."""
    from torchvision import datasets, transforms

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, shape = DCGANModel(objective="dcgan", latent_dim=LATENT_DIM, width=width), Shape(image_size, channels=3)
    generator = nn.Sequential(*Decoder(model, shape).layers, nn.Tanh())
    discriminator = nn.Sequential(*Encoder(1, model, shape, batch_norm=True).layers, nn.Flatten(0))
    for network in (generator, discriminator):
        initialise(network, "dcgan", torch_generator(0, "weights"))
        network.to(device)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
    ]
    loss = nn.BCELoss()
    steps = [transforms.Resize(image_size), transforms.CenterCrop(image_size), transforms.ToTensor()]
    steps.append(transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    dataset = datasets.ImageFolder(str(pictures), transform=transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)
    while True:
        start, count = None, 0
        for images, _ in loader:
            if start is None:  # as on our side, starting the epoch's workers is not a step
                start = time.perf_counter()
            real, fake = torch.ones(BATCH, device=device), torch.zeros(BATCH, device=device)
            discriminator.zero_grad()
            real_loss = loss(discriminator(images.to(device)).sigmoid(), real)
            real_loss.backward()
            fakes = generator(torch.randn(BATCH, LATENT_DIM, device=device))
            fake_loss = loss(discriminator(fakes.detach()).sigmoid(), fake)
            fake_loss.backward()
            optimizers[1].step()
            generator.zero_grad()
            generator_loss = loss(discriminator(fakes).sigmoid(), real)
            generator_loss.backward()
            optimizers[0].step()
            _ = (real_loss + fake_loss).item(), generator_loss.item()  # the example prints both at each step
            count += 1
        assert start is not None
        yield count / (time.perf_counter() - start)


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
import torch, training
from torch import nn
training.nn.BCELoss.forward = lambda *_: sys.exit()
next(training.example_loop(Path(sys.argv[2]), image_size=int(sys.argv[3]), width=int(sys.argv[4])))
"""


def first_step(root: Path, side: str) -> float:
    """Seconds from the start of a process to its first step of training."""
    if side == "ours":
        config = root / "config.yaml"
        words = ["train", "--config", config, "--data", root / "prepared", "--results", root / "first"]
        words += ["--logs", root / "first-logs", "--scratch", root / "first-scratch"]
        command = [sys.executable, "-c", OURS, *map(str, words)]
    else:
        config = read_config(root / "config.yaml", ExperimentConfig)
        words = [Path(__file__).parent, root / "pictures", config.image_size, config.model.width]
        command = [sys.executable, "-c", THEIRS, *map(str, words)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
