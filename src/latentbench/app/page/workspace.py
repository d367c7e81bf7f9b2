"""What a visitor of the page has chosen: a dataset, models, uploaded pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from nicegui import background_tasks, ui
from PIL import Image

from latentbench.app.explorer import Explorer
from latentbench.data.image_grid import Images, image_grid

MAX_SHOWN = 6  # models, until the user chooses others
CARD_GAP = 1  # pixels between the images of a card
# A transparent pixel, for an image that is not there yet.
NO_IMAGE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@dataclass
class Workspace:
    """The explorer of the chosen dataset and the names of the chosen models."""

    study: str
    explorers: dict[str, Explorer]
    dataset: str
    names: list[str] = field(default_factory=list)
    tab: str = ""

    def __post_init__(self) -> None:
        self.choose(self.dataset)

    def choose(self, dataset: str) -> None:
        """Explore another dataset, with its first models."""
        self.dataset = dataset
        self.names = list(self.explorer.models)[:MAX_SHOWN]

    @property
    def explorer(self) -> Explorer:
        """The models of the chosen dataset."""
        return self.explorers[self.dataset]


class Latest:
    """Runs an update for the latest request only.

    While one runs, requests are remembered as one: no queue grows while a slider moves.
    """

    def __init__(self, update: Callable[[], Awaitable[None]]) -> None:
        self._update = update
        self._is_requested = False
        self._is_running = False

    def request(self, *_: Any) -> None:
        """Run the update now, or once more after the one that runs."""
        self._is_requested = True
        if not self._is_running:
            background_tasks.create(self._run(), name="update of a view")

    async def _run(self) -> None:
        self._is_running = True
        try:
            while self._is_requested:
                self._is_requested = False
                await self._update()
        finally:
            self._is_running = False


def data_url(images: Images, *, columns: int) -> str:
    """Return images, uint8 (number, height, width, channel), as a PNG in a data URL."""
    pixels = image_grid(images, columns=columns, gap=CARD_GAP)
    content = png(Image.fromarray(_squeeze(pixels)))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def set_image(element: Any, url: str) -> None:
    """Show a picture in an element of `image`, or none for NO_IMAGE."""
    element.props["src"] = url
    element.update()


def image(alternative: str, classes: str) -> Any:
    """Return an `img` without a picture yet. Quasar's own element fades each change in."""
    found = ui.element("img").classes(classes)
    found.props["src"] = NO_IMAGE
    found.props["alt"] = alternative
    return found


def png(picture: Image.Image, script: str = "") -> bytes:
    """Return a PNG, with the lines of Python that make it as its text `Source`."""
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    if script:
        about.add_itxt("Source", script)
    content = io.BytesIO()
    # The page's pictures are small, and the highest compression takes longer than their decoding.
    picture.save(content, format="png", pnginfo=about, compress_level=6 if script else 1)
    return content.getvalue()


def gif(frames: list[Image.Image], milliseconds: int) -> bytes:
    """Return frames as an endless GIF."""
    content = io.BytesIO()
    frames[0].save(
        content,
        format="gif",
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
    )
    return content.getvalue()


def _squeeze(pixels: Images) -> Images:
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
