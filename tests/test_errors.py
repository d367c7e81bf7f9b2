"""Foreign text in messages is short, one line and free of control characters."""

from __future__ import annotations

import io
import zipfile
from ast import literal_eval

import pytest
from PIL import Image

from latentbench.errors import printable, quote, reason


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "a\nb\x1b[31mred\r\u202e\ud800", "'\"\\", "", "猫"]
)
def test_a_quote_is_short_and_printable(text: str) -> None:
    shown = quote(text)
    assert shown.isprintable()
    assert len(shown) <= 6 * 80 + 2
    if len(text) <= 80:
        assert literal_eval(shown) == text


def test_a_long_message_is_cut() -> None:
    assert len(printable("é" * 100_000)) == 2_000
    assert printable("a\tb\u202e") == r"a\tb\u202e"


def test_a_reason_is_one_line_without_addresses() -> None:
    with pytest.raises(OSError, match="0x") as raised:
        Image.open(io.BytesIO(b"no image"))
    assert reason(raised.value) == "cannot identify image file"
    assert reason(zipfile.BadZipFile("first\nsecond\x1b.")) == "first second\\x1b"
    assert reason(EOFError()) == "EOFError"
    assert len(reason(ValueError("y" * 10_000))) == 200
