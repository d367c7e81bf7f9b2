"""A reproducible workbench for latent-variable image models.

>>> import latentbench as lb
>>> model = lb.load_model("results/demo/vae")
>>> lb.grid(model.sample(16))
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentbench.data.prepared import open_dataset
    from latentbench.inference.checkpoints import load_model
    from latentbench.inference.pictures import grid
    from latentbench.results.study import open_study

__all__ = ["grid", "load_model", "open_dataset", "open_study"]

_MODULES = {
    "grid": "latentbench.inference.pictures",
    "load_model": "latentbench.inference.checkpoints",
    "open_dataset": "latentbench.data.prepared",
    "open_study": "latentbench.results.study",
}

if sys.platform == "darwin":
    # Operations that MPS lacks run on the CPU. PyTorch reads this when it is imported.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def __getattr__(name: str) -> Any:
    # Imported on first use: no stage waits for pandas, and no notebook for torch.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
