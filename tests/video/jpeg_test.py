"""Crops as JPEG: the chroma subsampling, and how close they are to the image."""

import numpy as np
import simplejpeg

from va_jax.video import jpeg


def test_jpeg_is_420_and_close_to_the_image():
    y, x = np.mgrid[:48, :48].astype(np.float32)
    image = np.stack([100 + 2 * x, 150 - y, 80 + x + y], -1).astype(np.uint8)
    data = jpeg.encode(image[:, ::-1])
    assert simplejpeg.decode_jpeg_header(data)[2:] == ("YCbCr", "420")
    difference = simplejpeg.decode_jpeg(data).astype(float) - image[:, ::-1]
    assert np.abs(difference).mean() < 1.5
