"""The schema of a dataset: where its pictures come from, how they are prepared, what they are measured by."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from latentbench.config.base import Compute, Section

ImageSize = Literal[32, 64, 128]
Channels = Literal[1, 3]

# The TorchScript Inception of Karras et al. (2020) that clean-fid uses.
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"


class Reference(Section):
    """What generated images are compared with: a feature network and the real images' features."""

    extractors: Annotated[list[Literal["classifier", "inception"]], Field(min_length=1)] = Field(
        default=["classifier"],
        description="`classifier` is trained here and gives FD (classifier); `inception` is clean-fid's network and gives FID.",
    )
    epochs: int = Field(
        default=4, ge=1, description="Passes over the training split for the classifier."
    )
    width: int = Field(default=32, ge=4, description="Channels of the classifier's first stage.")
    learning_rate: float = Field(default=2e-3, gt=0)
    batch_size: int = Field(default=128, ge=2)
    max_images: int | None = Field(
        default=None,
        ge=2,
        description="Real images in the statistics; null is the whole training split.",
    )
    inception_path: str | None = Field(
        default=None, description="A local copy of inception-2015-12-05.pt; null downloads it once."
    )
    inception_sha256: str = Field(default=INCEPTION_SHA256, pattern="^[0-9a-f]{64}$")
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _extractors_once(self) -> Reference:
        if len(set(self.extractors)) != len(self.extractors):
            raise ValueError("names an extractor twice; list each once")
        return self


class Dataset(Section):
    """What every source has in common."""

    image_size: ImageSize = Field(
        default=32, description="Side of the prepared square images, in pixels."
    )
    channels: Channels = Field(default=3, description="1 for gray, 3 for color.")
    crop: int | None = Field(
        default=None,
        ge=8,
        description="Side of the central square to keep, in pixels; null is the largest.",
    )
    pad: int = Field(
        default=0, ge=0, le=64, description="Black pixels added on each side before resizing."
    )
    max_train_images: int | None = Field(
        default=None, ge=2, description="Use only so many training pictures, chosen by the seed."
    )
    seed: int = Field(default=0, ge=0)
    reference: Reference = Reference()

    def preparation(self) -> dict[str, Any]:
        """The settings that decide what is prepared: neither where the pictures lie nor what is measured of them."""
        return self.model_dump(
            mode="json", exclude={"reference", "path", "mirror", "verify", "attributes"}
        )

    @property
    def has_attributes(self) -> bool:
        """Whether each picture is said to have or to lack some."""
        return False


class GlyphsDataset(Dataset):
    """Digits typeset from the fonts that matplotlib ships: ten balanced classes, made, not downloaded."""

    source: Literal["glyphs"]
    channels: Literal[1] = 1
    num_train: int = Field(default=10_000, ge=10)
    num_test: int = Field(default=2_000, ge=10)


class FolderDataset(Dataset):
    """Pictures of the user's own: a directory or zip, with or without train/test and class folders."""

    source: Literal["folder"]
    path: str = Field(min_length=1, description="A directory or a zip of pictures.")
    attributes: str | None = Field(
        default=None,
        description="A table of what each picture has: a .csv whose first column names the picture and whose others "
        "hold 1 or 0, under the name of an attribute; or a list as CelebA has them. Null is none.",
    )
    test_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share held out for testing where there is no test folder.",
    )
    on_error: Literal["fail", "skip"] = Field(
        default="fail", description="What to do with a picture that cannot be decoded."
    )

    @property
    def has_attributes(self) -> bool:
        return self.attributes is not None


class DownloadedDataset(Dataset):
    mirror: str | None = Field(
        default=None,
        description="A directory or URL with the official files, tried before the official hosts.",
    )


class ChecksummedDataset(DownloadedDataset):
    verify: bool = Field(
        default=True,
        description="Whether files must have the published checksums; false takes those of a `mirror` directory as "
        "they are: other pictures in the same format.",
    )

    @model_validator(mode="after")
    def _mirror_where_unverified(self) -> ChecksummedDataset:
        if not self.verify and (self.mirror is None or "://" in self.mirror):
            raise ValueError(
                "has verify: false, but no directory as `mirror` to take the files from; name one"
            )
        return self


class MNISTDataset(ChecksummedDataset):
    source: Literal["mnist", "fashion_mnist"]
    channels: Channels = 1
    pad: int = Field(
        default=2, ge=0, le=64, description="28×28 with 2 pixels on each side is 32×32, unresized."
    )


class EMNISTDataset(ChecksummedDataset):
    source: Literal["emnist"]
    split: Literal["letters", "balanced", "digits"]
    channels: Channels = 1
    pad: int = Field(
        default=2, ge=0, le=64, description="28×28 with 2 pixels on each side is 32×32, unresized."
    )


class CIFAR10Dataset(ChecksummedDataset):
    source: Literal["cifar10"]


class CelebADataset(DownloadedDataset):
    source: Literal["celeba"]
    path: str | None = Field(
        default=None,
        description="The official zip, Kaggle's archive or an unpacked folder; null asks the mirror, then the hosts.",
    )
    image_size: ImageSize = 64
    crop: int | None = Field(
        default=148, ge=8, description="The 178×218 aligned pictures hold the face in 148."
    )
    on_error: Literal["fail", "skip"] = "fail"

    @property
    def has_attributes(self) -> bool:
        return True


AnyDataset = Annotated[
    GlyphsDataset | FolderDataset | MNISTDataset | EMNISTDataset | CIFAR10Dataset | CelebADataset,
    Field(discriminator="source"),
]


class DatasetConfig(Section):
    """A dataset resolved: what `configure --dataset` writes and the dataset's stages read.

    In the file `reference` stands beside `dataset`: engines tell a change of measure from one of pictures.
    """

    name: str
    dataset: AnyDataset

    @model_validator(mode="before")
    @classmethod
    def _reference_within(cls, raw: Any) -> Any:
        if not (
            isinstance(raw, dict) and isinstance(raw.get("dataset"), dict) and "reference" in raw
        ):
            return raw
        rest = {key: value for key, value in raw.items() if key != "reference"}
        return rest | {"dataset": raw["dataset"] | {"reference": raw["reference"]}}

    @model_serializer(mode="wrap")
    def _reference_beside(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return content | {"reference": content["dataset"].pop("reference")}
