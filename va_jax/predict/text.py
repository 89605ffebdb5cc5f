"""Text on images: anti-aliased, each string rendered once."""

import functools
import pathlib

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ImageFont

Colour = tuple[int, int, int]

FONT = "fonts/ttf/DejaVuSans.ttf"
"""Ships with matplotlib. Its digits and signs have one width, so numbers do not jump."""

MINUS = "\N{MINUS SIGN}"  # as wide as a plus


def width(text: str, size: int) -> int:
    """Return the width of a text in pixels; `size` is that of the font in pixels."""
    return rendered(text, size).shape[1]


def height(size: int) -> int:
    """Return the height of a line in pixels, from the tallest letter to the deepest."""
    return sum(_font(size).getmetrics())


def write(
    image: UInt8[np.ndarray, "height width 3"], text: str, x: int, y: int, size: int, colour: Colour
) -> None:
    """Write text on the image, its upper left corner at (x, y); parts outside are cut off."""
    cover = rendered(text, size)
    top, left = max(-y, 0), max(-x, 0)
    under = image[max(y, 0) : max(y + cover.shape[0], 0), max(x, 0) : max(x + cover.shape[1], 0)]
    cover = cover[top : top + under.shape[0], left : left + under.shape[1], None]
    under[:] = under + (np.array(colour, np.float32) - under) * cover


@functools.lru_cache(maxsize=4096)  # numbers with two digits, for some dimensions
def rendered(text: str, size: int) -> Float[np.ndarray, "height width"]:
    """Return the share of each pixel that the text covers."""
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
    import matplotlib  # slow to import, and most commands write no text

    return ImageFont.truetype(str(pathlib.Path(matplotlib.get_data_path()) / FONT), size)
