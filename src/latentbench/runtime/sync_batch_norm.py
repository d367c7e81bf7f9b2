"""Batch norm by the statistics of a whole batch, of which each process holds a share (Ioffe & Szegedy, 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from latentbench.runtime.distributed import ProcessGroup


class SyncBatchNorm(TorchFunctionMode):
    """What is computed within normalizes by means and variances over all processes.

    PyTorch's SyncBatchNorm takes GPUs alone, and replaces the modules of a network; here the network stays as it is.
    """

    def __init__(self, processes: ProcessGroup) -> None:
        super().__init__()
        self._processes = processes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(  # noqa: PLR0913, PLR0917
        self,
        inputs: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """As F.batch_norm; inputs (batch, channel, …)."""
        if not training:
            return F.batch_norm(
                inputs, running_mean, running_var, weight, bias, training, momentum, eps
            )
        outputs: Tensor
        outputs, mean, variance = _SyncBatchNormFunction.apply(
            inputs, weight, bias, eps, self._processes
        )
        if running_mean is not None and running_var is not None:
            number = self._processes.world_size * inputs.numel() / inputs.shape[1]
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (number / (number - 1)), momentum)
        return outputs


class _SyncBatchNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float, processes: ProcessGroup
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.var_mean(inputs.float(), dim=_but_channels(inputs), correction=0)
        variances, means = processes.all_gather(torch.stack(own)).unbind(dim=1)
        mean = means.mean(dim=0)
        # By squares of what is left of each mean, not by E[x²] - E[x]², whose digits cancel.
        variance = (variances + (means - mean).square()).mean(dim=0)
        ctx.save_for_backward(inputs, weight, mean, variance)
        ctx.eps, ctx.processes = eps, processes
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, variance = ctx.saved_tensors
        shape = (1, -1, *[1] * (inputs.dim() - 2))
        scale = (variance + ctx.eps).rsqrt()
        normalized = (inputs.float() - mean.view(shape)) * scale.view(shape)
        gradients = gradients.float()
        dims = _but_channels(inputs)
        of_bias, of_weight = gradients.sum(dim=dims), (gradients * normalized).sum(dim=dims)
        # Each image's output depends on all images of all processes, by the mean and by the variance.
        shared = torch.stack([of_bias, of_weight])
        ctx.processes.all_reduce_sum(shared)
        by_mean, by_variance = shared / (
            ctx.processes.world_size * inputs.numel() / inputs.shape[1]
        )
        of_inputs = gradients - by_mean.view(shape) - normalized * by_variance.view(shape)
        of_inputs = of_inputs * (weight * scale).view(shape)
        return of_inputs.to(inputs.dtype), of_weight, of_bias, None, None


def _but_channels(inputs: Tensor) -> list[int]:
    return [dim for dim in range(inputs.dim()) if dim != 1]
