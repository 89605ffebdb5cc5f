"""Which frames make a window: the arithmetic from track lengths to windows and evaluation plans."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from va_jax.schema import InputError, Track

REMAINDERS = ("pad", "drop", "shift")


class Window(NamedTuple):
    """`length` frames of track number `track`: first, first + stride, ... (see `numbers`)."""

    track: int  # index into the source's tracks; -1 is padding: no frame of it exists
    first: int


def numbers(window: Window, length: int, stride: int) -> np.ndarray:
    """Frame numbers [length] of a window; those past the track's end are padding."""
    return window.first + stride * np.arange(length)


def real_frames(tracks: Sequence[Track], window: Window, numbers: np.ndarray) -> int:
    """How many of a window's frame numbers, from the first on, lie within its track."""
    return 0 if window.track < 0 else int((numbers < tracks[window.track].frames).sum())


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


PADDING = Window(track=-1, first=0)


def evaluation_plan(
    tracks: Sequence[Track], batch: int, length: int, hop: int, stride: int, carry: bool
) -> Iterator[tuple[bool, list[Window]]]:
    """Batches of windows that cover every frame of every track, each with "is the state fresh?".

    With `carry`, a track is a lane of the batch: consecutive windows of it follow each other in
    consecutive batches, so a recurrent state runs on from its first frame to its last; `hop` is
    not used. Without, windows start every `hop` frames with a fresh state and may overlap. A
    `stride` above 1 splits a track into that many interleaved lanes, so every frame is covered
    with the spacing of training. Batches are filled up with `PADDING`.
    """
    lanes = [
        (index, phase, -(-(track.frames - phase) // stride))
        for index, track in enumerate(tracks)
        for phase in range(min(stride, track.frames))
    ]
    if not carry:
        windows = [
            Window(index, phase + stride * first)
            for index, phase, steps in lanes
            for first in range(0, max(steps - (length - hop), 1), hop)
        ]
        for i in range(0, len(windows), batch):
            yield True, _filled(windows[i : i + batch], batch)
        return
    lanes.sort(key=lambda lane: (-lane[2], lane[0], lane[1]))
    for i in range(0, len(lanes), batch):
        group = lanes[i : i + batch]
        for start in range(0, group[0][2], length):
            yield (
                start == 0,
                _filled(
                    [
                        Window(index, phase + stride * start) if start < steps else PADDING
                        for index, phase, steps in group
                    ],
                    batch,
                ),
            )


def _filled(windows: list[Window], batch: int) -> list[Window]:
    return windows + [PADDING] * (batch - len(windows))
