"""Check frames that a caller passes as arrays, and make them readable like a stored split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from va_jax.data import landmarks as moving
from va_jax.data import transforms
from va_jax.data.sources import Record, Source
from va_jax.types import CLIP_FRAMES, InputError, Track
from va_jax.video.facts import mean_fps

FAR = 4.0
"""Largest plausible median of the landmark coordinates, in frame sides; if it is larger, the
coordinates must be in pixels."""


def source_of(
    frames: UInt8[np.ndarray, "batch time size size 3"],
    face: Bool[np.ndarray, "batch time"],
    landmarks: Float32[np.ndarray, "batch time points 2"] | None,
    time_s: Float32[np.ndarray, "batch time"],
    dims: tuple[str, ...],
) -> Source:
    """Return a source with one unlabelled track per row; frames are copied only when read."""
    rows, length, size = frames.shape[:3]
    clips = -(-length // CLIP_FRAMES)

    def read(numbers: Sequence[int]) -> list[Record]:
        records = []
        for row, clip in (divmod(number, clips) for number in numbers):
            part = slice(clip * CLIP_FRAMES, min((clip + 1) * CLIP_FRAMES, length))
            record = {
                "frames": frames[row, part],
                "target": np.full((part.stop - part.start, len(dims)), np.nan, np.float32),
                "face": face[row, part],
                "time_s": time_s[row, part],
            }
            if landmarks is not None:
                record["landmarks"] = landmarks[row, part]
            records.append(record)
        return records

    fps = mean_fps(time_s[0]) or 0.0
    tracks = [
        Track(str(row), str(row), str(row), "", fps, length, row * clips) for row in range(rows)
    ]
    return Source(read, tracks, dims, size, 0 if landmarks is None else landmarks.shape[2])


def checked_frames(frames: Any, size: int, axes: tuple[str, ...]) -> UInt8[np.ndarray, "..."]:
    """Return `frames` as a uint8 array [*axes, size, size, 3].

    Raises:
        InputError: the type or the shape is wrong.
    """
    array = np.asarray(frames)
    wanted = f"uint8 RGB [{', '.join((*axes, str(size), str(size), '3'))}]"
    if array.dtype != np.uint8:
        raise InputError(
            f"frames have type {array.dtype}; expected {wanted} with values from 0 to 255"
        )
    if array.ndim != len(axes) + 3:
        raise InputError(f"frames have shape {array.shape}; expected {wanted}")
    if array.shape[-1] != 3:
        channels_first = array.shape[-3] == 3
        remedy = "move the channels to the last axis" if channels_first else "convert them to RGB"
        raise InputError(f"frames have {array.shape[-1]} channels (shape {array.shape}); {remedy}")
    if array.shape[-3:-1] != (size, size):
        height, width = array.shape[-3:-1]
        raise InputError(
            f"frames are {width} x {height} pixels, but the network expects {size} x {size}; crop "
            "and scale the face as described under 'crop' in the model metadata (passport.json)"
        )
    if 0 in array.shape:
        raise InputError(f"frames have shape {array.shape}; expected at least one frame")
    return array


def checked_face(face: Any, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """Return the mask of frames that show the face; None stands for all frames.

    Raises:
        InputError: the type or the shape is wrong.
    """
    if face is None:
        return np.ones(shape, bool)
    array = np.asarray(face)
    if array.dtype != np.bool_ or array.shape != shape:
        raise InputError(
            f"face has type {array.dtype} and shape {array.shape}; expected bool{_axes(shape)}, "
            "with True for frames that show the face"
        )
    return array


def checked_landmarks(
    landmarks: Any, shape: tuple[int, ...], points: int
) -> Float32[np.ndarray, "..."] | None:
    """Return landmarks [*shape, points, 2]; None if the network uses none (`points` is 0).

    Raises:
        InputError: landmarks are missing or unexpected, or their type, shape or unit is wrong.
    """
    if points == 0:
        if landmarks is not None:
            raise InputError("landmarks were passed, but this network does not use any; omit them")
        return None
    wanted = f"float32{_axes((*shape, points, 2))}"
    unit = "x and y in units of the frame's side, or NaN if unknown"
    if landmarks is None:
        raise InputError(f"landmarks are missing; this network requires {wanted}: {unit}")
    array = np.asarray(landmarks)
    if array.dtype not in (np.float32, np.float64) or array.shape != (*shape, points, 2):
        raise InputError(
            f"landmarks have type {array.dtype} and shape {array.shape}; expected {wanted}"
        )
    known = np.abs(array[np.isfinite(array)])
    if known.size and np.median(known) > FAR:
        raise InputError(
            f"landmarks have a median coordinate of {np.median(known):.4g}; expected {unit}"
        )
    return array.astype(np.float32)


def checked_times(time_s: Any, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """Return times in seconds that increase along the last axis.

    Raises:
        InputError: the type or the shape is wrong, or the times do not increase.
    """
    array = np.asarray(time_s)
    if array.dtype not in (np.float32, np.float64) or array.shape != shape:
        raise InputError(
            f"time_s has type {array.dtype} and shape {array.shape}; expected "
            f"float32{_axes(shape)}, in seconds"
        )
    if not np.isfinite(array).all() or (np.diff(array) <= 0).any():
        raise InputError(
            "time_s is not finite or does not increase; pass the time of every frame in seconds"
        )
    return array.astype(np.float32)


def network_landmarks(
    landmarks: Float32[np.ndarray, "time points 2"], face: Bool[np.ndarray, " time"]
) -> Float32[np.ndarray, "time points 2"]:
    """Convert landmarks to network input: from -1 to 1 across the frame, 0 if unknown."""
    geometry, _ = transforms.UNCHANGED
    return moving.move(landmarks, face, geometry)


def _axes(shape: tuple[int, ...]) -> str:
    return f" [{', '.join(map(str, shape))}]" if shape else ""
