"""FID of one checkpoint: latentbench against clean-fid's `compute_fid` on a folder of PNGs.

Both decode the same latents, resize, extract Inception features and compute the distance.
latentbench keeps the samples in memory as uint8. clean-fid's are written as PNGs first, since
`compute_fid` takes a folder; it has its default settings. Both get the statistics of the real
images, which are computed once for all checkpoints.

The network is torchvision's Inception-v3 with random weights, scripted and called as clean-fid's
is, so nothing is downloaded. It does the same work, but its features have no meaning. The real
images' statistics are those of random features. Each turn is a new process, on a GPU if there is
one. The network's first batch is not timed on either side, since a GPU compiles kernels for it.

A second line is the peak memory with 50,000 samples. Only each fiftieth batch goes through
Inception, the others through a projection of their pixels, since the network's memory does not grow
with the number of samples.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from turns import add_turn_arguments, peak_mb, run_turn

DIM = 2048
BATCH = (
    250  # images decoded at once, latentbench's default; the networks have their own batch sizes
)
SIZE = 64
LIMIT_MB = 2_000  # for the features and statistics of 50,000 samples
NETWORK = "inception-2015-12-05.pt"  # the name that clean-fid looks for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument(
        "--many", type=int, default=50_000, help="samples of the memory line; 0: skip it"
    )
    add_turn_arguments(parser, TURNS, turns=1)
    arguments = parser.parse_args()
    if arguments.turn_of:
        print(json.dumps(one_turn(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_network(root / NETWORK)
        make_real_statistics(root)
        compare(root, arguments)
        if arguments.many:
            show_memory(root, arguments)


def compare(root: Path, arguments: argparse.Namespace) -> None:
    our_turns, their_turns, ratios = [], [], []
    for _ in range(arguments.turns):
        our_turns.append(turn_of("ours", root, arguments, samples=arguments.samples))
        their_turns.append(turn_of("theirs", root, arguments, samples=arguments.samples))
        ratios.append(their_turns[-1]["seconds"] / our_turns[-1]["seconds"])
    ours, theirs = median_turn(our_turns), median_turn(their_turns)
    place = "GPU" if device().type == "cuda" else f"{arguments.threads} threads"
    print(
        f"fid       {arguments.samples:,} samples at {SIZE}×{SIZE}, {place}: "
        f"latentbench {described(ours)}; clean-fid on PNGs {described(theirs)}; "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"relative difference {abs(ours['fid'] / theirs['fid'] - 1):.1e}"
    )


def median_turn(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the turn with the median time."""
    return sorted(turns, key=lambda turn: turn["seconds"])[len(turns) // 2]


def described(turn: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in turn["parts"].items())
    return f"{turn['seconds']:.1f} s ({parts}), peak memory {turn['peak_mb']:.0f} MB"


def show_memory(root: Path, arguments: argparse.Namespace) -> None:
    turn = turn_of("many", root, arguments, samples=arguments.many)
    verdict = "within" if turn["peak_mb"] <= LIMIT_MB else "NOT within"
    print(
        f"fid       {arguments.many:,} samples, each fiftieth batch through Inception: peak memory "
        f"{turn['peak_mb']:.0f} MB, {verdict} {LIMIT_MB:,} MB ({turn['seconds']:.0f} s)"
    )


def turn_of(
    side: str, root: Path, arguments: argparse.Namespace, *, samples: int
) -> dict[str, Any]:
    words = [
        "--turn-of",
        side,
        "--root",
        root,
        "--samples",
        samples,
        "--threads",
        arguments.threads,
    ]
    threads = str(arguments.threads)
    return run_turn(__file__, *words, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)


def one_turn(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds in total and by part, the distance, and the peak memory in MB.

    Starting Python, reading the network and writing the checkpoint are not timed.
    """
    with tempfile.TemporaryDirectory(dir=arguments.root) as folder:
        result = TURNS[arguments.turn_of](arguments, Path(folder))
    result["seconds"] = sum(result["parts"].values())
    return result | {"peak_mb": peak_mb()}


def our_turn(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    return measured(load_inception(arguments.root), arguments, place)


def many_turn(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    import torch

    class SeldomInception:
        name = "inception"
        protocol = "Inception for each fiftieth batch, a projection of the pixels for the others"
        dim = DIM
        network = load_inception(arguments.root)
        weights = (
            torch.randn(SIZE * SIZE * 3, DIM, generator=torch.Generator().manual_seed(0)).to(
                device()
            )
            / 10_000
        )
        calls = 0

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls % 50 == 0:
                return self.network(images)
            return images.flatten(1).float() @ self.weights

    return measured(SeldomInception(), arguments, place)


def load_inception(root: Path) -> Any:
    import torch

    from latentbench.artifacts.files import file_sha256
    from latentbench.evaluation.features.inception import InceptionExtractor

    extractor = InceptionExtractor(
        root / NETWORK, sha256=file_sha256(root / NETWORK), device=device()
    )
    extractor(torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8))
    return extractor


def measured(extractor: Any, arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Measure as the evaluate stage does."""
    from latentbench.evaluation.cache import FeatureCache
    from latentbench.evaluation.features.extract import prepare_measurement
    from latentbench.evaluation.features.feature_stats import FeatureStats, compute_feature_stats
    from latentbench.evaluation.metrics.frechet import frechet_distance
    from latentbench.evaluation.samples import Sampler

    config = make_experiment(arguments)
    prepare_measurement(config.compute)
    samples = Sampler(
        config,
        place,
        reference=make_manifest(),
        extractors={"inception": extractor},
        cache=FeatureCache(place / "features"),
        device=device(),
    )
    write_checkpoint(config, place)
    trained = samples.load(1)
    real = FeatureStats.load(arguments.root / "real.safetensors", device=device())
    start = time.perf_counter()
    drawn = samples.draw(trained, 1, 0)
    middle = time.perf_counter()
    distance = frechet_distance(real, compute_feature_stats(drawn.features["inception"]))
    parts = {"samples and features": middle - start, "distance": time.perf_counter() - middle}
    return {"fid": distance, "parts": parts}


def their_turn(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    import cleanfid.fid
    import torch
    from cleanfid.inception_torchscript import InceptionV3W

    warnings.simplefilter("ignore")
    # The number of threads only: a user does not have latentbench's other settings.
    torch.set_num_threads(arguments.threads)
    config = make_experiment(arguments)
    write_checkpoint(config, place)
    network = InceptionV3W(str(arguments.root), download=False).to(device())
    with torch.inference_mode():
        network(torch.zeros(2, 3, 299, 299, device=device()))
    real = [torch.load(arguments.root / f"{part}.pt").numpy() for part in ("mean", "covariance")]
    # clean-fid would read these from a folder of the installed package.
    cleanfid.fid.get_reference_statistics = lambda *_, **__: real
    distance_of, spent = cleanfid.fid.frechet_distance, []

    def timed_distance(*moments: Any) -> float:
        start = time.perf_counter()
        distance: float = distance_of(*moments)
        spent.append(time.perf_counter() - start)
        return distance

    cleanfid.fid.frechet_distance = timed_distance
    start = time.perf_counter()
    write_pictures(config, place)
    middle = time.perf_counter()
    fid = cleanfid.fid.compute_fid(
        str(place / "pictures"),
        custom_feat_extractor=network,
        dataset_name="real",
        dataset_split="custom",
        device=device(),
        verbose=False,
    )
    whole = time.perf_counter() - middle
    parts = {"samples and PNGs": middle - start, "features": whole - spent[0], "distance": spent[0]}
    return {"fid": float(fid), "parts": parts}


TURNS = {"ours": our_turn, "theirs": their_turn, "many": many_turn}


def device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_network(path: Path) -> None:
    """Save the layers of Inception-v3 up to its 2,048 features as TorchScript."""
    import torch
    from torch import nn
    from torchvision.models import inception_v3

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = inception_v3(weights=None, aux_logits=False, init_weights=False)
            kept = [
                layer for name, layer in whole.named_children() if name not in ("dropout", "fc")
            ]
            self.layers = nn.Sequential(*kept)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.layers((x - 128) / 128)
            return features

    network = Network().eval()
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        if weight.dim() == 4:
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(network).save(str(path))


def make_real_statistics(root: Path) -> None:
    """Save statistics of correlated random features, in the format of each side."""
    import torch

    from latentbench.evaluation.features.feature_stats import compute_feature_stats

    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(DIM, DIM, generator=generator) / DIM**0.5
    features = (
        torch.randn(3 * DIM, DIM, generator=generator) * torch.logspace(0, -1.5, DIM) @ mix
    ).relu()
    real = compute_feature_stats(features)
    real.with_root().save(root / "real.safetensors")
    for part in ("mean", "covariance"):
        torch.save(getattr(real, part), root / f"{part}.pt")


def make_experiment(arguments: argparse.Namespace) -> Any:
    from latentbench.config.load import parse_params

    compute = {"device": device().type, "threads": arguments.threads}
    experiment = {
        "study": "bench",
        "dataset": "pictures",
        "model": {"name": "dcgan"},
        "training": {"epochs": 1},
        "evaluation": {"num_samples": arguments.samples, "batch_size": BATCH},
        "compute": compute,
    }
    raw = {
        "studies": {"bench": {"title": "Bench"}},
        "datasets": {"pictures": {"source": "folder", "path": "x", "image_size": SIZE}},
        "experiments": {"ours": experiment},
    }
    return parse_params(raw, where="benchmark").experiment("ours")


def make_manifest() -> Any:
    from latentbench.evaluation.manifest import ExtractorManifest, ReferenceManifest

    extractor = ExtractorManifest(
        metric="fid",
        kernel_metric="kid",
        protocol="",
        feature_dim=DIM,
        sha256="",
        train_halves={},
        median_distance=1.0,
        close_distance=1.0,
        closer_to_train=0.5,
    )
    return ReferenceManifest(
        format=2,
        dataset="pictures",
        data_digest="",
        split="train",
        num_images=2,
        extractors={"inception": extractor},
        files={},
    )


def write_checkpoint(config: Any, place: Path) -> None:
    """Save a checkpoint with initial weights, which take as long as trained ones."""
    from latentbench.artifacts.paths import checkpoint_path
    from latentbench.artifacts.tensors import write_tensors
    from latentbench.data.labels import LabelSet
    from latentbench.models.networks.architectures import Shape
    from latentbench.models.registry import build_objective

    objective = build_objective(config.model, Shape(SIZE, 3), seed=0)
    metadata = {
        "format": 1,
        "settings": config.training_settings(),
        "labels": vars(LabelSet([], [[]], [1])),
    }
    metadata |= {"data_digest": "", "epoch": 1, "step": 1}
    write_tensors(checkpoint_path(place, 1), objective.weights(), metadata)


def write_pictures(config: Any, place: Path) -> None:
    """Save the checkpoint's samples as PNGs, as a user would."""
    from PIL import Image

    from latentbench.data.images import to_uint8
    from latentbench.inference.checkpoints import load_checkpoint
    from latentbench.models.objective import draw_latents
    from latentbench.rng import torch_generator

    trained = load_checkpoint(config, place, 1, device=device())
    number = config.evaluation.num_samples
    generator = torch_generator(config.seed, "evaluation", 0)
    latents = draw_latents(number, trained.objective.latent_dim, generator)
    labels = trained.label_set.sample(number, generator)
    folder = place / "pictures"
    folder.mkdir()
    count = 0
    for latent, label in zip(latents.split(BATCH), labels.split(BATCH), strict=True):
        images = trained.objective.sample(latent.to(device()), label.to(device()))
        for image in to_uint8(images).cpu().numpy():
            Image.fromarray(image).save(folder / f"{count:06d}.png")
            count += 1


if __name__ == "__main__":
    main()
