"""Labels as names, indices, dicts and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from latentbench.errors import ArgumentError
from latentbench.inference.conditions import label_vectors

NAMES = ["cat", "dog", "fish, dried"]


@pytest.mark.parametrize(
    ("labels", "vector"),
    [
        ("dog", [0, 1, 0]),
        (1, [0, 1, 0]),
        (np.int64(2), [0, 0, 1]),
        (np.str_("cat"), [1, 0, 0]),
        ("fish, dried", [0, 0, 1]),
        ("cat, dog", [1, 1, 0]),
        ("none", [0, 0, 0]),
        ({"dog": 0.25, "cat": 0.75}, [0.75, 0.25, 0]),
        ({}, [0, 0, 0]),
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0]),
        (np.array([0.5, 0.5, 0.0]), [0.5, 0.5, 0]),
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array(1), [0, 1, 0]),
        (torch.tensor([0.5, 0.5, 0.0]), [0.5, 0.5, 0]),
    ],
)
def test_a_single_label(labels: Any, vector: list[float]) -> None:
    assert label_vectors(labels, NAMES).tolist() == vector


@pytest.mark.parametrize(
    "labels",
    [
        ["dog", "cat"],
        (1, 0),
        [1, "cat"],
        np.array([1, 0]),
        torch.tensor([1, 0]),
        np.array([[0, 1, 0], [1, 0, 0]]),
        np.array([0, 1])[::-1],
        np.broadcast_to(np.array([[0, 1, 0], [1, 0, 0]]), (2, 3)),
        np.array(["dog", "cat"]),
        [{"dog": 1}, [1.0, 0.0, 0.0]],
        [np.array([0, 1, 0]), torch.tensor([1.0, 0, 0])],
        [torch.tensor(1), np.int8(0)],
        iter(["dog", "cat"]),
    ],
)
def test_several_labels(labels: Any) -> None:
    assert label_vectors(labels, NAMES).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ("bird", "bird"),
        (3, "3"),
        (-1, "-1"),
        ({"bird": 1}, "bird"),
        ({"dog": "yes"}, "yes"),
        ({"dog": float("nan")}, "nan"),
        (np.array([[0.5, 0.5]]), r"\(1, 2\)"),
        (np.array([float("nan"), 0, 1]), "nan"),
        (torch.zeros(2, 3, dtype=torch.complex64), "complex"),
        ([None], "None"),
        (None, "None"),
        (2.5, "2.5"),
        ([0.5, 0.5], r"\(2,\)"),
        (np.array([5]), "5"),
        (object(), "object"),
    ],
)
def test_unknown_labels(labels: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part):
        label_vectors(labels, NAMES)
