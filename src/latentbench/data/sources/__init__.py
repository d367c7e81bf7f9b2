"""Sources of images, by their name in params.yaml."""

from __future__ import annotations

from latentbench.data.sources.base import RawDataset, Reader, Source, Split
from latentbench.data.sources.celeba import CelebASource
from latentbench.data.sources.cifar10 import CIFAR10Source
from latentbench.data.sources.folder import FolderSource
from latentbench.data.sources.glyphs import GlyphsSource
from latentbench.data.sources.mnist import EMNISTSource, MNISTSource

SOURCES: dict[str, Source] = {
    "glyphs": GlyphsSource(),
    "folder": FolderSource(),
    "mnist": MNISTSource(),
    "fashion_mnist": MNISTSource(),
    "emnist": EMNISTSource(),
    "cifar10": CIFAR10Source(),
    "celeba": CelebASource(),
}

__all__ = ["SOURCES", "RawDataset", "Reader", "Source", "Split"]
