"""Square crops as the JPEG files in which data sets and predictions keep them."""

import numpy as np
import simplejpeg
from jaxtyping import UInt8

QUALITY = 90


def encode(image: UInt8[np.ndarray, "side side 3"], quality: int = QUALITY) -> bytes:
    """The RGB crop as a JPEG file with 4:2:0 colour."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling="420"
    )


def black(size: int, quality: int = QUALITY) -> bytes:
    """The crop of a frame before which no face is known."""
    return encode(np.zeros((size, size, 3), np.uint8), quality)
