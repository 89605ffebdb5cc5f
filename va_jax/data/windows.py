"""Training windows: their positions in the tracks, and the numbers of their frames."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from va_jax.types import InputError, Track


class Window(NamedTuple):
    """A window in a track, starting at frame `first`; `frame_numbers` lists its frames."""

    track: int  # index into the source's tracks; -1 for padding without frames
    first: int


PADDING = Window(track=-1, first=0)


def frame_numbers(window: Window, length: int, stride: int) -> np.ndarray:
    """Return the frame numbers [length] in a window; any number outside the track is padding."""
    return window.first + stride * np.arange(length)


def real_frames(tracks: Sequence[Track], window: Window, numbers: np.ndarray) -> slice:
    """Return the slice of a window's frame numbers that lie within its track."""
    if window.track < 0:
        return slice(0, 0)
    start, stop = np.searchsorted(numbers, [0, tracks[window.track].frames])
    return slice(int(start), int(stop))


def training_windows(
    tracks: Sequence[Track], length: int, hop: int, stride: int, remainder: str
) -> list[Window]:
    """Return one window every `hop` frames for each track, in track order.

    Args:
        tracks: track table of the split.
        length: number of frames in a window.
        hop: distance between the starts of successive windows, in frames.
        stride: distance between successive frames in a window, in frames.
        remainder: treatment of the frames after the last whole window. `pad` adds a window that
            runs past the end and is masked there, `drop` omits these frames, and `shift` adds a
            window that ends with the last frame.

    Raises:
        InputError: a track is shorter than one window and `remainder` is not `pad`.
    """
    span = (length - 1) * stride + 1
    windows = []
    for index, track in enumerate(tracks):
        if track.frames < span and remainder != "pad":
            raise InputError(
                f"window.length={length} with window.stride={stride} spans more than the "
                f"{track.frames} frames of track {track.track_id!r}; reduce window.length or set "
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
