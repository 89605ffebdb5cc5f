"""Encode square crops as JPEG files, for storage in data sets and predictions."""

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
    """Encode a black crop, which represents a frame before the first known face."""
    return encode(np.zeros((size, size, 3), np.uint8), quality)
