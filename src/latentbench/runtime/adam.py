"""Adam (Kingma & Ba, 2015) over PyTorch's own fused kernels, with its state as named tensors.

`torch.optim.Adam` imports torch._dynamo when it is constructed, which takes longer than the rest of a job's
start, and keeps its state in a form that wants pickling. This holds the same numbers and calls the same kernels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup


class Adam:
    """One learning rate for all parameters; `learning_rate` may be assigned between steps, `processes` before them."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.weight_decay = weight_decay
        self.processes: ProcessGroup = SINGLE_PROCESS
        self.first_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> Tensor:
        """Move the parameters against their gradients, then forget these; the norm that all of them had together.

        Where several processes learn from one batch, the gradients are the means over them.
        """
        gradients = [parameter.grad for parameter in self.parameters]
        if any(gradient is None for gradient in gradients):
            raise RuntimeError("a parameter took no part in the loss")
        if self.processes.world_size > 1:
            # In place: the kernel takes gradients to lie in memory as their parameters do.
            torch._foreach_copy_(gradients, self.processes.all_reduce_mean(gradients))  # type: ignore[arg-type]
        norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()  # type: ignore[arg-type]
        adam(
            list(self.parameters),
            gradients,  # type: ignore[arg-type]
            self.first_moments,
            self.second_moments,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on beside parameters and gradients."""
        groups = {"first": self.first_moments, "second": self.second_moments, "step": self.steps}
        return {
            f"{name}/{index}": tensor
            for name, group in groups.items()
            for index, tensor in enumerate(group)
        }

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
