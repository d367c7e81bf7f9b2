"""Batch norm over the whole batch of several processes (Ioffe & Szegedy, 2015).

torch.nn.SyncBatchNorm refuses tensors on the CPU and replaces the modules of a network. This mode
works on any device and leaves the network as it is.
"""

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
    """Within this mode, F.batch_norm uses means and variances over all processes."""

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
        weight: Tensor | None,
        bias: Tensor | None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Compute F.batch_norm of inputs (batch, channel, …)."""
        if not training:
            return F.batch_norm(
                inputs, running_mean, running_var, weight, bias, training, momentum, eps
            )
        if weight is None:
            weight = torch.ones(inputs.shape[1], device=inputs.device)
        if bias is None:
            bias = torch.zeros(inputs.shape[1], device=inputs.device)
        outputs: Tensor
        outputs, mean, variance = _SyncBatchNormFunction.apply(
            inputs, weight, bias, eps, self._processes
        )
        if running_mean is not None and running_var is not None:
            count = self._processes.world_size * inputs.numel() / inputs.shape[1]
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
        return outputs


class _SyncBatchNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float, processes: ProcessGroup
    ) -> tuple[Tensor, Tensor, Tensor]:
        local = torch.var_mean(inputs.float(), dim=_dims_except_channels(inputs), correction=0)
        variances, means = processes.all_gather(torch.stack(local)).unbind(dim=1)
        mean = means.mean(dim=0)
        # Not E[x²] - E[x]², which loses digits to cancellation.
        variance = (variances + (means - mean).square()).mean(dim=0)
        ctx.save_for_backward(inputs, weight, mean, variance)
        ctx.eps, ctx.processes = eps, processes
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, variance = ctx.saved_tensors
        shape = (1, -1, *[1] * (inputs.dim() - 2))
        scale = (variance + ctx.eps).rsqrt()
        normalized = (inputs.float() - mean.view(shape)) * scale.view(shape)
        grad_outputs = grad_outputs.float()
        dims = _dims_except_channels(inputs)
        grad_bias = grad_outputs.sum(dim=dims)
        grad_weight = (grad_outputs * normalized).sum(dim=dims)
        # Each output depends on all images of all processes, through the mean and the variance.
        sums = torch.stack([grad_bias, grad_weight])
        ctx.processes.all_reduce_sum(sums)
        count = ctx.processes.world_size * inputs.numel() / inputs.shape[1]
        through_mean, through_variance = sums / count
        grad_inputs = (
            grad_outputs - through_mean.view(shape) - normalized * through_variance.view(shape)
        )
        grad_inputs = grad_inputs * (weight * scale).view(shape)
        return grad_inputs.to(inputs.dtype), grad_weight, grad_bias, None, None


def _dims_except_channels(inputs: Tensor) -> list[int]:
    return [0, *range(2, inputs.dim())]
