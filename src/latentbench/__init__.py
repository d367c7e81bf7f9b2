"""A reproducible workbench for latent-variable image models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentbench.results.study import open_study

__all__ = ["open_study"]


def __getattr__(name: str) -> Any:
    # Imported on first use: no stage waits for pandas.
    if name in __all__:
        from latentbench.results import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
