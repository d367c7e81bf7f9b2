"""Published weights of pretrained feature networks: the user's copy, or a download that is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from latentbench.artifacts.files import file_sha256
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.progress import log
from latentbench.data.download import OfficialFile, download_file
from latentbench.errors import DataError

_HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True)
class PublishedWeights:
    """The file of an extractor's weights: what it is of, its name in the cache, and its address."""

    title: str
    file_name: str
    url: str
    megabytes: int


# Addresses at Hugging Face name a revision, so that the file stays the same. Their checksums are
# DINOV2_SHA256 and CLIP_SHA256 of config/datasets.py.
WEIGHTS = {
    "inception": PublishedWeights(
        "Inception",
        "inception-2015-12-05.pt",
        # clean-fid's address.
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
        "inception-2015-12-05.pt",
        91,
    ),
    "dinov2": PublishedWeights(
        "DINOv2",
        "dinov2-large.safetensors",
        f"{_HUGGING_FACE}/facebook/dinov2-large/resolve/"
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c/model.safetensors",
        1_218,
    ),
    "clip": PublishedWeights(
        "CLIP",
        "clip-vit-large-patch14-336.safetensors",
        f"{_HUGGING_FACE}/timm/vit_large_patch14_clip_336.openai/resolve/"
        "81e38efc4637de5023b10e75a7f9bd1c6fa6b010/open_clip_model.safetensors",
        1_712,
    ),
}


def locate_weights(extractor: str, given: str | None, *, sha256: str) -> Path:
    """Return the user's copy of an extractor's weights, or that in the cache, downloaded once.

    An interrupted download is resumed. Of several processes one downloads, and the others wait.

    Raises:
        DataError: The user's copy is missing.
        DownloadError: The download fails, or the file has another checksum.
    """
    weights = WEIGHTS[extractor]
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise DataError(
                f"reference.{extractor}_path is {given}, which does not exist. Correct it or use "
                "null."
            )
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentbench"
    path = cache / weights.file_name
    if path.is_file():
        return path
    file = OfficialFile(weights.file_name, sha256, [weights.url], algorithm="sha256")
    remedy = f"download it on another machine and set reference.{extractor}_path"
    with lock_folder(path, "download", wait=True):
        if not path.is_file():
            log(f"Downloading {weights.title} ({weights.megabytes:,} MB) to {path}.")
            download_file(file, cache, mirror=None, verify=True, remedy=remedy)
    return path


def require_checksum(path: Path, extractor: str, *, sha256: str) -> None:
    """Raise DataError unless the file of an extractor's weights has the SHA-256."""
    found = file_sha256(path)
    if found != sha256:
        raise DataError(
            f"{path} has the SHA-256 {found}, not {sha256}, and is not loaded. Replace the file, "
            f"or correct reference.{extractor}_sha256."
        )
