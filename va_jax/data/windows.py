"""Which frames make a window: the arithmetic from track lengths to windows for training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from va_jax.types import InputError, Track

REMAINDERS = ("pad", "drop", "shift")


class Window(NamedTuple):
    """`length` frames of track number `track`: first, first + stride, ... (see `numbers`)."""

    track: int  # index into the source's tracks; -1 is padding: no frame of it exists
    first: int


PADDING = Window(track=-1, first=0)


def numbers(window: Window, length: int, stride: int) -> np.ndarray:
    """Frame numbers [length] of a window; those below 0 and past the track's end are padding."""
    return window.first + stride * np.arange(length)


def real_frames(tracks: Sequence[Track], window: Window, numbers: np.ndarray) -> slice:
    """Which of a window's frame numbers lie within its track: they stand side by side."""
    if window.track < 0:
        return slice(0, 0)
    start, stop = np.searchsorted(numbers, [0, tracks[window.track].frames])
    return slice(int(start), int(stop))


def training_windows(
    tracks: Sequence[Track], length: int, hop: int, stride: int, remainder: str
) -> list[Window]:
    """Windows every `hop` frames of every track, in track order.

    `remainder` says what becomes of the frames behind the last whole window: `pad` adds a window
    that runs past the end (masked there), `drop` leaves them out, `shift` adds a window that ends
    with the last frame. A track shorter than one window is an InputError unless padding is asked.
    """
    span = (length - 1) * stride + 1
    windows = []
    for index, track in enumerate(tracks):
        if track.frames < span and remainder != "pad":
            raise InputError(
                f"window.length={length} with stride {stride} is longer than track "
                f"{track.track_id!r} ({track.frames} frames); lower it or set "
                "window.remainder='pad'"
            )
        firsts = list(range(0, max(track.frames - span, 0) + 1, hop))
        left_over = track.frames - (firsts[-1] + span)
        if left_over > 0 and remainder == "pad":
            firsts.append(firsts[-1] + hop)
        elif left_over > 0 and remainder == "shift":
            firsts.append(track.frames - span)
        windows += [Window(index, first) for first in firsts]
    return windows
