"""A reproducible workbench for latent-variable image models."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentbench.results.study import open_study

__all__ = ["open_study"]

if sys.platform == "darwin":
    # Operations that MPS lacks run on the CPU. PyTorch reads this when it is imported.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def __getattr__(name: str) -> Any:
    # Imported on first use: no stage waits for pandas.
    if name in __all__:
        from latentbench.results import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
