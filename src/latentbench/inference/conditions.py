"""Labels of the user as the vectors that a model is conditioned on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.errors import ArgumentError, list_names, quote

Label = str | int | Mapping[str, float] | Sequence[float]
LabelInput = Label | Sequence[Label] | np.ndarray[Any, np.dtype[Any]] | Tensor


def label_vectors(labels: LabelInput, names: Sequence[str]) -> Tensor:
    """Return labels as float32 (number, num_labels), or (num_labels,) for a single one.

    Args:
        labels: A class as its name or index; attributes as a name, several names separated by
            commas, or a dict from names to values, where missing ones are 0; or an array (...,
            num_labels), whose rows may mix classes. A list has a label per image, an array of
            integers (number,) has indices.
        names: The classes or attributes of the model.

    Raises:
        ArgumentError: A name or index is unknown, or an array has another shape.
    """
    if isinstance(labels, str | int | np.integer | Mapping):
        return _vector(labels, names)
    if isinstance(labels, np.ndarray) and labels.dtype.kind not in "biuf":
        labels = labels.tolist()  # names
    if isinstance(labels, np.ndarray | Tensor):
        # A copy of an array: PyTorch takes none that is read-only or has negative strides.
        tensor = labels if isinstance(labels, Tensor) else torch.from_numpy(np.array(labels))
        return _from_array(tensor.detach().cpu(), names)
    if not isinstance(labels, Iterable):
        raise _unknown(labels, names)
    found = list(labels)
    if found and all(isinstance(label, float) for label in found):
        return _from_array(torch.tensor(found), names)
    if not found:
        return torch.zeros(0, len(names))
    return torch.stack([_vector(label, names) for label in found])


def _vector(label: Any, names: Sequence[str]) -> Tensor:
    """Return the vector (num_labels,) of one label."""
    if isinstance(label, str):
        return _from_names(label, names)
    if isinstance(label, Mapping):
        vector = torch.zeros(len(names))
        for name, value in label.items():
            vector[_index(name, names)] = _number(value)
        return vector
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return torch.eye(len(names))[_index(int(label), names)]
    try:
        array = label.detach().cpu() if isinstance(label, Tensor) else torch.tensor(np.array(label))
    except (TypeError, ValueError):
        raise _unknown(label, names) from None
    if array.ndim == 0 and not array.is_floating_point():
        return torch.eye(len(names))[_index(int(array), names)]
    if array.shape != (len(names),):
        raise _unknown(label, names)
    return _finite(array)


def _from_names(label: str, names: Sequence[str]) -> Tensor:
    """Return the vector of a class, or of attributes such as `Smiling, Young` or `none`."""
    if label in names:
        return torch.eye(len(names))[names.index(label)]
    vector = torch.zeros(len(names))
    if label != "none":
        for name in label.split(","):
            vector[_index(name.strip(), names)] = 1
    return vector


def _index(label: Any, names: Sequence[str]) -> int:
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, int) and 0 <= label < len(names):
        return label
    raise _unknown(label, names)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentError(f"A label has the value {quote(value)}; give a finite number.")
    return number


def _from_array(labels: Tensor, names: Sequence[str]) -> Tensor:
    """Return the vectors of an array of indices (number,) or of vectors (..., num_labels)."""
    if labels.ndim <= 1 and not labels.is_floating_point() and labels.dtype != torch.bool:
        indices = [_index(int(label), names) for label in labels.reshape(-1)]
        vectors = torch.eye(len(names))[indices]
        return vectors if labels.ndim else vectors[0]
    if labels.ndim == 0 or labels.shape[-1] != len(names):
        raise ArgumentError(
            f"Labels have the shape {tuple(labels.shape)}; give indices (number,) or vectors "
            f"(number, {len(names)}) of {list_names(names)}."
        )
    return _finite(labels)


def _finite(vectors: Tensor) -> Tensor:
    """Return vectors as float32; raise ArgumentError if a number is infinite or NaN."""
    if vectors.is_complex() or not bool(vectors.isfinite().all()):
        raise ArgumentError(
            "A label has a value that is complex, infinite or nan; give finite numbers."
        )
    return vectors.float()


def _unknown(label: Any, names: Sequence[str]) -> ArgumentError:
    return ArgumentError(
        f"The label {quote(label)} is unknown; the model's labels are {list_names(names)}."
    )
