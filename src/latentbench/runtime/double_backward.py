"""Networks whose gradient can be differentiated again at the cost of differentiating it once.

PyTorch's second derivative of a convolution finds the gradient of its weights by a convolution with a kernel as large
as a feature map, for which no backend has fast code. But the gradient of the input is a transposed convolution, and
where autograd sees it as one, its derivative is of the ordinary, fast kind; StyleGAN2-ADA's `conv2d_gradfix` (Karras
et al., 2020) rests on the same fact. A leaky ReLU's second derivative is zero, yet PyTorch fills tensors with that zero
and sends them back through the whole network.
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
    """What is computed within has a gradient with respect to its input that is cheap to differentiate.

    Values and derivatives are the same to rounding; other operations than those named here stay as they are.
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
            return inputs * torch.where(
                inputs.detach() > 0, inputs.new_ones(()), kwargs.get("negative_slope", 0.01)
            )
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
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            # Rows and columns at the end that the stride stepped over.
            left = [
                images.shape[2 + axis]
                - (gradients.shape[2 + axis] - 1) * ctx.stride[axis]
                + 2 * ctx.padding[axis]
                - ctx.dilation[axis] * (weight.shape[2 + axis] - 1)
                - 1
                for axis in (0, 1)
            ]
            of_images = F.conv_transpose2d(
                gradients, weight, None, ctx.stride, ctx.padding, tuple(left), 1, ctx.dilation
            )
        # The first of the two passes is after the gradient of the input alone, and is the one that builds a graph.
        if ctx.needs_input_grad[1] and not torch.is_grad_enabled():
            of_weight = conv2d_weight(
                images, weight.shape, gradients, ctx.stride, ctx.padding, ctx.dilation
            )
        return of_images, of_weight, None, None, None
