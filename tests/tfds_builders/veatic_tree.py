"""Small copies of VEATIC whose faces are coloured squares, and what was built from them."""

import shutil

import numpy as np
import simplejpeg

from tests.tfds_builders.layouts import build_set, write_text
from tests.tfds_builders.squares import CYCLE, colour_of, frame_of, write_squares

LEFT, RIGHT = (50, 48), (140, 48)


def values(number, frames):
    """Return labels that differ in every frame and video: valence, arousal."""
    n = np.arange(frames)
    return np.stack([n / 200 + number / 1000, -n / 100 - number / 1000], 1)


def add_labels(root, number, frames):
    for column, dim in enumerate(("valence", "arousal")):
        rows = "".join(f"{n},{v[column]:.6f}\n" for n, v in enumerate(values(number, frames)))
        write_text(root / "rating_averaged" / f"{number}_{dim}.csv", rows)


def add(root, number, frames=20, faces=lambda n: {"red": LEFT}, **options):
    """Write a video and its labels."""
    write_squares(root / "video" / f"{number}.mp4", frames, faces, **options)
    add_labels(root, number, frames)


def built(tmp_path, *options):
    return build_set(tmp_path, "veatic", *options)


def seen(track):
    """Return (colour, frame number) of each crop that shows a face, None for the others."""
    images = [simplejpeg.decode_jpeg(each) for each in track["frames"]]
    return [
        (colour_of(image), frame_of(image)) if face else None
        for image, face in zip(images, track["face"], strict=True)
    ]


def shows(colour, *frames):
    return [(colour, n % CYCLE) for n in range(*frames)]


def pairs(root, count=1):
    """Write ids 98 to 98 + 2 * count - 1, of which the nth and the nth from the end are pairs."""
    numbers = list(range(98, 98 + 2 * count))
    for low, high in zip(numbers[:count], numbers[: count - 1 : -1], strict=True):
        shift = 4 * (low - 98)
        add(root, low, 20 + low % 7, lambda n, x=shift: {"red": (50 + x, 48), "blue": RIGHT})
        add_labels(root, high, 20 + low % 7)
        shutil.copy(root / "video" / f"{low}.mp4", root / "video" / f"{high}.mp4")
