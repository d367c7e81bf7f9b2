"""The loops of the other side: how a user would train the very same networks without latentbench.

Each is given a class folder of pictures and an experiment's config, and yields the steps per second of one epoch
after another. A step is one of the discriminator, where there is one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentbench.config.experiments import ExperimentConfig
from latentbench.models.channels_last import Flatten, ImageConvTranspose2d, Unflatten
from latentbench.models.initialization import initialize_weights
from latentbench.models.networks import Decoder, Encoder, Shape
from latentbench.rng import torch_generator

WORKERS = 2  # of the DataLoaders that decode pictures for the GANs


def pytorch_example(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """After the loop of PyTorch's DCGAN example.

    Binary cross-entropy, torch.optim.Adam, real and fake passed through the discriminator one after the other, the
    generator's step through a discriminator that collects gradients too.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator, discriminator = (network.to(device) for network in game(config, batch_norm=True))
    optimizers = [adam(network, config) for network in (generator, discriminator)]
    loss = nn.BCELoss()
    loader = picture_loader(pictures, config)
    batch, latent_dim = config.training.batch_size, config.model.latent_dim
    while True:
        start, count = None, 0
        for images, _ in loader:
            if start is None:  # as on our side, starting the epoch's workers is not a step
                start = time.perf_counter()
            real, fake = torch.ones(batch, device=device), torch.zeros(batch, device=device)
            discriminator.zero_grad()
            real_loss = loss(discriminator(images.to(device)).sigmoid(), real)
            real_loss.backward()
            fakes = generator(torch.randn(batch, latent_dim, device=device))
            fake_loss = loss(discriminator(fakes.detach()).sigmoid(), fake)
            fake_loss.backward()
            optimizers[1].step()
            generator.zero_grad()
            generator_loss = loss(discriminator(fakes).sigmoid(), real)
            generator_loss.backward()
            optimizers[0].step()
            _ = (
                (real_loss + fake_loss).item(),
                generator_loss.item(),
            )  # the example prints both at each step
            count += 1
        assert start is not None
        yield count / (time.perf_counter() - start)


def pythae_trainer(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """pythae's BaseTrainer on its VAE, over an ImageFolder that gives what its trainer takes.

    Without workers, its default: on two cores they made it slower.
    """
    from pythae.data.datasets import DatasetOutput

    class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
        dataset = picture_folder(pictures, config)

        def __len__(self) -> int:
            return len(self.dataset)

        def __getitem__(self, index: int) -> Any:
            return DatasetOutput(data=self.dataset[index][0])

    yield from pythae_rates(Pictures(), config)


def pythae_trainer_on_arrays(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """The same, over an array of floats in memory, for data that fit there decoded."""
    from pythae.data.datasets import BaseDataset

    images = torch.stack([image for image, _ in picture_folder(pictures, config)])
    yield from pythae_rates(BaseDataset(images, torch.zeros(len(images))), config)


def pythae_rates(dataset: Any, config: ExperimentConfig) -> list[float]:
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    shape, latent_dim = shape_of(config), config.model.latent_dim
    encoder = Encoder(2 * latent_dim, config.model, shape, batch_norm=True)
    down, up = of_pytorch(encoder.layers), of_pytorch(Decoder(config.model, shape).layers)
    for network in (down, up):
        initialize_weights(network, config.model.initialization, torch_generator(0, "weights"))

    class TheEncoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = down

        def forward(self, images: Tensor) -> Any:
            mean, log_variance = self.layers(
                images.flatten(1) if encoder.is_flat else images
            ).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class TheDecoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = up

        def forward(self, latents: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(latents).tanh())

    rates: list[float] = []

    class Clock(TrainingCallback):
        def on_train_step_begin(self, training_config: Any, **_: Any) -> None:  # noqa: ARG002
            """Called before the first step of each epoch."""
            self.start, self.count = time.perf_counter(), 0

        def on_train_step_end(self, training_config: Any, **_: Any) -> None:  # noqa: ARG002
            self.count += 1

        def on_epoch_end(self, training_config: Any, **_: Any) -> None:  # noqa: ARG002
            rates.append(self.count / (time.perf_counter() - self.start))

    input_dim = (shape.channels, shape.image_size, shape.image_size)
    vae = VAE(VAEConfig(input_dim=input_dim, latent_dim=latent_dim), TheEncoder(), TheDecoder())
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=2,
            per_device_train_batch_size=config.training.batch_size,
            learning_rate=config.model.learning_rate,
        )
        BaseTrainer(vae, dataset, training_config=settings, callbacks=[Clock()]).train()
    return rates


def mimicry_trainer(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """mimicry's Trainer with its own steps of WGAN-GP.

    Its packages of datasets and metrics no longer import (they want torch._six and TensorFlow); the training needs
    neither, so empty modules stand for them.
    """
    for name in ("torch_mimicry.datasets", "torch_mimicry.metrics"):
        sys.modules[name] = ModuleType(name)
    from torch_mimicry.nets.wgan_gp.wgan_gp_base import WGANGPBaseDiscriminator, WGANGPBaseGenerator
    from torch_mimicry.training import Trainer

    model = config.model
    assert model.name == "wgan_gp"
    generator_layers, discriminator_layers = game(config, batch_norm=False)
    times: list[float] = []

    class TheGenerator(WGANGPBaseGenerator):
        def __init__(self) -> None:
            super().__init__(nz=model.latent_dim, ngf=model.width, bottom_width=4)
            self.layers = generator_layers

        def forward(self, latents: Tensor) -> Tensor:
            images: Tensor = self.layers(latents)
            return images

        def train_step(self, *words: Any, **named: Any) -> Any:
            """The generator's turn ends what n_dis steps of the discriminator began."""
            log = super().train_step(*words, **named)
            times.append(time.perf_counter())
            return log

    class TheDiscriminator(WGANGPBaseDiscriminator):
        def __init__(self) -> None:
            super().__init__(ndf=model.width, gp_scale=model.gp_weight)
            self.layers = discriminator_layers

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.layers(images)
            return scores

    loader = picture_loader(pictures, config)
    turns = len(loader) // model.n_critic
    generator, discriminator = TheGenerator(), TheDiscriminator()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            netD=discriminator,
            netG=generator,
            optD=adam(discriminator, config),
            optG=adam(generator, config),
            dataloader=loader,
            num_steps=2 * turns,
            n_dis=model.n_critic,
            lr_decay="linear",
            log_dir=f"{folder}/log",
        ).train()
    # From one turn of the generator to another: what came before the first is not timed.
    yield (turns - 1) * model.n_critic / (times[turns - 1] - times[0])
    yield turns * model.n_critic / (times[-1] - times[turns - 1])


def shape_of(config: ExperimentConfig) -> Shape:
    return Shape(config.image_size, config.channels)


def game(config: ExperimentConfig, *, batch_norm: bool) -> tuple[nn.Module, nn.Module]:
    """A generator up to its tanh and a discriminator that gives one score per image."""
    shape = shape_of(config)
    generator = nn.Sequential(*of_pytorch(Decoder(config.model, shape).layers), nn.Tanh())
    encoder = Encoder(1, config.model, shape, batch_norm=batch_norm)
    discriminator = nn.Sequential(*of_pytorch(encoder.layers), nn.Flatten(0))
    for network in (generator, discriminator):
        initialize_weights(network, config.model.initialization, torch_generator(0, "weights"))
    return generator, discriminator


def of_pytorch(layers: nn.Sequential) -> nn.Sequential:
    """The same network of PyTorch's layers alone, as its users would write it; weights are not carried over."""

    def plain(layer: nn.Module) -> nn.Module:
        match layer:
            case Flatten():
                return nn.Flatten(1)
            case Unflatten():
                return nn.Unflatten(1, (layer.channels, layer.side, layer.side))
            case ImageConvTranspose2d():
                return nn.ConvTranspose2d(
                    layer.in_channels, layer.out_channels, 4, stride=2, padding=1
                )
        return layer

    return nn.Sequential(*map(plain, layers))


def adam(network: nn.Module, config: ExperimentConfig) -> torch.optim.Adam:
    model = config.model
    return torch.optim.Adam(
        network.parameters(), lr=model.learning_rate, betas=(model.beta1, model.beta2)
    )


def picture_folder(pictures: Path, config: ExperimentConfig) -> Any:
    """torchvision's ImageFolder: decoded, resized, cropped and moved to [-1, 1] each time that they are asked for."""
    from torchvision import datasets, transforms

    steps: list[Any] = [
        transforms.Resize(config.image_size),
        transforms.CenterCrop(config.image_size),
    ]
    steps += [transforms.Grayscale()] if config.channels == 1 else []
    steps += [
        transforms.ToTensor(),
        transforms.Normalize(*np.full((2, config.channels), 0.5).tolist()),
    ]
    return datasets.ImageFolder(str(pictures), transform=transforms.Compose(steps))


def picture_loader(pictures: Path, config: ExperimentConfig) -> Any:
    return torch.utils.data.DataLoader(
        picture_folder(pictures, config),
        batch_size=config.training.batch_size,
        shuffle=True,
        num_workers=WORKERS,
        drop_last=True,
    )
