"""The schema of a dataset: source, preparation and reference of its images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from latentbench.config.base import Compute, Count, IntegerText, Section, Seed, union_members

ImageSize = Annotated[Literal[32, 64, 128], IntegerText]
Channels = Annotated[Literal[1, 3], IntegerText]

# The TorchScript Inception of Karras et al. (2020) that clean-fid uses.
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
# facebook/dinov2-large and timm/vit_large_patch14_clip_336.openai on Hugging Face, at the revisions
# of evaluation/features/weights.py.
DINOV2_SHA256 = "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"
CLIP_SHA256 = "fbc415c3d0d7b79faed8f5ccfb740c32b7c4f5ffe7283b851f89c6231c01a8e0"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Extractor = Literal["classifier", "inception", "dinov2", "clip"]


class Reference(Section):
    """The features of real images that generated images are compared with."""

    extractors: Annotated[list[Extractor], Field(min_length=1)] = Field(
        default=["classifier"],
        description="Feature networks. `classifier` is trained on the dataset and gives FD "
        "(classifier); `inception` is clean-fid's network and gives FID; `dinov2` gives FD "
        "(DINOv2) and `clip` gives CMMD, both for photographs.",
    )
    repeats: Count = Field(
        default=1,
        ge=1,
        le=20,
        description="Classifiers, which differ in their seed. Metrics over classifier features are "
        "means over them.",
    )
    epochs: Count = Field(default=4, ge=1, description="Epochs of the classifier's training.")
    width: Count = Field(default=32, ge=4, description="Channels of the classifier's first stage.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Learning rate of the classifier.")
    batch_size: Count = Field(default=128, ge=2, description="Images per step of the classifier.")
    max_images: Count | None = Field(
        default=None,
        ge=2,
        description="Training images in the reference; null is all.",
    )
    inception_path: str | None = Field(
        default=None, description="A local copy of inception-2015-12-05.pt; null downloads it."
    )
    inception_sha256: Sha256 = Field(default=INCEPTION_SHA256, description="SHA-256 of that file.")
    dinov2_path: str | None = Field(
        default=None,
        description="A local copy of model.safetensors of facebook/dinov2-large on Hugging Face; "
        "null downloads it (1.2 GB).",
    )
    dinov2_sha256: Sha256 = Field(default=DINOV2_SHA256, description="SHA-256 of that file.")
    clip_path: str | None = Field(
        default=None,
        description="A local copy of open_clip_model.safetensors of "
        "timm/vit_large_patch14_clip_336.openai on Hugging Face; null downloads it (1.7 GB).",
    )
    clip_sha256: Sha256 = Field(default=CLIP_SHA256, description="SHA-256 of that file.")
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _check_extractors(self) -> Reference:
        if len(set(self.extractors)) != len(self.extractors):
            raise ValueError("has the same extractor twice; list each once")
        if self.repeats > 1 and "classifier" not in self.extractors:
            raise ValueError("has repeats, but no classifier; add it to extractors")
        return self

    @property
    def networks(self) -> list[str]:
        """The names of the feature networks: the extractors, and the classifier's repeats."""
        repeats = [f"classifier-{number}" for number in range(2, self.repeats + 1)]
        return [*self.extractors, *repeats]


class Dataset(Section):
    """Settings of every dataset."""

    image_size: ImageSize = Field(default=32, description="Side of the prepared images, in pixels.")
    channels: Channels = Field(default=3, description="1 for gray, 3 for color.")
    crop: Count | None = Field(
        default=None,
        ge=8,
        description="Side of the central square to keep, in pixels; null is the largest square.",
    )
    pad: int = Field(
        default=0, ge=0, le=64, description="Black pixels added on each side before resizing."
    )
    max_train_images: Count | None = Field(
        default=None,
        ge=2,
        description="Size of a random subset of the training images, validation images included; "
        "null is all.",
    )
    validation_fraction: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Fraction of the training images, of each class, that is kept out of training "
        "and of the reference. Searches choose between their trials by these images.",
    )
    seed: Seed = Field(
        default=0, description="Seed of the subset, of held-out images and of the reference."
    )
    reference: Reference = Reference()

    def preparation(self) -> dict[str, Any]:
        """Return the settings that determine the prepared images.

        Paths and the reference do not: the same images may come from another place.
        """
        return self.model_dump(
            mode="json", exclude={"reference", "path", "mirror", "verify", "attributes"}
        )

    @property
    def has_attributes(self) -> bool:
        """Whether the images may have attributes, such as `Smiling`."""
        return False

    @property
    def has_validation(self) -> bool:
        """Whether some training images are kept for searches."""
        return self.validation_fraction > 0


class GlyphsDataset(Dataset):
    """Digits rendered from matplotlib's fonts: ten balanced classes, without a download."""

    source: Literal["glyphs"]
    channels: Annotated[Literal[1], IntegerText] = 1
    num_train: Count = Field(default=10_000, ge=10, description="Training images to render.")
    num_test: Count = Field(default=2_000, ge=10, description="Test images to render.")


class FolderDataset(Dataset):
    """Images of the user: a directory or zip, with or without train/test and class folders."""

    source: Literal["folder"]
    path: str = Field(min_length=1, description="A directory or a zip of images.")
    attributes: str | None = Field(
        default=None,
        description="A table of attributes: a CSV file with the image's name in the first column "
        "and 1 or 0 in a column per attribute, or a list in CelebA's format. Null is none.",
    )
    test_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Fraction held out for testing if there is no test folder.",
    )
    on_error: Literal["fail", "skip"] = Field(
        default="fail", description="What to do with an image that cannot be decoded."
    )

    @property
    def has_attributes(self) -> bool:
        """Whether there is a table of attributes."""
        return self.attributes is not None


class DownloadedDataset(Dataset):
    """A published dataset, which is downloaded or copied from a mirror."""

    mirror: str | None = Field(
        default=None,
        description="A directory or URL with the official files, tried before their hosts.",
    )


class ChecksummedDataset(DownloadedDataset):
    """A published dataset whose files have published checksums."""

    verify: bool = Field(
        default=True,
        description="Whether to require the published checksums. With false, a `mirror` directory "
        "may hold other images in the same format.",
    )

    @model_validator(mode="after")
    def _check_mirror(self) -> ChecksummedDataset:
        if not self.verify and (self.mirror is None or "://" in self.mirror):
            raise ValueError(
                "has verify: false, which needs a directory as `mirror`; add one or remove verify"
            )
        return self


class MNISTDataset(ChecksummedDataset):
    """MNIST (LeCun et al., 1998) or Fashion-MNIST (Xiao et al., 2017)."""

    source: Literal["mnist", "fashion_mnist"]
    channels: Channels = 1
    pad: int = Field(
        default=2, ge=0, le=64, description="28×28 images with 2 pixels on each side are 32×32."
    )


class EMNISTDataset(ChecksummedDataset):
    """EMNIST (Cohen et al., 2017)."""

    source: Literal["emnist"]
    split: Literal["letters", "balanced", "digits"] = Field(
        description="26 letters with case merged, 47 balanced classes, or 10 digits."
    )
    channels: Channels = 1
    pad: int = Field(
        default=2, ge=0, le=64, description="28×28 images with 2 pixels on each side are 32×32."
    )


class CIFAR10Dataset(ChecksummedDataset):
    """CIFAR-10 (Krizhevsky, 2009)."""

    source: Literal["cifar10"]


class CelebADataset(DownloadedDataset):
    """CelebA (Liu et al., 2015): aligned faces with 40 attributes."""

    source: Literal["celeba"]
    path: str | None = Field(
        default=None,
        description="The official zip or folders, Kaggle's archive or the images; null is the "
        "mirror, or a download.",
    )
    image_size: ImageSize = 64
    crop: Count | None = Field(
        default=148, ge=8, description="The face in an aligned image of 178×218 pixels."
    )
    on_error: Literal["fail", "skip"] = Field(
        default="fail", description="What to do with an image that cannot be decoded."
    )

    @property
    def has_attributes(self) -> bool:
        """Whether the images may have attributes: CelebA's always may."""
        return True


AnyDataset = Annotated[
    GlyphsDataset | FolderDataset | MNISTDataset | EMNISTDataset | CIFAR10Dataset | CelebADataset,
    Field(discriminator="source"),
]

# The settings' class of each source.
DATASETS = union_members(AnyDataset)


class DatasetConfig(Section):
    """A resolved dataset: written by `configure --dataset`, read by the dataset's stages.

    In the file, `reference` is a section of its own: a change there reruns no preparation.
    """

    name: str
    dataset: AnyDataset

    @model_validator(mode="before")
    @classmethod
    def _nest_reference(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("dataset"), dict):
            return raw
        content = dict(raw)
        if "reference" in content:
            reference = content.pop("reference")
            content["dataset"] = content["dataset"] | {"reference": reference}
        return content

    @model_serializer(mode="wrap")
    def _unnest_reference(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return content | {"reference": content["dataset"].pop("reference")}
