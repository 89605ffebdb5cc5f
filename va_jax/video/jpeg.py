"""Encode square crops as the JPEG files in which data sets and predictions keep them."""

import numpy as np
import simplejpeg
from jaxtyping import UInt8

QUALITY = 90


def encode(image: UInt8[np.ndarray, "side side 3"], quality: int = QUALITY) -> bytes:
    """Encode an RGB crop as JPEG with 4:2:0 chroma subsampling."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling="420"
    )


def encode_black(size: int, quality: int = QUALITY) -> bytes:
    """Encode the black crop that stands for a frame before the first known face."""
    return encode(np.zeros((size, size, 3), np.uint8), quality)
