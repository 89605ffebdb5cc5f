"""Weights of frames in the loss: labels on which the raters disagree count less."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Float32


@dataclasses.dataclass(frozen=True)
class RaterWeights:
    """Bounded inverse-variance weights, which depend on nothing but the spread of a frame.

    The variance of a label that is the mean of n raters is spread^2 / n plus a floor. Since n is
    taken to be the same throughout a data set, it cancels:

    weight = (typical^2 + floor) / (spread^2 + floor), but at least 1 / sqrt(bound).

    The floor, typical^2 / (sqrt(bound) - 1), limits the weight to sqrt(bound), which a frame on
    which all raters agree has. It also stands for the error of a spread that only a few raters
    determine. A frame with the typical spread has weight 1, and so has a frame with an unknown one.
    All of this is our choice.
    """

    bound: float  # largest ratio between the weights of two frames, above 1
    typical: Float[np.ndarray, " dims"]  # mean spread of the training split; NaN if not known

    def of(self, spread: Float32[np.ndarray, "*axes dims"]) -> Float32[np.ndarray, "*axes dims"]:
        """Return the weight of each frame and dimension; `spread` is NaN where it is not known."""
        largest = math.sqrt(self.bound)
        typical = self.typical.astype(np.float64) ** 2
        floor = typical / (largest - 1)
        usable = np.isfinite(spread) & (typical > 0)
        variance = np.where(usable, spread.astype(np.float64) ** 2 + floor, 1)
        weight = np.maximum((typical + floor) / variance, 1 / largest)
        return np.where(usable, weight, 1).astype(np.float32)
