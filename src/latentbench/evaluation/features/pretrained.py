"""Feature networks that were trained elsewhere, by their names in the settings."""

from __future__ import annotations

import torch

from latentbench.evaluation.features.extract import FeatureExtractor
from latentbench.evaluation.features.inception import InceptionExtractor
from latentbench.evaluation.features.transformer import TransformerExtractor
from latentbench.evaluation.features.weights import locate_weights


def load_pretrained(
    name: str, path: str | None, *, sha256: str, device: torch.device
) -> FeatureExtractor:
    """Return an extractor with the weights at `path`, or downloaded once if it is None.

    Raises:
        DataError: The file is missing, has another checksum or holds another network.
        DownloadError: The download fails.
    """
    file = locate_weights(name, path, sha256=sha256)
    if name == "inception":
        return InceptionExtractor(file, sha256=sha256, device=device)
    return TransformerExtractor(name, file, sha256=sha256, device=device)
