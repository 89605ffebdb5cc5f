"""CCC, PCC, RMSE, MSE and SAGR from mergeable moments, in float64 on the host.

Predictions leave the device anyway, to be written as traces; so the moments are taken there, per
recording and in float64, and a metric depends neither on the batch split nor on the device.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

METRICS = ("ccc", "pcc", "rmse", "mse", "sagr")

FORMULAS = ("population", "avec")
"""Of the CCC: all moments over N, or, as AVEC's scripts mix them, variances over N - 1, covariance
over N. They part by 1e-5 at 40,000 frames and by up to a hundredth at 100."""


ROUNDING = 1e-12
"""What is left of a sum of squares below this share of what was subtracted is rounding: it is 0."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """Joint second moments of (prediction, target) per dimension, mergeable in any order.

    Every field is float64 [..., dims]; a leading axis, where there is one, runs over recordings.
    """

    count: np.ndarray  # frames that count
    mean_pred: np.ndarray
    mean_target: np.ndarray
    m2_pred: np.ndarray  # sums of squared deviations from the mean
    m2_target: np.ndarray
    co: np.ndarray  # sum of products of deviations
    squared_error: np.ndarray  # sum of (prediction - target)^2
    agree: np.ndarray  # frames whose signs agree; zero agrees with zero

    @classmethod
    def of(
        cls,
        pred: Float[np.ndarray, "frames dims"],
        target: Float[np.ndarray, "frames dims"],
        mask: Bool[np.ndarray, " frames"],
    ) -> "Moments":
        """Moments of one trace over the frames where `mask` is True; all zero where none is."""
        pred, target = pred[mask].astype(np.float64), target[mask].astype(np.float64)
        if len(pred) == 0:
            return cls(*np.zeros((len(dataclasses.fields(cls)), pred.shape[-1])))
        mean_pred, dev_pred = _centred(pred)
        mean_target, dev_target = _centred(target)
        return cls(
            count=np.full(pred.shape[-1], float(len(pred))),
            mean_pred=mean_pred,
            mean_target=mean_target,
            m2_pred=(dev_pred**2).sum(0),
            m2_target=(dev_target**2).sum(0),
            co=(dev_pred * dev_target).sum(0),
            squared_error=((pred - target) ** 2).sum(0),
            agree=(np.sign(pred) == np.sign(target)).sum(0).astype(np.float64),
        )

    @classmethod
    def stack(cls, parts: Sequence["Moments"]) -> "Moments":
        """Moments [recordings, dims] of several recordings, kept apart."""
        return cls(
            *(np.stack([getattr(part, field.name) for part in parts])
              for field in dataclasses.fields(cls))
        )  # fmt: skip

    def select(self, recordings: Bool[np.ndarray, " recordings"]) -> "Moments":
        """The stack of the recordings where `recordings` is True."""
        return Moments(
            *(getattr(self, field.name)[recordings] for field in dataclasses.fields(self))
        )

    def merged(
        self, weights: Float[np.ndarray, "*resamples recordings"] | None = None
    ) -> "Moments":
        """Moments [dims] of all recordings of a stack taken as one signal (Chan et al., 1983).

        `weights` says how often each recording is in it, once by default; a leading axis of it
        leads those of the result too.
        """
        drawn = np.ones(len(self.count)) if weights is None else weights
        mean_pred, gap_pred = _centred(self.mean_pred, self.count)
        mean_target, gap_target = _centred(self.mean_target, self.count)
        count = drawn @ self.count
        size = np.maximum(count, 1)
        shift_pred = drawn @ (self.count * gap_pred) / size
        shift_target = drawn @ (self.count * gap_target) / size

        def summed(inside: np.ndarray, between: np.ndarray, shifts: np.ndarray) -> np.ndarray:
            around_mean = drawn @ (inside + self.count * between)
            around_own = around_mean - count * shifts
            return np.where(np.abs(around_own) < ROUNDING * np.abs(around_mean), 0, around_own)

        return Moments(
            count=count,
            mean_pred=mean_pred + shift_pred,
            mean_target=mean_target + shift_target,
            m2_pred=summed(self.m2_pred, gap_pred**2, shift_pred**2),
            m2_target=summed(self.m2_target, gap_target**2, shift_target**2),
            co=summed(self.co, gap_pred * gap_target, shift_pred * shift_target),
            squared_error=drawn @ self.squared_error,
            agree=drawn @ self.agree,
        )

    def ccc(self, formula: str = "population") -> np.ndarray:
        """Lin's concordance (1989) by one of `FORMULAS`; 0 where both signals are constant."""
        if formula not in FORMULAS:
            raise ValueError(f"formula={formula!r} is not one of {FORMULAS}")
        count = self.count if formula == "population" else np.maximum(self.count - 1, 0)
        gap = count * (self.mean_pred - self.mean_target) ** 2
        covariance = self.co * ratio(count, self.count)
        return ratio(2 * covariance, self.m2_pred + self.m2_target + gap)

    def undefined(self) -> np.ndarray:
        """Where prediction and label are the same constant, and the concordance 0/0."""
        same = (self.m2_pred == 0) & (self.m2_target == 0) & (self.mean_pred == self.mean_target)
        return same & (self.count > 0)

    def pcc(self) -> np.ndarray:
        """Pearson's correlation; 0 where either signal is constant."""
        return ratio(self.co, np.sqrt(self.m2_pred) * np.sqrt(self.m2_target))

    def mse(self) -> np.ndarray:
        """Mean squared error; 0 where no frame counts."""
        return ratio(self.squared_error, self.count)

    def rmse(self) -> np.ndarray:
        """Root of the mean squared error, in label units."""
        return np.sqrt(self.mse())

    def sagr(self) -> np.ndarray:
        """Sign agreement (Nicolaou et al., 2011): share of frames whose signs agree."""
        return ratio(self.agree, self.count)


def aggregate(
    moments: Moments,
    weights: Float[np.ndarray, "*resamples recordings"] | None = None,
    formula: str = "population",
) -> dict[str, dict[str, np.ndarray]]:
    """Aggregation -> metric -> values [*resamples, dims] of a stack of recordings.

    `pooled` takes all frames as one signal, `mean_of_recordings` is the mean of the recordings' own
    values, `length_weighted` that mean with the recordings' frames as weights. `weights` says how
    often each recording is drawn, once by default. Every recording must have a frame that counts.
    """
    drawn = np.ones(len(moments.count)) if weights is None else weights
    single = evaluated(moments, formula)
    return {
        "pooled": evaluated(moments.merged(weights), formula),
        "mean_of_recordings": {
            key: drawn @ value / drawn.sum(-1, keepdims=True) for key, value in single.items()
        },
        "length_weighted": {
            key: drawn @ (value * moments.count) / (drawn @ moments.count)
            for key, value in single.items()
        },
    }


def evaluated(moments: Moments, formula: str = "population") -> dict[str, np.ndarray]:
    """Every one of `METRICS`, each in the shape of the moments."""
    values = {key: getattr(moments, key)() for key in METRICS}
    return values | {"ccc": moments.ccc(formula)}


def _centred(
    values: np.ndarray, weights: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean over axis 0 and deviations from it, exactly 0 where all values are equal.

    Taken from the value of largest weight on, so a large offset costs no digits.
    """
    weights = np.broadcast_to(weights, values.shape)
    origin = np.take_along_axis(values, weights.argmax(0)[None], axis=0)
    shifted = np.where(weights > 0, values - origin, 0)
    mean = (weights * shifted).sum(0) / np.maximum(weights.sum(0), 1)
    return origin[0] + mean, shifted - mean


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their ratio, 0 where the denominator is not above 0."""
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), 0.0)
