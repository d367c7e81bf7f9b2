"""Building blocks of the configuration schema."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# Names become folders, Snakemake wildcards and DVC stage names: no dots, slashes or spaces.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=200)]

# A training of an experiment: the first has its name, a further one its place in its folder.
TrainingName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/(repeats|search)/[1-9][0-9]*)?$", max_length=220),
]

# Numbers of things: libraries compute with them in 64 bits.
Count = Annotated[int, Field(le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _read_integer(value: Any) -> Any:
    """Return text of an integer as the integer, other values as they are."""
    is_integer = isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value)
    return int(value) if is_integer else value


# Literal integers, which unlike other integers pydantic never reads from text.
IntegerText = BeforeValidator(_read_integer)


class Section(BaseModel):
    """A part of params.yaml: immutable, without unknown keys, without type conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Compute(Section):
    """Where a stage computes. Both settings can change the last bits of its results."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description="`auto` is CUDA if there is a GPU, else MPS on a Mac, else the CPU.",
    )
    threads: int = Field(
        default=1, ge=1, le=1024, description="CPU threads of one job, whatever Snakemake grants."
    )


def union_members(union: Any) -> dict[str, Any]:
    """Return the classes of a discriminated union by their tags."""
    classes, field = get_args(union)
    members = {}
    for member in get_args(classes):
        for tag in get_args(member.model_fields[field.discriminator].annotation):
            members[tag] = member
    return members
