"""Objects as HTML, which notebooks show."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping

from PIL import Image

from latentbench.data.image_grid import Images, image_grid, to_pil

# Images of fewer pixels are enlarged to about this side.
_SHOWN_SIDE = 64


def html_table(title: str, rows: Mapping[str, object]) -> str:
    """Return a heading and a table with a row per entry, all text escaped."""
    cells = []
    for name, value in rows.items():
        cells.append(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        )
    return f"<h4>{html.escape(title)}</h4><table>{''.join(cells)}</table>"


def html_grid(images: Images, *, columns: int, label: str) -> str:
    """Return images, uint8 (number, height, width, channel), as an `img` element.

    `label` says what they show, for readers who do not see them.
    """
    picture = to_pil(image_grid(images, columns=columns))
    factor = max(1, _SHOWN_SIDE // images.shape[2])
    picture = picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
    content = io.BytesIO()
    picture.save(content, format="png")
    source = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{html.escape(label)}" src="data:image/png;base64,{source}">'


def describe_channels(channels: int) -> str:
    """Return `gray` or `color`."""
    return "gray" if channels == 1 else "color"
