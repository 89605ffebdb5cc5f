"""Labels by time whose rows belong to segments that were annotated one by one."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tfds_builders.labels import TimedLabels, resample


@dataclasses.dataclass(frozen=True)
class SegmentedLabels(TimedLabels):
    """Labels by time that are not interpolated from one segment to the next."""

    segment: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))  # [rows]

    def at(
        self, number: Int[np.ndarray, "frames"], time_s: Float[np.ndarray, "frames"]
    ) -> Float[np.ndarray, "frames dims"]:
        """Return the targets for frames at these times, see `resample`.

        A frame between two segments takes the value of the nearest row if that row is at most half
        a label step away, and NaN otherwise.
        """
        values = super().at(number, time_s)
        time_s = time_s.astype(np.float64)
        right = np.clip(np.searchsorted(self.time_s, time_s), 1, len(self.time_s) - 1)
        between = self.segment[right - 1] != self.segment[right]
        held = resample(self.time_s, self.values, time_s, max_gap_s=0.0)
        return np.where(between[:, None], held, values)

    def same_segment(self, row: Int[np.ndarray, "rows"]) -> np.ndarray:
        """Return whether each of these rows is in the same segment as the row after it."""
        return self.segment[row] == self.segment[row + 1]
