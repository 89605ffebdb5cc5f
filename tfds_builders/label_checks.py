"""What may be wrong with labels that can be read: alone, and beside the pictures they belong to."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from tfds_builders.examine import Examined, Finding
from tfds_builders.labels import NumberedLabels
from va_jax.types import LABEL_RANGE

# All ours.
LEAST_ROWS = 100  # shorter labels may well be constant, or the same as others'
AT_THE_EDGE = 0.5  # share of rows on the ends of the range, above which they were scaled wrongly
TRIFLE = 0.01  # share of the frames by which labels may be too few or too many, at least 2 frames

LABEL_ROLES = ("labels", "valence", "arousal")
"""Roles of `Recording.files` that hold labels."""


def check(examined: Examined, dims: Sequence[str]) -> Iterator[Finding]:
    """The findings about the labels of one recording."""
    if examined.material is None or examined.material.labels is None:
        return
    name, values = name_of(examined), _valid(examined)
    if not len(values):
        yield Finding("no labels", f"{name}: no row is valid", "its frames will be unlabelled")
        return
    for index, dim in enumerate(dims):
        if len(values) < LEAST_ROWS:
            continue
        column, edge = values[:, index], np.isin(values[:, index], LABEL_RANGE).mean()
        if np.ptp(column) == 0:
            what = f"{name}: {dim} is {column[0]:g} in all {len(column)} rows"
            yield Finding(
                "constant labels", what, "they will be kept; remove them if they are none"
            )
        elif edge > AT_THE_EDGE:
            what = f"{name}: {dim} is -1 or 1 in {edge:.0%} of {len(column)} rows"
            yield Finding("label range", what, "kept all the same; check how they were scaled")
    yield from _gap(examined, name)
    if examined.footage is not None:
        yield from _unequal(examined, name)


def name_of(examined: Examined) -> str:
    """The file that a message about labels names."""
    files = examined.recording.files
    return next(
        (files[role] for role in LABEL_ROLES if role in files), str(examined.material.pictures)
    )


def label_hash(examined: Examined) -> str:
    """The same for two recordings whose labels are the same; "" where that would mean nothing."""
    if examined.material is None or examined.material.labels is None:
        return ""
    values = _valid(examined)
    if len(values) < LEAST_ROWS or (np.ptp(values, axis=0) == 0).any():
        return ""
    return hashlib.sha256(values.tobytes()).hexdigest()


def label_range(examined: Examined) -> np.ndarray | None:
    """Lowest and highest valid value of each dimension, float64 [2, dims]."""
    if examined.material is None or examined.material.labels is None:
        return None
    values = _valid(examined)
    return np.stack([values.min(0), values.max(0)]) if len(values) else None


def _valid(examined: Examined) -> np.ndarray:
    values = examined.material.labels.values
    return values[np.isfinite(values).all(1)]


def _gap(examined: Examined, name: str) -> Iterator[Finding]:
    """The longest hole between two rows: missing numbers, or times too far apart."""
    labels = examined.material.labels
    numbered = isinstance(labels, NumberedLabels)
    places, most = (labels.number, 1) if numbered else (labels.time_s, labels.max_gap_s)
    steps = np.diff(places)
    holes = np.flatnonzero(steps > most)
    if len(holes):
        at = holes[np.argmax(steps[holes])]
        between = f"{'frames' if numbered else 'seconds'} {places[at]:g} and {places[at + 1]:g}"
        others = f", and {len(holes) - 1} more gaps" * (len(holes) > 1)
        what = f"{name}: no row between {between}{others}"
        yield Finding("label gap", what, "the frames there will be unlabelled")


def _unequal(examined: Examined, name: str) -> Iterator[Finding]:
    """Rows that are too few for the pictures or too many, joined as a build will join them."""
    material, footage = examined.material, examined.footage
    frames = len(footage.number)
    bare = int((~material.labels.covers(footage.number, footage.time_s)).sum())
    first_last = [(each[0], each[-1]) for each in (footage.number, footage.time_s)]
    unused = material.labels.unused(*first_last)
    beyond = 0
    if isinstance(material.labels, NumberedLabels) and material.pictures.is_dir():
        beyond = int(footage.number[-1] - footage.shown[-1])
    if max(bare, unused, beyond) <= max(2, TRIFLE * frames):
        return
    what = f"{name}: {len(material.labels.values)} rows for the {frames} frames of"
    parts = [
        f"{bare} frames without a row will be unlabelled" * bool(bare),
        f"{unused} rows that fall on no frame will be dropped" * bool(unused),
        f"{beyond} frames behind the last image will show no face" * bool(beyond),
    ]
    yield Finding("unequal counts", f"{what} {material.pictures}", ", ".join(filter(None, parts)))
