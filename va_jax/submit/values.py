"""From what a network predicted to the values that a challenge takes."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from va_jax.submit.predictions import Predictions
from va_jax.types import LABEL_RANGE

TOLD = {
    "hold": "given the last value of a frame with a face",
    "nearest": "given the value of the nearest frame with a face",
    "interpolate": "interpolated between frames with a face",
    "zero": "set to 0",
    "keep": "kept as predicted",
}
"""Rule -> what becomes of a frame without a face; see `fill`."""

DECIMALS = 6


def fill(
    values: Float[np.ndarray, "frames dims"], face: Bool[np.ndarray, "frames"], rule: str
) -> Float[np.ndarray, "frames dims"]:
    """`values` with those of frames without a face replaced, by a rule of `TOLD`.

    `hold`: the last value of a frame with a face, before the first of these its own; `nearest`:
    that of the nearest frame with a face, of two the earlier; `interpolate`: on the line between
    the two neighbours with a face by frame number, held beyond the first and the last; `zero`: 0;
    `keep`: what was predicted. NaN stands for a frame that was not even predicted: it has no face,
    and `keep` holds the last prediction there. Where no frame is left to take from, all are 0.
    """
    predicted = np.isfinite(values).all(-1)
    known = np.flatnonzero(predicted if rule == "keep" else predicted & face)
    if not len(known):
        return np.zeros_like(values)
    frames = np.arange(len(values))
    if rule == "interpolate":
        return np.stack(
            [np.interp(frames, known, values[known, i]) for i in range(values.shape[1])], 1
        )
    if rule == "zero":
        filled = np.zeros_like(values)
        filled[known] = values[known]
        return filled
    before = known[np.maximum(np.searchsorted(known, frames, side="right") - 1, 0)]
    if rule == "nearest":
        after = known[np.minimum(np.searchsorted(known, frames), len(known) - 1)]
        before = np.where(np.abs(frames - before) <= np.abs(after - frames), before, after)
    return values[before]


def printable(
    values: Float[np.ndarray, "rows dims"],
) -> tuple[Float[np.ndarray, "rows dims"], int]:
    """`values` within the range of labels, rounded as they are written; how many left the range."""
    outside = (values < LABEL_RANGE[0]) | (values > LABEL_RANGE[1])
    return np.round(np.clip(values, *LABEL_RANGE), DECIMALS) + 0.0, int(outside.sum())


def cells(row: Float[np.ndarray, "dims"]) -> list[str]:
    return [f"{value:.{DECIMALS}f}" for value in row]


def finite(cell: str) -> float | None:
    """The finite number that a cell holds, else None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def same(numbers: Sequence[str], row: Float[np.ndarray, "dims"]) -> bool:
    """Whether cells that were read back are the finite numbers of a row."""
    read = [finite(cell) for cell in numbers]
    return None not in read and read == row.tolist()


def warnings(traces: Mapping[str, Predictions], needed: Iterable[str], rule: str) -> list[str]:
    """A line if some of the needed tracks have no frame to take values from, so are 0."""
    unseen = [name for name in needed if name in traces and not traces[name].face.any()]
    absent = [name for name in needed if name not in traces]
    lines = []
    if unseen and rule in ("hold", "nearest", "interpolate"):
        lines.append(f"warning: no face in {unseen[0]}{_more(unseen)}; all its rows are 0")
    if absent:
        lines.append(f"warning: no trace of {absent[0]}{_more(absent)}; all its rows are 0")
    return lines


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""
