"""Lines of Python that make a view's picture with the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import indent

from latentbench.app.explorer import Explorer, Labels, Picture

# Start and end of the lines that save frames as an animation.
SAVE_GIF = (
    'frames[0].save("{name}.gif", save_all=True, append_images=frames[1:], '
    "duration={milliseconds}, loop=0)"
)
FIND = "find = model.encode if model.has_encoder else model.invert"


def load_lines(explorer: Explorer, names: Sequence[str], *, arrays: bool = False) -> list[str]:
    """Return the lines that load models; with `arrays`, also those of the study."""
    folder = explorer.folder.as_posix()
    device = "" if explorer.device == "auto" else f", device={explorer.device!r}"
    lines = ["import numpy as np", "", "import latentbench as lb", ""]
    if arrays:
        lines.append(f"study = lb.open_study({folder!r})")
    return [
        *lines,
        f"names = {list(names)!r}",
        f"models = {{name: lb.load_model({folder + '/'!r} + name{device}) for name in names}}",
    ]


def picture_lines(explorer: Explorer, pictures: Mapping[str, Picture]) -> list[str]:
    """Return the lines that read pictures into variables of these names."""
    lines = []
    if any(picture.code.startswith("data.") for picture in pictures.values()):
        folder = (explorer.data_folder / explorer.dataset).as_posix()
        lines.append(f"data = lb.open_dataset({folder!r})")
    return [*lines, *(f"{name} = {picture.code}" for name, picture in pictures.items())]


def label_lines(
    variable: str, by_model: Mapping[str, Labels | None], keyword: str = "labels"
) -> tuple[list[str], str]:
    """Return the line that defines labels by model, and the argument that passes those of `name`.

    Nothing and an empty argument where no model takes labels.
    """
    given = {name: dict(labels) for name, labels in by_model.items() if labels is not None}
    if not given:
        return [], ""
    return [f"{variable} = {given!r}"], f", {keyword}={variable}.get(name)"


def block(header: str, lines: Iterable[str]) -> list[str]:
    """Return a header with its indented lines."""
    return [header, *indent("\n".join(lines), "    ").split("\n")]


def join(*parts: Iterable[str]) -> str:
    """Return the lines of all parts as text, with empty lines between the parts."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
