"""Training the same networks without latentbench.

Each function takes a class folder of images and an experiment's config, and yields the steps per
second of each epoch. In a GAN, discriminator steps are counted.
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
from latentbench.models.networks.architectures import Decoder, Encoder, Shape
from latentbench.models.networks.channels_last import Flatten, ImageConvTranspose2d, Unflatten
from latentbench.models.networks.initialization import initialize_weights
from latentbench.rng import torch_generator

WORKERS = 2  # of the GANs' DataLoaders


def pytorch_example(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """Train as PyTorch's DCGAN example does.

    It has binary cross-entropy, torch.optim.Adam, separate discriminator passes for real and fake
    images, and computes the discriminator's gradients in the generator's step, too.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator, discriminator = (
        network.to(device) for network in gan_networks(config, batch_norm=True)
    )
    optimizers = [adam(network, config) for network in (generator, discriminator)]
    loss = nn.BCELoss()
    loader = picture_loader(pictures, config)
    batch, latent_dim = config.training.batch_size, config.model.latent_dim
    while True:
        start, count = None, 0
        for images, _ in loader:
            if start is None:  # starting the workers is not timed on either side
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
            # The example prints both losses at each step.
            _ = (real_loss + fake_loss).item(), generator_loss.item()
            count += 1
        assert start is not None
        yield count / (time.perf_counter() - start)


def pythae_trainer(pictures: Path, config: ExperimentConfig) -> Iterator[float]:
    """Train pythae's VAE with its BaseTrainer, from an ImageFolder.

    It has no workers, which is the default: on two cores they made it slower.
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
    """Train pythae's VAE from an array of floats in memory."""
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
    down, up = pytorch_layers(encoder.layers), pytorch_layers(Decoder(config.model, shape).layers)
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
            """Start the clock: pythae calls this before the first step of each epoch."""
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
    """Train mimicry's WGAN-GP with its Trainer.

    Its datasets and metrics cannot be imported (they need torch._six and TensorFlow) and are not
    needed, so they are replaced by empty modules.
    """
    for name in ("torch_mimicry.datasets", "torch_mimicry.metrics"):
        sys.modules[name] = ModuleType(name)
    from torch_mimicry.nets.wgan_gp.wgan_gp_base import WGANGPBaseDiscriminator, WGANGPBaseGenerator
    from torch_mimicry.training import Trainer

    model = config.model
    assert model.name == "wgan_gp"
    generator_layers, discriminator_layers = gan_networks(config, batch_norm=False)
    times: list[float] = []

    class TheGenerator(WGANGPBaseGenerator):
        def __init__(self) -> None:
            super().__init__(nz=model.latent_dim, ngf=model.width, bottom_width=4)
            self.layers = generator_layers

        def forward(self, latents: Tensor) -> Tensor:
            images: Tensor = self.layers(latents)
            return images

        def train_step(self, *words: Any, **named: Any) -> Any:
            """Record the time: a generator step follows n_dis steps of the discriminator."""
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
    cycles = len(loader) // model.n_critic
    generator, discriminator = TheGenerator(), TheDiscriminator()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            netD=discriminator,
            netG=generator,
            optD=adam(discriminator, config),
            optG=adam(generator, config),
            dataloader=loader,
            num_steps=2 * cycles,
            n_dis=model.n_critic,
            lr_decay="linear",
            log_dir=f"{folder}/log",
        ).train()
    # Times are those of generator steps, so the first cycle is not timed.
    yield (cycles - 1) * model.n_critic / (times[cycles - 1] - times[0])
    yield cycles * model.n_critic / (times[-1] - times[cycles - 1])


def shape_of(config: ExperimentConfig) -> Shape:
    return Shape(config.image_size, config.channels)


def gan_networks(config: ExperimentConfig, *, batch_norm: bool) -> tuple[nn.Module, nn.Module]:
    """Return a generator with its tanh and a discriminator with one score per image."""
    shape = shape_of(config)
    generator = nn.Sequential(*pytorch_layers(Decoder(config.model, shape).layers), nn.Tanh())
    encoder = Encoder(1, config.model, shape, batch_norm=batch_norm)
    discriminator = nn.Sequential(*pytorch_layers(encoder.layers), nn.Flatten(0))
    for network in (generator, discriminator):
        initialize_weights(network, config.model.initialization, torch_generator(0, "weights"))
    return generator, discriminator


def pytorch_layers(layers: nn.Sequential) -> nn.Sequential:
    """Return the network made of PyTorch's own layers; weights are not copied."""

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
    """Return torchvision's ImageFolder, which decodes and resizes an image whenever it is read."""
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
