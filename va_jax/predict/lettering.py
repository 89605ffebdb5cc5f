"""Text on pictures: anti-aliased, each string rendered once."""

import functools
import pathlib

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ImageFont

Colour = tuple[int, int, int]

FONT = "fonts/ttf/DejaVuSans.ttf"
"""Of matplotlib. Digits and signs are of one width, so numbers do not jump; most scripts are in."""

MINUS = "\N{MINUS SIGN}"  # as wide as a plus

REMEMBERED = 4096
"""Strings kept: numbers of two digits, for some dimensions."""


def width(text: str, size: int) -> int:
    """Of the text in pixels, as `write` places it; `size` is that of the font in pixels."""
    return rendered(text, size).shape[1]


def height(size: int) -> int:
    """Of a line, from above the tallest letter to below the deepest."""
    return sum(_font(size).getmetrics())


def write(
    image: UInt8[np.ndarray, "height width 3"], text: str, x: int, y: int, size: int, colour: Colour
) -> None:
    """Put text on the image, its upper left corner at (x, y); what lies outside is cut off."""
    share = rendered(text, size)
    top, left = max(-y, 0), max(-x, 0)
    under = image[max(y, 0) : max(y + share.shape[0], 0), max(x, 0) : max(x + share.shape[1], 0)]
    share = share[top : top + under.shape[0], left : left + under.shape[1], None]
    under[:] = under + (np.array(colour, np.float32) - under) * share


@functools.lru_cache(maxsize=REMEMBERED)
def rendered(text: str, size: int) -> Float[np.ndarray, "height width"]:
    """How much of each pixel the text covers."""
    font = _font(size)
    mask, (left, top) = font.getmask2(text, mode="L")
    wide, tall = mask.size
    out = np.zeros((height(size), max(round(font.getlength(text)), left + wide, 1)), np.float32)
    cover = np.asarray(mask, np.float32).reshape(tall, wide) / 255
    room = out[top : top + tall, left : left + wide]
    room[:] = cover[: room.shape[0], : room.shape[1]]
    return out


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # which takes a while, and most commands write no text

    return ImageFont.truetype(str(pathlib.Path(matplotlib.get_data_path()) / FONT), size)
