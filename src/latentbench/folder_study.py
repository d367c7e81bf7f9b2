"""A first params file for a folder of the user's images, from a look at some of them."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from latentbench.config.datasets import FolderDataset
from latentbench.config.few_images import AUGMENT, FEW_FOR_GANS, advice
from latentbench.config.params import RULES
from latentbench.data.image_grid import Images, image_grid, write_png
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.sources import SOURCES, RawDataset
from latentbench.errors import DataError, ImageError, list_names

NUM_LOOKED_AT = 100  # images that are decoded, evenly spaced
NUM_PREVIEWED, PREVIEW_COLUMNS = 32, 8
MIN_IMAGES = 100
# Images whose short side is smaller have fewer pixels than a prepared image of 64×64.
SMALL_SIDE = 48
# In gray images that were saved as color, JPEG's rounding moves the channels apart by this much.
MAX_GRAY_DIFFERENCE = 3.0
BATCH_SIZE = 32
# 30 epochs of 5,400 faces: the VAE and the WGAN-GP below then generate faces.
NUM_STEPS = 5_000
MAX_EPOCHS = 200
MAX_SAMPLES = 5_000  # per evaluation, the default of the schema
MAX_NAME = 40
# Their settings gave recognizable faces at 64×64 pixels in half an hour on two cores.
VAE = "{name: vae, latent_dim: 64, width: 32, decoder_std: 0.5, learning_rate: 5.0e-4}"
WGAN_GP = "{name: wgan_gp, width: 32, n_critic: 1, learning_rate: 1.0e-3}"


@dataclass(frozen=True)
class FolderContents:
    """What a folder of images has.

    `side` is the median of the images' short sides, in pixels, and `num_damaged` counts those of
    the `num_looked_at` images that cannot be decoded. `preview` has some images as they will be
    prepared, uint8 (number, image_size, image_size, channels). `notes` are sentences about how the
    folders were read.
    """

    num_train: int
    num_test: int
    class_names: list[str]
    attribute_names: list[str]
    side: int
    crop: int | None
    num_looked_at: int
    num_damaged: int
    preview: Images = field(repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def image_size(self) -> int:
        """The side of the prepared images."""
        return int(self.preview.shape[1])

    @property
    def is_color(self) -> bool:
        """Whether the prepared images are in color."""
        return bool(self.preview.shape[3] > 1)

    @property
    def epochs(self) -> int:
        """Epochs that give about as many steps as small networks need."""
        return min(MAX_EPOCHS, max(1, round(NUM_STEPS * BATCH_SIZE / self.num_train)))

    def sentence(self) -> str:
        """Return number, color, size and labels of the images."""
        color = "color" if self.is_color else "gray"
        parts = [
            f"{self.num_train + self.num_test:,} images in {color}, {self.side} pixels at their "
            "short side (median)"
        ]
        if self.class_names:
            parts.append(f"{len(self.class_names):,} classes: {list_names(self.class_names)}")
        if self.attribute_names:
            parts.append(f"attributes: {list_names(self.attribute_names)}")
        return "; ".join(parts) + "."


def inspect_folder(path: Path, attributes: Path | None, crop: int | None) -> FolderContents:
    """Return what a directory or zip of images has; some of them are decoded.

    `crop` is the side of the central square to keep; None is the largest.
    Raises DataError if there are too few images, or none that can be decoded.
    """
    dataset = FolderDataset(
        source="folder",
        path=str(path),
        attributes=None if attributes is None else str(attributes),
        on_error="skip",
    )
    source = SOURCES["folder"]
    with tempfile.TemporaryDirectory() as scratch:
        contents = source.open(dataset, Path(scratch), source.fetch(dataset, Path(scratch)))
    number = len(contents.train.references) + len(contents.test.references)
    if number < MIN_IMAGES:
        raise DataError(
            f"{path} has {number:,} images, which are too few to train a model; use at least "
            f"{MIN_IMAGES}, better some thousands."
        )
    chosen = _choose_images(contents)
    usable, sides, differences = _measure_images(contents, chosen)
    if not usable:
        raise DataError(f"{path}: none of {len(chosen)} images can be decoded; repair them.")
    side = int(np.median(sides)) if crop is None else crop
    image_size = 32 if side < SMALL_SIDE else 64
    channels = 3 if max(differences) > MAX_GRAY_DIFFERENCE else 1
    decoder = ImageDecoder(contents.reader, ResizeSpec(image_size, channels, crop, 0))
    shown = [usable[place] for place in _evenly_spaced(len(usable), NUM_PREVIEWED)]
    return FolderContents(
        num_train=len(contents.train.references),
        num_test=len(contents.test.references),
        class_names=contents.class_names,
        attribute_names=contents.attribute_names,
        side=int(np.median(sides)),
        crop=crop,
        num_looked_at=len(chosen),
        num_damaged=len(chosen) - len(usable),
        preview=np.stack([decoder.decode(reference) for reference in shown]),
        notes=contents.notes,
    )


def _evenly_spaced(number: int, most: int) -> list[int]:
    """Return at most `most` indices below `number`, from the first to the last."""
    places: list[int] = np.linspace(0, number - 1, min(number, most)).astype(int).tolist()
    return places


def _choose_images(contents: RawDataset) -> list[str]:
    references = contents.train.references
    return [references[place] for place in _evenly_spaced(len(references), NUM_LOOKED_AT)]


def _measure_images(
    contents: RawDataset, chosen: list[str]
) -> tuple[list[str], list[int], list[float]]:
    """Return the images that can be decoded, their short sides, and how far they are from gray.

    The latter is the mean difference of the color channels of a pixel.
    """
    decoder = ImageDecoder(contents.reader, ResizeSpec(32, 3, None, 0))
    usable, sides, differences = [], [], []
    for reference in chosen:
        try:
            square = decoder.decode(reference).astype(np.float64)
        except ImageError:
            continue
        content = contents.reader.read(reference)
        assert isinstance(content, bytes)  # of a file
        with Image.open(io.BytesIO(content)) as image:
            sides.append(min(image.size))
        usable.append(reference)
        differences.append(float(np.ptp(square, axis=-1).mean()))
    return usable, sides, differences


def study_name(path: Path) -> str:
    """Return a study's name from a folder's or zip's: ASCII letters, digits, - and _."""
    stem = path.stem if path.suffix.lower() == ".zip" else path.name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    name = re.sub("[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_NAME].rstrip("-_")
    if not name:
        return "images"
    return f"my-{name}" if name in RULES or name.startswith("handin_") else name


def params_text(name: str, path: Path, attributes: Path | None, contents: FolderContents) -> str:
    """Return a params file with a study of a VAE and a WGAN-GP on a folder's images."""
    crop = "# crop: 148" if contents.crop is None else f"crop: {contents.crop}"
    threads = max(1, (os.cpu_count() or 1) // 2)
    num_samples = max(500, min(MAX_SAMPLES, contents.num_train))
    lines = [
        f"# {contents.sentence()}",
        "# Every setting: docs/ (make docs), or latentbench schema.",
        "",
        "studies:",
        f"  {name}:",
        f"    title: {_quoted(f'A VAE and a WGAN-GP on {path.stem}')}",
        '    question: ""  # which the report answers',
        "    authors: []   # [Ada Lovelace, Émile Borel]",
        "    # The chapter walkthrough has the whole process in code:",
        "    # notebooks: [comparison, latent, training, data, walkthrough, background]",
        "",
        "datasets:",
        f"  {name}:",
        "    source: folder",
        f"    path: {_quoted(str(path))}",
        *([f"    attributes: {_quoted(str(attributes))}"] if attributes else []),
        f"    image_size: {contents.image_size}  # 32, 64 or 128; twice the size takes four times "
        "as long",
        f"    channels: {3 if contents.is_color else 1}  # 3 for color, 1 for gray",
        f"    {crop}  # side of the central square to keep, in pixels; default: the largest",
        "    on_error: skip  # images that cannot be decoded are listed and left out; or fail",
        "",
        "defaults:",
        "  training:",
        f"    epochs: {contents.epochs}",
        f"    batch_size: {BATCH_SIZE}",
        f"    flip: {'true' if contents.is_color else 'false'}  # mirror half of the images; not "
        "for letters, digits, or where left and right differ",
        f"  evaluation: {{num_samples: {num_samples}}}",
        f"  compute: {{threads: {threads}}}  # CPU threads per job: both models train at once",
        "  # repeats: 3  # train each model with three seeds, to test whether they differ",
        "",
        "experiments:",
        *_how_to_condition(contents),
        "  vae:",
        *_experiment(name),
        f"    model: {VAE}",
        "  wgan-gp:",
        *_experiment(name),
        f"    model: {WGAN_GP}",
        *_how_to_augment(contents),
        "  # dcgan:",
        *(f"  # {line[2:]}" for line in _experiment(name)),
        "  #   model: {name: dcgan, width: 32}",
        "",
    ]
    return "\n".join(lines)


def _how_to_augment(contents: FolderContents) -> list[str]:
    """Return a comment on augmentation, where training images are few for a GAN."""
    if contents.num_train >= FEW_FOR_GANS:
        return []
    return [f"    # If its samples copy or get worse, add to model: augment: {AUGMENT}"]


def _experiment(name: str) -> list[str]:
    return [f"    study: {name}", f"    dataset: {name}"]


def _how_to_condition(contents: FolderContents) -> list[str]:
    """Return a comment on conditional models, where there are labels."""
    if contents.attribute_names:
        first = json.dumps(contents.attribute_names[:1], ensure_ascii=False)
        return [f"  # Samples with chosen attributes: add `condition: {first}` to a model."]
    if len(contents.class_names) > 1:
        return ["  # Samples of a chosen class: add `condition: class` to a model."]
    return []


def _quoted(text: str) -> str:
    """Return text as a YAML string, which JSON's strings are."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def write_preview(path: Path, contents: FolderContents) -> None:
    """Write some images, as they will be prepared, as one PNG."""
    write_png(path, image_grid(contents.preview, columns=PREVIEW_COLUMNS))


def summary(name: str, output: Path, contents: FolderContents) -> list[str]:
    """Return what was found and written, and what to be aware of."""
    size = contents.image_size
    lines = [contents.sentence(), *contents.notes]
    if contents.num_damaged:
        lines.append(
            f"{contents.num_damaged} of {contents.num_looked_at} images cannot be decoded; such "
            "images are left out (on_error: skip)."
        )
    lines += advice(contents.num_train, unaugmented=["wgan-gp"])
    lines.append(
        f"Wrote {output}: the study {name}, a VAE and a WGAN-GP at {size}×{size} pixels for "
        f"{contents.epochs} epochs."
    )
    lines.append(
        f"Wrote {output.with_suffix('.png')}: {len(contents.preview)} images as the models will "
        "see them. If they show too much around what matters, set crop."
    )
    return lines
