"""A trained model: samples, codes, reconstructions, paths and scores, as NumPy arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from latentbench.config.models import PriorKind
from latentbench.data.display import describe_channels, html_grid, html_table
from latentbench.data.image_grid import Images
from latentbench.data.images import to_uint8
from latentbench.errors import ArgumentError, UnsupportedError, list_names, quote
from latentbench.inference.conditions import LabelInput
from latentbench.inference.draws import draw_indices, draw_noise
from latentbench.inference.images import ImageInput, is_single
from latentbench.inference.interpolation import PATHS, interpolate
from latentbench.inference.inversion import invert
from latentbench.inference.latents import LatentInput, Latents, are_latents
from latentbench.inference.loaded_checkpoint import BATCH_SIZE, LoadedCheckpoint
from latentbench.models.networks.architectures import count_parameters
from latentbench.models.networks.layers import BATCH_NORMS
from latentbench.models.objective import (
    HasDiscriminator,
    HasEncoder,
    HasPosterior,
    HasSampling,
    Sampling,
)
from latentbench.rng import torch_generator

# Wraps the steps of a loop and shows how many are done, as tqdm does.
Progress = Callable[[Iterable[int]], Iterable[int]]

# A discriminator with batch norm compares up to this many images with each other.
_SCORED_TOGETHER = 1_000

_NUM_SHOWN = 8  # samples in a notebook


@dataclass(frozen=True, repr=False, eq=False)
class Model(LoadedCheckpoint):
    """A trained model: `load_model` returns one.

    Images in are paths, PIL images, arrays or tensors of any size and mode: see `prepare_images`.
    Images out are uint8 (number, height, width, channel), latents float32 (number, latent_dim).
    Labels are names, indices, dicts of attributes or arrays that mix classes: see `label_vectors`.
    """

    def _repr_html_(self) -> str:
        """Return a table of settings and networks, and a few samples, for notebooks."""
        settings = self.config.model
        rows: dict[str, object] = {
            "model": settings.name,
            "architecture": settings.architecture,
            "trained on": f"{self.config.dataset}, {self.epoch} of {self.config.training.epochs} "
            f"epochs, seed {self.config.seed}",
            "latents": f"{self.latent_dim} dimensions",
            "priors": list_names(self.priors),
            "images": f"{self.config.image_size}×{self.config.image_size}, "
            f"{describe_channels(self.config.channels)}",
            "labels": list_names(self.label_names),
            "device": self.device,
        }
        if self.sampling is not None:
            facts = [f"{key} {value:g}" for key, value in vars(self.sampling).items()]
            rows["sampling"] = ", ".join(facts)
        for name, network in self.networks.items():
            rows[name] = f"{count_parameters(network):,} parameters"
        grid = html_grid(self.sample(_NUM_SHOWN), columns=_NUM_SHOWN, label="Samples")
        return html_table(self.name, rows) + grid

    def with_sampling(
        self,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        churn: float | None = None,
    ) -> Model:
        """Return a diffusion model that is sampled differently; both share their weights.

        All methods of the returned model solve the ODE in this way, in both directions.

        >>> model.with_sampling(steps=50, guidance=3).sample(16, labels="7")

        Args:
            steps: Steps of Heun's method, each but the last with two evaluations of the network;
                None is as before.
            guidance: Classifier-free guidance (Ho & Salimans, 2021), for conditional models: 1 is
                none, more follows the labels more closely, and 0 ignores them.
            churn: Noise that is added on the way (Karras et al., 2022, algorithm 2); 0 is the
                deterministic ODE. `encode` adds none.

        Raises:
            ArgumentError: An argument has no valid value.
            UnsupportedError: The model is no diffusion model.
        """
        if not isinstance(self.objective, HasSampling):
            raise UnsupportedError(
                f"{self.name} generates an image in one step; leave out steps, guidance and churn."
            )
        given = {"sampling_steps": steps, "guidance": guidance, "churn": churn}
        settings = self.config.model.model_dump()
        settings |= {key: value for key, value in given.items() if value is not None}
        try:
            model: Any = type(self.config.model).model_validate(settings, strict=False)
        except ValidationError as error:
            raise ArgumentError(_sampling_fault(self.name, error)) from None
        # The copy has the same networks.
        objective: Any = copy(self.objective)
        objective.sampling = Sampling(model.sampling_steps, model.guidance, model.churn)
        config = self.config.model_copy(update={"model": model})
        return replace(self, config=config, objective=objective)

    def sample(
        self,
        number: int,
        *,
        seed: int = 0,
        labels: LabelInput | None = None,
        truncation: float = 1.0,
        prior: PriorKind | None = None,
    ) -> Images:
        """Return random images, uint8 (number, height, width, channel).

        A seed gives the same images however many are drawn: `sample(4)` starts `sample(16)`.

        >>> model.sample(16, seed=1, labels="7", truncation=0.7)

        Args:
            number: How many.
            seed: The seed of the latents and, without `labels`, of the labels.
            labels: Labels of a conditional model; None draws them as they are distributed in the
                training images.
            truncation: See `latents`.
            prior: See `latents`.

        Raises:
            ArgumentError: An argument has no valid value.
            UnsupportedError: The model has no labels, or no such prior.
        """
        latents = self.latents(number, seed=seed, truncation=truncation, prior=prior)
        if labels is None and self.label_names:
            labels = self._random_labels(number, seed)
        return self.decode(latents, labels=labels)

    def latents(
        self,
        number: int,
        *,
        seed: int = 0,
        truncation: float = 1.0,
        prior: PriorKind | None = None,
    ) -> Latents:
        """Return random latents, float32 (number, latent_dim).

        Args:
            number: How many.
            seed: The seed; the first latents do not depend on `number`.
            truncation: Factor of the noise around the mean of the prior, or of its component. Below
                1, images are more typical and less diverse. Much below, those of a GAN fade: its
                generator was trained on hardly any latents as short.
            prior: `standard` is N(0, I); None is the prior of the settings, which of autoencoders
                and VAEs is fitted to the codes of training images.

        Raises:
            ArgumentError: An argument has no valid value.
            UnsupportedError: The model has no such prior.
        """
        if number < 1 or truncation < 0:
            raise ArgumentError(
                f"number is {number} and truncation is {truncation}; draw at least one latent, "
                "with a truncation of at least 0."
            )
        if prior is not None and prior not in self.priors:
            raise UnsupportedError(
                f"{self.name} has no prior {quote(prior)}; it has {list_names(self.priors)}."
            )
        chosen = self.prior if prior is None else self.priors[prior]
        noise = torch.from_numpy(draw_noise(number, self.latent_dim, seed)) * truncation
        weights = chosen.weights.double().numpy()
        components = draw_indices(weights, number, seed, "components")
        latents: Latents = chosen.transform(noise, torch.from_numpy(components)).numpy()
        return latents

    @torch.no_grad()
    def encode(self, images: ImageInput, *, labels: LabelInput | None = None) -> Latents:
        """Return the codes of images, float32 (number, latent_dim).

        Of a VAE they are posterior means. Of a diffusion model they are noise: the ODE leads from
        the image back to it.

        >>> model.encode(["cat.jpg", "dog.png"])

        Args:
            images: Images of any size and mode; see `prepare_images`.
            labels: Their labels, which a conditional model needs.

        Raises:
            ArgumentError: The images or labels are not valid.
            ImageError: A file is missing or damaged.
            UnsupportedError: The model has no encoder.
        """
        if not isinstance(self.objective, HasEncoder):
            raise UnsupportedError(
                f"{self.name} has no encoder; use invert, which searches for latents."
            )
        codes = []
        for image, label in self._batches(images, labels):
            codes.append(self.objective.encode(image, label))
        return _to_numpy(torch.cat(codes))

    @torch.no_grad()
    def posterior(
        self, images: ImageInput, *, labels: LabelInput | None = None
    ) -> tuple[Latents, Latents]:
        """Return the means and log-variances of a VAE's posteriors, both (number, latent_dim).

        Arguments and errors are those of `encode`.
        """
        if not isinstance(self.objective, HasPosterior):
            instead = "encode, whose codes are points" if self.has_encoder else "invert"
            raise UnsupportedError(f"{self.name} has no posterior; use {instead}.")
        means, log_variances = [], []
        for image, label in self._batches(images, labels):
            mean, log_variance = self.objective.posterior(image, label)
            means.append(mean)
            log_variances.append(log_variance)
        return _to_numpy(torch.cat(means)), _to_numpy(torch.cat(log_variances))

    def decode(self, latents: LatentInput, *, labels: LabelInput | None = None) -> Images:
        """Return the images of latents, uint8 (..., height, width, channel).

        >>> model.decode(model.latents(16), labels={"Smiling": 1, "Male": 0.3})

        Args:
            latents: An array or tensor (..., latent_dim), such as (number, latent_dim).
            labels: Labels of a conditional model: one for all, one per latent, or an array (...,
                num_labels).

        Raises:
            ArgumentError: Latents or labels have another shape.
            UnsupportedError: The model has no labels.
        """
        codes = self._to_tensor(latents)
        return self.decode_vectors(codes, self._label_tensor(labels, codes.shape[:-1]))

    def decode_vectors(self, latents: Tensor, vectors: Tensor) -> Images:
        """Return uint8 (..., height, width, channel) of latents (..., latent_dim) on the device.

        `vectors` are label vectors (..., num_labels) or their embeddings (..., label_dim).
        """
        batches = zip(
            latents.reshape(-1, latents.shape[-1]).split(BATCH_SIZE),
            vectors.reshape(latents.shape[:-1].numel(), -1).split(BATCH_SIZE),
            strict=True,
        )
        images = torch.cat([to_uint8(self.objective.sample(*batch)) for batch in batches])
        decoded: Images = images.reshape(*latents.shape[:-1], *images.shape[1:]).cpu().numpy()
        return decoded

    def denoise(
        self, latents: LatentInput, *, labels: LabelInput | None = None
    ) -> tuple[Images, Images]:
        """Return how noise becomes an image, step by step, for diffusion models.

        Both arrays are uint8 (..., steps + 1, height, width, channel), from the noise to the image.
        The first has the noisy images, with values beyond the range cut off. The second has the
        denoised image that each of them implies: the mean of the images it could become.

        >>> noisy, denoised = model.denoise(model.latents(4))
        >>> lb.grid(denoised)

        Args:
            latents: An array or tensor (..., latent_dim).
            labels: See `decode`.

        Raises:
            ArgumentError: Latents or labels have another shape.
            UnsupportedError: The model is no diffusion model, or has no labels.
        """
        if not isinstance(self.objective, HasSampling):
            raise UnsupportedError(f"{self.name} generates an image in one step; use decode.")
        codes = self._to_tensor(latents)
        number = codes.shape[:-1].numel()
        vectors = self._label_tensor(labels, codes.shape[:-1]).reshape(number, -1)
        # A path has as many images as a batch of its length.
        size = max(1, BATCH_SIZE // (self.objective.sampling.steps + 1))
        paths: tuple[list[Tensor], list[Tensor]] = ([], [])
        for batch in zip(codes.view(number, -1).split(size), vectors.split(size), strict=True):
            for found, images in zip(paths, self.objective.denoising_path(*batch), strict=True):
                found.append(to_uint8(images.flatten(0, 1)).unflatten(0, images.shape[:2]))
        states, denoised = (torch.cat(found).cpu().numpy() for found in paths)
        shape = (*codes.shape[:-1], *states.shape[1:])
        return states.reshape(shape), denoised.reshape(shape)

    def reconstruct(self, images: ImageInput, *, labels: LabelInput | None = None) -> Images:
        """Return the decoded codes of images, uint8 (number, height, width, channel).

        Arguments and errors are those of `encode`.
        """
        if not self.has_encoder:
            raise UnsupportedError(
                f"{self.name} has no encoder; decode the latents that invert finds."
            )
        prepared = self.prepare(images)
        return self.decode(self.encode(prepared, labels=labels), labels=labels)

    def interpolate(
        self,
        a: ImageInput | LatentInput,
        b: ImageInput | LatentInput,
        *,
        steps: int = 8,
        method: str = "spherical",
        labels: LabelInput | None = None,
        end_labels: LabelInput | None = None,
    ) -> Images:
        """Return the images along paths from `a` to `b`, both ends included.

        They are uint8 (steps, height, width, channel) for a single image or latent on both sides,
        else (paths, steps, height, width, channel).

        >>> model.interpolate("cat.jpg", "dog.png", steps=8)

        Args:
            a: Starts: floating-point arrays (latent_dim,) or (paths, latent_dim) are latents, all
                else are images, which are encoded or, without an encoder, inverted.
            b: Ends, as many as starts; a single one counts for all.
            steps: Images per path.
            method: `spherical` (White, 2016) or `linear`.
            labels: Labels of a conditional model.
            end_labels: Labels of the ends, if they differ. They are mixed along the path.

        Raises:
            ArgumentError: An argument has no valid value.
            ImageError: A file is missing or damaged.
        """
        if method not in PATHS or steps < 2:
            raise ArgumentError(
                f"method is {quote(method)} and steps is {steps}; the methods are "
                f"{list_names(PATHS)}, with at least 2 steps."
            )
        end_labels = labels if end_labels is None else end_labels
        starts, ends = self._find_ends(a, b, labels, end_labels)
        number = max(len(starts), len(ends))
        if len(starts) not in (1, number) or len(ends) not in (1, number):
            raise ArgumentError(
                f"There are {len(starts)} starts and {len(ends)} ends; give as many of both, or "
                "one of either."
            )
        starts, ends = starts.expand(number, -1), ends.expand(number, -1)
        points = interpolate(starts, ends, num_points=steps, kind=method)
        # The embedding is linear in the label, so this interpolates embeddings linearly.
        vectors = interpolate(
            self._label_tensor(labels, (number,)),
            self._label_tensor(end_labels, (number,)),
            num_points=steps,
            kind="linear",
        )
        images = self.decode(points, labels=vectors if self.label_names else None)
        return images[0] if self._is_one(a) and self._is_one(b) else images

    @torch.no_grad()
    def discriminate(
        self,
        images: ImageInput,
        *,
        labels: LabelInput | None = None,
        reference: ImageInput | None = None,
        reference_labels: LabelInput | None = None,
    ) -> Latents:
        """Return the discriminator's scores of images, float32 (number,); higher is more real.

        Of a GAN with the loss `non_saturating` or `minimax`, the sigmoid of a score estimates the
        probability that the image is real. A critic's scores have no zero: compare them.

        A discriminator with batch norm compares the images of a call with each other, as in
        training, so they should be either real or generated ones. To score an image by itself, give
        real images as the reference.

        >>> model.discriminate("cat.jpg", reference=data.images("train")[:100])

        Args:
            images: Images of any size and mode; see `prepare_images`.
            labels: Their labels, which a conditional model needs.
            reference: Images that batch norm compares the others with, such as 100 of the training
                images. Without batch norm it changes nothing.
            reference_labels: Their labels, which a conditional model needs.

        Raises:
            ArgumentError: The images or labels are not valid, or an image has nothing to be
                compared with.
            ImageError: A file is missing or damaged.
            UnsupportedError: The model has no discriminator.
        """
        if not isinstance(self.objective, HasDiscriminator):
            raise UnsupportedError(
                f"{self.name} has no discriminator; compare images with their reconstructions."
            )
        prepared = self.prepare(images)
        others = None
        if reference is not None:
            real = self.prepare(reference)
            [others] = self._batches(real, reference_labels, batch_size=len(real))
        elif len(prepared) == 1 and self._compares_images:
            raise ArgumentError(
                f"The discriminator of {self.name} has batch norm, which compares images with each "
                "other; give several, or real images as the reference."
            )
        size = BATCH_SIZE
        if self._compares_images and others is None:
            # Batches of equal size, so that none has too few images.
            size = math.ceil(len(prepared) / math.ceil(len(prepared) / _SCORED_TOGETHER))
        scores = []
        for image, label in self._batches(prepared, labels, batch_size=size):
            scores.append(self.objective.discriminate(image, label, reference=others))
        return _to_numpy(torch.cat(scores))

    @property
    def _compares_images(self) -> bool:
        """Whether the discriminator has batch norm."""
        modules = self.networks["discriminator"].modules()
        return any(isinstance(module, BATCH_NORMS) for module in modules)

    def invert(
        self,
        images: ImageInput,
        *,
        labels: LabelInput | None = None,
        steps: int | None = None,
        seed: int = 0,
        progress: bool | Progress = True,
    ) -> Latents:
        """Return latents whose images are close to `images`, float32 (number, latent_dim).

        It is for models without an encoder: Adam searches for each latent (Creswell & Bharath,
        2018), which takes about as long as `steps` updates of a generator.

        Args:
            images: Images of any size and mode; see `prepare_images`.
            labels: Their labels, which a conditional model needs.
            steps: Steps of Adam; None is `latent.inversion_steps` of the settings.
            seed: The seed of the random latents that the search starts from.
            progress: Show a progress bar, or a function that wraps the steps as tqdm does.

        Raises:
            ArgumentError: An argument has no valid value.
            ImageError: A file is missing or damaged.
            UnsupportedError: The model has an encoder.
        """
        if self.has_encoder:
            raise UnsupportedError(f"{self.name} has an encoder; use encode.")
        if steps is not None and steps < 0:
            raise ArgumentError(f"steps is {steps}; give at least 0.")
        settings = self.config.latent
        if steps is not None:
            settings = settings.model_copy(update={"inversion_steps": steps})
        show = self._progress(progress)
        latents = []
        for image, label in self._batches(images, labels):
            generator = torch_generator(seed, "inversion")
            found = invert(
                self.objective, image, label, settings, generator=generator, progress=show
            )
            latents.append(found.latents)
        return _to_numpy(torch.cat(latents))

    def export(self, path: str | os.PathLike[str], *, part: str = "decoder") -> None:
        """Write a network as an ONNX file, for programs without PyTorch.

        The inputs are named `latents` or `images`, and `labels` if the model has some. A decoder
        or generator returns `images`, an encoder `codes`, of a VAE also `log_variances`, and a
        discriminator `scores`. All are float32, images (batch, channel, height, width) in [-1, 1]
        and labels (batch, num_labels). The batch size is variable. The file's metadata have the
        model, epoch and names of the labels.

        >>> model.export("decoder.onnx")

        Args:
            path: The file to write, in place of one that exists.
            part: `decoder`, which is also a GAN's generator, `encoder` or `discriminator`.

        Raises:
            ArgumentError: There is no such part.
            StorageError: The file cannot be written.
            UnsupportedError: The model does not have this part, or `onnx` is not installed.
        """
        from latentbench.inference.export import export_model

        export_model(self, Path(path).expanduser(), part)

    def _progress(self, progress: bool | Progress) -> Progress:
        if callable(progress):
            return progress
        if not progress:
            return iter

        from tqdm import tqdm

        return lambda steps: tqdm(steps, desc=f"{self.name}: inversion", unit="step", leave=False)

    def _find_ends(
        self, a: Any, b: Any, labels: LabelInput | None, end_labels: LabelInput | None
    ) -> tuple[Tensor, Tensor]:
        """Return the latents of starts and of ends, each (number, latent_dim)."""
        if are_latents(a, self.latent_dim) or are_latents(b, self.latent_dim):
            return self._to_latents(a, labels), self._to_latents(b, end_labels)
        # Both at once: inversion takes as long for one image as for a few.
        starts, ends = (self.prepare(side) for side in (a, b))
        vectors = torch.cat(
            [
                self._label_tensor(labels, (len(starts),)),
                self._label_tensor(end_labels, (len(ends),)),
            ]
        )
        found = self._to_latents(np.concatenate([starts, ends]), vectors)
        return found[: len(starts)], found[len(starts) :]

    def _to_latents(self, ends: Any, labels: LabelInput | None) -> Tensor:
        """Return latents as they are, and images as their codes: (number, latent_dim)."""
        if are_latents(ends, self.latent_dim):
            return self._to_tensor(ends).view(-1, self.latent_dim)
        find = self.encode if self.has_encoder else self.invert
        return torch.from_numpy(find(ends, labels=labels)).to(self.device)

    def _is_one(self, ends: Any) -> bool:
        return ends.ndim == 1 if are_latents(ends, self.latent_dim) else is_single(ends)


def _sampling_fault(name: str, error: ValidationError) -> str:
    """Return what is wrong with settings of sampling, as a sentence."""
    fault = error.errors()[0]
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{name} {message}."
    key = str(fault["loc"][0]).removeprefix("sampling_")
    return f"{key} is {quote(fault['input'])}, but the {message[0].lower()}{message[1:]}."


def _to_numpy(tensor: Tensor) -> Latents:
    array: Latents = tensor.float().cpu().numpy()
    return array
