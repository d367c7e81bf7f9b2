"""Inception features as clean-fid's `clean` mode computes them (Parmar et al., 2022)."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import atomic_write, file_sha256
from latentbench.artifacts.progress import log
from latentbench.errors import DataError, DownloadError

URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
INPUT_SIZE = 299

# Images inside the network at once, each of which takes some 20 MB. More make a CPU no faster.
_CHUNK_SIZES = {"cpu": 16, "cuda": 100}
_TIMEOUT_S = 30


class InceptionExtractor:
    """The TorchScript Inception of Karras et al. (2020) behind clean-fid's resize."""

    name = "inception"
    protocol = (
        "features before the last layer of Inception-v3 (inception-2015-12-05, TorchScript) of 8-bit images, "
        "each channel resized to 299×299 by antialiased bicubic interpolation without rounding, "
        "as clean-fid's `clean` mode does"
    )

    def __init__(self, path: Path, *, sha256: str, device: torch.device) -> None:
        """Load the network of `path`, once its checksum is right.

        Raises DataError where the file is missing, has another checksum or is no such network.
        """
        _require_checksum(path, sha256)
        self.device = device
        try:
            self.layers = _load_layers(path, device)
            self.dim = self(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).shape[1]
        except (RuntimeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise DataError(
                f"{path} is not clean-fid's TorchScript Inception ({reason})."
            ) from None

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat(
            [self._features(chunk) for chunk in images.split(_CHUNK_SIZES[self.device.type])]
        )

    def _features(self, images: Tensor) -> Tensor:
        pixels = (resize(images.to(self.device)) - 128) / 128
        if self.device.type == "cpu":
            # Its convolutions are fastest in this layout. A GPU gets them in the one in which clean-fid calls it.
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.layers(pixels)
        return features.flatten(1)


def resize(images: Tensor) -> Tensor:
    """uint8 (batch, height, width, channel) to float32 (batch, 3, 299, 299) in [0, 255]; gray is repeated.

    Pillow's interpolation is linear along each axis, so that two matrix products give it for a whole batch.
    They are in float64, since Pillow accumulates in it and a GPU may round float32 products to TF32.
    """
    planes = images.permute(0, 3, 1, 2).to(torch.float64)
    matrix = _interpolation(planes.shape[-1], planes.device)
    resized = (matrix @ planes @ matrix.T).clamp_(0, 255).to(torch.float32)
    return resized.expand(-1, 3, -1, -1)


@lru_cache
def _interpolation(size: int, device: torch.device) -> Tensor:
    """(299, size): Pillow's bicubic weights of `size` pixels in each of 299, read off unit vectors."""
    from PIL import Image

    units = Image.fromarray(np.eye(size, dtype=np.float32))
    weights = units.resize((INPUT_SIZE, size), resample=Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(weights, dtype=np.float64).T.copy()).to(device)


def _load_layers(path: Path, device: torch.device) -> Any:
    """With the weights as constants and batch norm folded into them: on a CPU twice as fast, and apart by rounding."""
    with warnings.catch_warnings():
        # The network exists in no form but TorchScript, which PyTorch means to retire.
        warnings.simplefilter("ignore", FutureWarning)
        layers = torch.jit.load(path, map_location=device).eval().layers
        try:
            return torch.jit.freeze(layers)
        except RuntimeError:
            return layers  # it computes the same as it is


def locate_inception(given: str | None, *, sha256: str) -> Path:
    """The user's copy of the network, or one in the user's cache that is downloaded the first time.

    Raises DataError where the user's copy is missing, DownloadError where the download fails.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise DataError(
                f"reference.inception_path is {given}, which does not exist; correct it or use null."
            )
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "latentbench" / URL.rpartition("/")[2]
    if not path.is_file():
        log(f"Downloading Inception (91 MB) to {path}.")
        with atomic_write(path) as partial:
            _download(partial)
            _require_checksum(partial, sha256, name=URL)
    return path


def _download(path: Path) -> None:
    import requests

    try:
        with (
            requests.get(URL, stream=True, timeout=_TIMEOUT_S) as response,
            path.open("wb") as file,
        ):
            response.raise_for_status()
            for block in response.iter_content(chunk_size=1 << 20):
                file.write(block)
    except requests.RequestException as error:
        raise DownloadError(
            f"{URL} cannot be downloaded ({type(error).__name__}); bring the file here some other way "
            "and name it in reference.inception_path."
        ) from None


def _require_checksum(path: Path, expected: str, *, name: str | None = None) -> None:
    found = file_sha256(path)
    if found != expected:
        raise DataError(
            f"{name or path} has the SHA-256 {found}, not {expected}, and is not loaded; "
            "replace the file, or correct reference.inception_sha256."
        )
