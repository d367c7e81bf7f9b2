"""A stand-in for Apple's MPS device, which computes on the CPU and refuses what MPS refuses.

Tensors on it are wrappers that report `device="mps"`. As on MPS there is no float64, tensors of
different devices do not mix, and NumPy cannot read them. The operations that ran are recorded, to
compare them with those that PyTorch implements for MPS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torchgen
import yaml
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map

MPS = torch.device("mps", 0)
# They read tensors of two devices.
_TRANSFERS = ("aten::copy_", "aten::index.Tensor", "aten::_index_put_impl_")
_TO_DEVICE = (torch.Tensor.to, torch.Tensor.cpu)
_RealGenerator = torch.Generator


class MpsTensor(torch.Tensor):
    """A tensor on the stand-in; `held` has its values, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> MpsTensor:
        if held.dtype == torch.float64:
            raise TypeError("MPS does not support float64")
        wrapper: MpsTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="cpu",
        )
        wrapper.held = held
        return wrapper

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return MPS

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, *_: Any) -> MpsTensor:
        return MpsTensor(inner["held"])

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        name = func._schema.name
        if func._overloadname != "default":
            name += f".{func._overloadname}"
        others = [each for each in tensors if not isinstance(each, MpsTensor) and each.dim() > 0]
        # Autograd itself makes zeros on the wrapper's device, which is the CPU.
        is_backward = torch._C._current_autograd_node() is not None
        if others and not is_backward and not name.startswith(_TRANSFERS):
            raise RuntimeError(f"{name}: tensors on mps and on the CPU")
        operations.add(name)
        held_args, held_kwargs = tree_map(_unwrap, (args, kwargs))
        wrapped = tree_map(_wrap, func(*held_args, **held_kwargs))
        return return_and_correct_aliasing(func, args, kwargs, wrapped)


class MpsGenerator(_RealGenerator):
    """A generator of the CPU that reports the device it was made for."""

    def __new__(cls, device: Any = "cpu") -> MpsGenerator:
        generator: MpsGenerator = _RealGenerator.__new__(cls)
        generator.reported = torch.device(device)  # type: ignore[attr-defined]
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.reported  # type: ignore[attr-defined, no-any-return]


operations: set[str] = set()


class _Functions(TorchFunctionMode):
    """Makes tensors on the stand-in, and moves them to and from it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _TO_DEVICE:
            return _move(func, args, kwargs)
        if _is_mps(kwargs.get("device")) and func is not torch._C._nn._parse_to:
            return tree_map(_wrap, func(*args, **kwargs | {"device": "cpu"}))
        if func is torch.Tensor.numpy and isinstance(args[0], MpsTensor):
            raise TypeError("NumPy cannot read a tensor on mps")
        if func is torch.Tensor.tolist:
            return _unwrap(args[0]).tolist()
        return func(*args, **kwargs)


def _move(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Compute `Tensor.to` and `Tensor.cpu`, without gradients if the device changes."""
    tensor: Tensor = args[0]
    target = torch.device("cpu") if func is torch.Tensor.cpu else tensor.device
    given = [*args[1:], *kwargs.values()]
    for place, value in enumerate(given):
        if isinstance(value, Tensor):
            target, given[place] = value.device, value.dtype
        elif isinstance(value, str | torch.device):
            target = torch.device(value)
    dtype = next((value for value in given if isinstance(value, torch.dtype)), tensor.dtype)
    layout = kwargs.get("memory_format", torch.preserve_format)
    if _is_mps(target) == isinstance(tensor, MpsTensor):
        return tensor.to(dtype=dtype, memory_format=layout)
    held = tensor.held if isinstance(tensor, MpsTensor) else tensor
    copied = held.detach().to(dtype=dtype, copy=True, memory_format=layout)
    return MpsTensor(copied) if _is_mps(target) else copied


def _is_mps(device: Any) -> bool:
    return device is not None and torch.device(device).type == "mps"


def _wrap(value: Any) -> Any:
    is_held = isinstance(value, Tensor) and not isinstance(value, MpsTensor)
    return MpsTensor(value) if is_held else value


def _unwrap(value: Any) -> Any:
    return value.held if isinstance(value, MpsTensor) else value


@contextmanager
def mps_like() -> Iterator[set[str]]:
    """Let PyTorch find the stand-in as MPS, and no CUDA; yield the names of its operations."""
    operations.clear()
    with (
        mock.patch.object(torch.backends.mps, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        mock.patch.object(torch.mps, "synchronize"),
        mock.patch.object(torch.mps, "driver_allocated_memory", return_value=10**6),
        mock.patch.object(torch, "Generator", MpsGenerator),
        # Modules make new parameters if the device changes.
        mock.patch.object(torch, "_has_compatible_shallow_copy_type", return_value=False),
        _Functions(),
    ):
        yield operations


@cache
def _native_functions() -> dict[str, Any]:
    path = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    with path.open(encoding="utf-8") as file:
        entries = yaml.load(file, yaml.CSafeLoader)
    return {entry["func"].partition("(")[0]: entry for entry in entries}


def is_implemented(operation: str) -> bool:
    """Return whether PyTorch has a kernel of an operation, such as `aten::add.Tensor`, for MPS."""
    functions = _native_functions()
    entry = functions.get(operation.removeprefix("aten::"))
    if entry is None:
        return True  # generated from another function
    if "structured_delegate" in entry:
        entry = functions[entry["structured_delegate"]]
    if "dispatch" not in entry:
        return True  # composed of others
    keys = ", ".join(entry["dispatch"]).split(", ")
    return "MPS" in keys or any(key.startswith("Composite") for key in keys)
