"""Image files: upright pixels, or one line that names the file."""

import pathlib
import struct
import zlib

import cv2
import numpy as np
import pytest

from va_jax.types import InputError
from va_jax.video.image import decode_image, decode_jpeg, read_bytes


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file with a header but almost no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
              (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]  # fmt: skip
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_png_is_decoded_to_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_image(pathlib.Path("a.png"), data), pixels)


@pytest.mark.parametrize("side", [60_000, 40_000, 20_000])
def test_a_huge_png_is_refused_before_it_is_decoded(side):
    with pytest.raises(InputError, match=rf"a\.png: {side}x{side} pixels") as caught:
        decode_image(pathlib.Path("a.png"), png_header(side, side))
    assert "\n" not in str(caught.value)


def test_a_huge_jpeg_is_refused_before_it_is_decoded():
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(InputError, match=r"a\.jpg: 60000x60000 pixels"):
        decode_jpeg(pathlib.Path("a.jpg"), bytes(data))


@pytest.mark.parametrize("decode", [decode_image, decode_jpeg])
@pytest.mark.parametrize("data", [b"", b"no image" * 9, b"\x89PNG", png_header(0, 5), b"\xff\xd8"])
def test_a_damaged_image_is_one_line(decode, data):
    with pytest.raises(InputError, match=r"^b\.png: [^\n]+$"):
        decode(pathlib.Path("b.png"), data)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.png: .*"):
        read_bytes(tmp_path / "absent.png")
