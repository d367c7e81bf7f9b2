"""Networks as ONNX files, for programs that run without PyTorch.

The exporter is PyTorch's older one, which traces a network: for a decoder of 32×32 images it takes
0.3 s where the one based on torch.export takes 15 s, and it keeps the batch size variable. The ODE
of a diffusion model is unrolled: the file has all evaluations of its network, and its weights once.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from latentbench.artifacts.files import atomic_write, convert_disk_errors
from latentbench.errors import (
    ArgumentError,
    StorageError,
    UnsupportedError,
    list_names,
    quote,
    reason,
)
from latentbench.models.likelihoods import ContinuousBernoulli
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.channels_last import ImageConvTranspose2d
from latentbench.models.networks.initialization import fold_spectral_norm
from latentbench.models.networks.layers import BATCH_NORMS
from latentbench.models.objective import (
    HasDiscriminator,
    HasEncoder,
    HasPosterior,
    HasSampling,
    Objective,
)

if TYPE_CHECKING:
    from latentbench.inference.model import Model

Part = Literal["decoder", "encoder", "discriminator"]
PARTS: tuple[str, ...] = get_args(Part)
OPSET = 17
PRODUCER = "latentbench"
# The names of a file's tensors. The first dimension of each is the batch.
LATENTS, LABELS, IMAGES = "latents", "labels", "images"
CODES, LOG_VARIANCES, SCORES = "codes", "log_variances", "scores"
_TRACED_BATCH = 2


def export_model(model: Model, path: Path, part: str) -> None:
    """Write a part of a model as an ONNX file; see `Model.export`."""
    shape = Shape(model.config.image_size, model.config.channels, len(model.label_names))
    network = exportable(model.objective, part, shape, name=model.name)
    facts = {
        "model": model.name,
        "objective": model.config.model.name,
        "part": part,
        "epoch": model.epoch,
        "latent_dim": model.latent_dim,
        "image_size": shape.image_size,
        "channels": shape.channels,
        "label_names": model.label_names,
        "image_range": [-1, 1],
    }
    content = onnx_bytes(network, facts)
    try:
        with convert_disk_errors(path), atomic_write(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({reason(error)}).") from error


@dataclass(frozen=True)
class ExportableNetwork:
    """A network whose tensors have names.

    `inputs` are zeros of the right shapes, by name.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def exportable(objective: Objective, part: str, shape: Shape, *, name: str) -> ExportableNetwork:
    """Return a part of an objective in evaluation mode, on the CPU, made of plain layers.

    `name` is the model's, for errors.

    Raises:
        ArgumentError: There is no such part.
        UnsupportedError: The model does not have this part.
    """
    if part not in PARTS:
        raise ArgumentError(f"The part is {quote(part)}; give {list_names(PARTS)}.")
    available = ["decoder"]
    if isinstance(objective, HasEncoder):
        available.append("encoder")
    if isinstance(objective, HasDiscriminator):
        available.append("discriminator")
    if part not in available:
        raise UnsupportedError(f"{name} has no {part}; export its {list_names(available)}.")
    if isinstance(objective, HasSampling) and objective.sampling.churn:
        raise UnsupportedError(
            f"{name} adds noise on the way to an image, which a file cannot; export "
            "model.with_sampling(churn=0)."
        )
    plain = _with_plain_layers(objective)
    size = (shape.channels, shape.image_size, shape.image_size)
    inputs = {IMAGES: torch.zeros(_TRACED_BATCH, *size)}
    if part == "decoder":
        inputs = {LATENTS: torch.zeros(_TRACED_BATCH, objective.latent_dim)}
    if shape.num_labels:
        inputs[LABELS] = torch.zeros(_TRACED_BATCH, shape.num_labels)
    outputs: dict[str, tuple[str, ...]] = {
        "decoder": (IMAGES,),
        "encoder": (CODES, LOG_VARIANCES) if isinstance(objective, HasPosterior) else (CODES,),
        "discriminator": (SCORES,),
    }
    return ExportableNetwork(_Part(plain, part), inputs, outputs[part])


def onnx_bytes(network: ExportableNetwork, facts: Mapping[str, Any]) -> bytes:
    """Return a network as ONNX with a variable batch size; `facts` become metadata, as JSON.

    Raises:
        UnsupportedError: The package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise UnsupportedError(
            "An export needs the package onnx, which is not installed; install "
            "latentbench[onnx], or onnx itself."
        ) from None
    names = [*network.inputs, *network.outputs]
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter is deprecated, and it warns of branches on shapes that do not vary.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", message="Constant folding")
        torch.onnx.export(
            network.module,
            tuple(network.inputs.values()),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    model.producer_name = PRODUCER
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


class _Part(nn.Module):
    """One function of an objective as a module; labels may be left out of the inputs."""

    def __init__(self, objective: Objective, part: str) -> None:
        super().__init__()
        self.objective = objective
        self.part = part

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Any:
        """Return images, codes with their log-variances if there are some, or scores."""
        objective: Any = self.objective
        if labels is None:
            labels = inputs.flatten(1)[:, :0]
        if self.part == "decoder":
            return objective.decode(inputs, labels)
        if self.part == "encoder":
            has_posterior = isinstance(objective, HasPosterior)
            return (objective.posterior if has_posterior else objective.encode)(inputs, labels)
        return objective.discriminator(inputs, labels).flatten()


def _with_plain_layers(objective: Objective) -> Objective:
    """Return a copy whose layers compute the same in evaluation mode and can be exported."""
    plain = copy.deepcopy(objective).cpu().float().eval().requires_grad_(False)
    plain.optimizers = {}
    fold_spectral_norm(plain)
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ImageConvTranspose2d):
                setattr(module, name, _plain_transposed_convolution(child))
            elif isinstance(child, BATCH_NORMS) and not child.affine:
                # The exporter cannot always infer the number of channels.
                child.weight = nn.Parameter(torch.ones(child.num_features), requires_grad=False)
                child.bias = nn.Parameter(torch.zeros(child.num_features), requires_grad=False)
    if isinstance(plain, HasDiscriminator):
        _use_batch_statistics(plain.networks()["discriminator"])
    if isinstance(getattr(plain, "likelihood", None), ContinuousBernoulli):
        plain.likelihood = _ExponentialBernoulli()  # type: ignore[assignment]
    return plain


def _plain_transposed_convolution(layer: ImageConvTranspose2d) -> nn.ConvTranspose2d:
    plain = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, stride=2, padding=1)
    plain.load_state_dict(layer.state_dict())
    return plain.eval().requires_grad_(False)


def _use_batch_statistics(network: nn.Module) -> None:
    """Replace batch norm by layers that normalize with the batch's own mean and variance."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BATCH_NORMS):
                setattr(module, name, _BatchStatistics(child))


class _BatchStatistics(nn.Module):
    """Batch norm as `use_batch_stats` has it: onnxruntime has no such mode for inference."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, maps: Tensor) -> Tensor:
        """Normalize (batch, channel) or (batch, channel, height, width)."""
        dims = [0, 2, 3] if maps.ndim == 4 else [0]
        shape = (-1, 1, 1) if maps.ndim == 4 else (-1,)
        centered = maps - maps.mean(dim=dims, keepdim=True)
        variance = centered.square().mean(dim=dims, keepdim=True)
        scaled = centered / (variance + self.eps).sqrt()
        return scaled * self.weight.view(shape) + self.bias.view(shape)


class _ExponentialBernoulli(ContinuousBernoulli):
    """The same likelihood, with coth(a) = 1 + 2 / (exp(2a) - 1).

    onnxruntime's tanh has an error of 1e-5 near 0, which coth(a) - 1/a multiplies by ten.
    """

    def mean(self, outputs: Tensor) -> Tensor:
        """Return coth(a) - 1/a, with a = outputs."""
        is_small = outputs.abs() < 0.1
        safe = torch.where(is_small, torch.ones_like(outputs), outputs)
        series = outputs / 3 - outputs**3 / 45
        exact = 1 + 2 / ((2 * safe).exp() - 1) - 1 / safe
        return torch.where(is_small, series, exact)
