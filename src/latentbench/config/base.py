"""What every section of the configuration shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Names become folders, Snakemake wildcards and DVC stage names: no dots, slashes or spaces.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """A part of params.yaml: frozen, and strict about keys and types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Compute(Section):
    """Where a stage computes. Both values take part in the bits of its results."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` is CUDA where there is a GPU."
    )
    threads: int = Field(
        default=1, ge=1, description="CPU threads of one job, whatever the engine grants."
    )
