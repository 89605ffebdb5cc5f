"""The values for one face across all frames of a source."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from va_jax.types import LOGIT


@dataclasses.dataclass(frozen=True, repr=False)
class TrackResult:
    """A face across all frames of a source."""

    number: int  # 0, 1, ... in order of first appearance
    shown: np.ndarray  # bool [frames]; whether the face is visible
    boxes: np.ndarray  # float32 [frames, 4]: x1, y1, x2, y2, upright pixels; NaN if not shown
    scores: np.ndarray  # float32 [frames]: detection scores from 0 to 1; 0 if not shown
    values: np.ndarray  # float32 [frames, dims]; NaN before and after the track

    def __repr__(self) -> str:
        visible = f"visible in {int(self.shown.sum()):,} of {len(self.shown):,} frames"
        return f"TrackResult({self.number}: {visible})"


def drawn_dims(dims: Iterable[str]) -> tuple[str, ...]:
    """Return the dimensions with a range, which overlays and plots show; a csv file has all."""
    return tuple(dim for dim in dims if not dim.startswith(LOGIT))
