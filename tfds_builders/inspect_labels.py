"""Check readable labels, on their own and against the images they belong to."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from tfds_builders.inspect_recording import Finding, Footage, Inspected
from tfds_builders.labels import Labels, NumberedLabels
from va_jax.types import LABEL_RANGE

# Our choices.
LEAST_ROWS = 100  # a shorter file may be constant or equal to another one by chance
AT_THE_EDGE = 0.5  # the scale is suspicious if a larger share of rows is at the ends of the range
TOLERANCE = 0.01  # accepted relative difference between rows and frames; 2 are always accepted

LABEL_ROLES = ("labels", "valence", "arousal")
"""Roles in `Recording.files` that denote label files."""


def check(inspected: Inspected, dims: Sequence[str]) -> Iterator[Finding]:
    """Yield the problems found in the labels of one recording."""
    labels = _labels(inspected)
    if labels is None:
        return
    name, values = label_file(inspected), _valid(labels)
    if not len(values):
        yield Finding("no labels", f"{name}: no row is valid", "its frames will be unlabelled")
        return
    if len(values) >= LEAST_ROWS:
        for dim, column in zip(dims, values.T, strict=True):
            yield from _check_column(name, dim, column)
    yield from _check_gaps(labels, name)
    if inspected.footage is not None:
        yield from _check_count(labels, inspected.footage, name)


def label_file(inspected: Inspected) -> str:
    """Return the file to name in messages about a recording's labels."""
    files = inspected.recording.files
    found = [files[role] for role in LABEL_ROLES if role in files]
    return next(iter(found or files.values()), inspected.recording.track_id)


def label_hash(inspected: Inspected) -> str:
    """Return a hash of the labels, or "" if they are constant or too short to compare."""
    labels = _labels(inspected)
    values = np.empty((0, 1)) if labels is None else _valid(labels)
    if len(values) < LEAST_ROWS or (np.ptp(values, axis=0) == 0).any():
        return ""
    return hashlib.sha256(values.tobytes()).hexdigest()


def label_range(inspected: Inspected) -> np.ndarray | None:
    """Return the lowest and highest valid value per dimension, float64 [2, dims]."""
    labels = _labels(inspected)
    values = None if labels is None else _valid(labels)
    return None if values is None or not len(values) else np.stack([values.min(0), values.max(0)])


def _labels(inspected: Inspected) -> Labels | None:
    return None if inspected.material is None else inspected.material.labels


def _valid(labels: Labels) -> np.ndarray:
    return labels.values[np.isfinite(labels.values).all(1)]


def _check_column(name: str, dim: str, column: np.ndarray) -> Iterator[Finding]:
    edge = np.isin(column, LABEL_RANGE).mean()
    if np.ptp(column) == 0:
        problem = f"{name}: {dim} is {column[0]:g} in all {len(column)} rows"
        yield Finding("constant labels", problem, "kept; remove the file if this is a mistake")
    elif edge > AT_THE_EDGE:
        problem = f"{name}: {dim} is -1 or 1 in {edge:.0%} of {len(column)} rows"
        yield Finding("label range", problem, "kept; check how the labels were scaled")


def _check_gaps(labels: Labels, name: str) -> Iterator[Finding]:
    """Yield a finding about the largest gap between rows: missing frame numbers or a long time."""
    if isinstance(labels, NumberedLabels):
        places, most, unit = labels.number, 1, "frames"
    else:
        places, most, unit = labels.time_s, labels.max_gap_s, "seconds"
    steps = np.diff(places)
    gaps = np.flatnonzero(steps > most)
    if len(gaps):
        at = gaps[np.argmax(steps[gaps])]
        between = f"{unit} {places[at]:g} and {places[at + 1]:g}"
        others = f", and {len(gaps) - 1} more gaps" * (len(gaps) > 1)
        problem = f"{name}: no row between {between}{others}"
        yield Finding("label gap", problem, "frames in the gap will be unlabelled")


def _check_count(labels: Labels, footage: Footage, name: str) -> Iterator[Finding]:
    """Yield a finding if too many rows or frames remain unmatched, joined as in a build."""
    frames = len(footage.number)
    bare = int((~labels.covers(footage.number, footage.time_s)).sum())
    numbers = (int(footage.number[0]), int(footage.number[-1]))
    unused = labels.unused(numbers, (float(footage.time_s[0]), float(footage.time_s[-1])))
    beyond = 0
    if isinstance(labels, NumberedLabels) and footage.pictures.is_dir():
        beyond = numbers[1] - int(footage.shown[-1])
    if max(bare, unused, beyond) <= max(2, TOLERANCE * frames):
        return
    problem = f"{name}: {len(labels.values)} rows for the {frames} frames of {footage.pictures}"
    consequences = [
        f"{bare} frames without a row will be unlabelled" * bool(bare),
        f"{unused} rows that fall on no frame will be dropped" * bool(unused),
        f"{beyond} frames after the last image will show no face" * bool(beyond),
    ]
    yield Finding("unequal counts", problem, ", ".join(filter(None, consequences)))
