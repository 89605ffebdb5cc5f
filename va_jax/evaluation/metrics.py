"""CCC, PCC, RMSE, MSE and SAGR from mergeable moments, in float64 on the host.

Predictions have to leave the device anyway, because traces are written to files. So the moments are
computed per recording on the host, and do not depend on the batches or the device.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

METRICS = ("ccc", "pcc", "rmse", "mse", "sagr")

FORMULAS = ("population", "avec")
"""Formulas for the CCC. `population` divides all moments by N; `avec`, like the AVEC scripts, uses
N - 1 for variances and N for the covariance. The results differ by 1e-5 for 40,000 frames and by up
to 0.01 for 100."""

ROUNDING = 1e-12
"""Share below which the difference between two sums of squares counts as a rounding error, and is
set to 0."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """Joint second moments of predictions and targets per dimension, mergeable in any order.

    Every field is float64 [..., dims]; if there is a leading axis, it runs over recordings.
    """

    count: np.ndarray  # number of scored frames
    mean_pred: np.ndarray
    mean_target: np.ndarray
    m2_pred: np.ndarray  # sum of squared deviations from the mean
    m2_target: np.ndarray
    co: np.ndarray  # sum of products of deviations
    squared_error: np.ndarray  # sum of (prediction - target)^2
    agree: np.ndarray  # number of frames in which the signs agree; zero agrees with zero

    @classmethod
    def of(
        cls,
        pred: Float[np.ndarray, "frames dims"],
        target: Float[np.ndarray, "frames dims"],
        mask: Bool[np.ndarray, " frames"],
    ) -> "Moments":
        """Return the moments of a trace over the frames in `mask`; all 0 if there are none."""
        pred, target = pred[mask].astype(np.float64), target[mask].astype(np.float64)
        if len(pred) == 0:
            return cls(*np.zeros((len(dataclasses.fields(cls)), pred.shape[-1])))
        mean_pred, dev_pred = _centre(pred)
        mean_target, dev_target = _centre(target)
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
        """Stack the moments of several recordings into [recordings, dims]."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.stack([getattr(part, name) for part in parts]) for name in names))

    def select(self, recordings: Bool[np.ndarray, " recordings"]) -> "Moments":
        """Return the rows for which `recordings` is True."""
        names = [field.name for field in dataclasses.fields(self)]
        return Moments(*(getattr(self, name)[recordings] for name in names))

    def merged(
        self, weights: Float[np.ndarray, "*resamples recordings"] | None = None
    ) -> "Moments":
        """Return the moments of all recordings combined into one signal (Chan et al., 1983).

        Args:
            weights: how often each recording is drawn; None: once each.

        Returns:
            Moments [*resamples, dims].
        """
        drawn = np.ones(len(self.count)) if weights is None else weights
        mean_pred, gap_pred = _centre(self.mean_pred, self.count)
        mean_target, gap_target = _centre(self.mean_target, self.count)
        count = drawn @ self.count
        size = np.maximum(count, 1)
        shift_pred = drawn @ (self.count * gap_pred) / size
        shift_target = drawn @ (self.count * gap_target) / size

        def add(inside: np.ndarray, between: np.ndarray, shifts: np.ndarray) -> np.ndarray:
            around_mean = drawn @ (inside + self.count * between)
            around_own = around_mean - count * shifts
            return np.where(np.abs(around_own) < ROUNDING * np.abs(around_mean), 0, around_own)

        return Moments(
            count=count,
            mean_pred=mean_pred + shift_pred,
            mean_target=mean_target + shift_target,
            m2_pred=add(self.m2_pred, gap_pred**2, shift_pred**2),
            m2_target=add(self.m2_target, gap_target**2, shift_target**2),
            co=add(self.co, gap_pred * gap_target, shift_pred * shift_target),
            squared_error=drawn @ self.squared_error,
            agree=drawn @ self.agree,
        )

    def ccc(self, formula: str = "population") -> np.ndarray:
        """Return Lin's CCC (1989) with one of `FORMULAS`; 0 if both signals are constant."""
        if formula not in FORMULAS:
            raise ValueError(f"formula={formula!r} is not one of {FORMULAS}")
        count = self.count if formula == "population" else np.maximum(self.count - 1, 0)
        gap = count * (self.mean_pred - self.mean_target) ** 2
        covariance = self.co * ratio(count, self.count)
        return ratio(2 * covariance, self.m2_pred + self.m2_target + gap)

    def undefined(self) -> np.ndarray:
        """Return whether prediction and label are the same constant, so that the CCC is 0/0."""
        same = (self.m2_pred == 0) & (self.m2_target == 0) & (self.mean_pred == self.mean_target)
        return same & (self.count > 0)

    def pcc(self) -> np.ndarray:
        """Return Pearson's correlation; 0 if either signal is constant."""
        return ratio(self.co, np.sqrt(self.m2_pred) * np.sqrt(self.m2_target))

    def mse(self) -> np.ndarray:
        """Return the mean squared error; 0 if no frame is scored."""
        return ratio(self.squared_error, self.count)

    def rmse(self) -> np.ndarray:
        """Return the root mean squared error in label units."""
        return np.sqrt(self.mse())

    def sagr(self) -> np.ndarray:
        """Return the sign agreement, the share of frames whose signs agree (Nicolaou, 2011)."""
        return ratio(self.agree, self.count)


def all_metrics(moments: Moments, formula: str = "population") -> dict[str, np.ndarray]:
    """Return the values of all `METRICS`, each with the shape of the moments."""
    values = {metric: getattr(moments, metric)() for metric in METRICS}
    return values | {"ccc": moments.ccc(formula)}


def aggregate(
    moments: Moments,
    weights: Float[np.ndarray, "*resamples recordings"] | None = None,
    formula: str = "population",
) -> dict[str, dict[str, np.ndarray]]:
    """Aggregate scores over recordings, as values [*resamples, dims] by aggregation and metric.

    `pooled` treats all frames as one signal. `mean_of_recordings` averages the scores of individual
    recordings; `length_weighted` weights them by their number of frames.

    Args:
        moments: moments [recordings, dims]; every recording has at least one scored frame.
        weights: how often each recording is drawn; None: once each.
        formula: formula for the CCC, one of `FORMULAS`.
    """
    drawn = np.ones(len(moments.count)) if weights is None else weights
    single = all_metrics(moments, formula)
    return {
        "pooled": all_metrics(moments.merged(weights), formula),
        "mean_of_recordings": {
            metric: drawn @ value / drawn.sum(-1, keepdims=True) for metric, value in single.items()
        },
        "length_weighted": {
            metric: drawn @ (value * moments.count) / (drawn @ moments.count)
            for metric, value in single.items()
        },
    }


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the ratio, or 0 if the denominator is not positive."""
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), 0.0)


def _centre(values: np.ndarray, weights: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean over axis 0 and the deviations from it.

    If all values are equal, the deviations are exactly 0. The value with the largest weight is
    subtracted before summing, so that a large offset does not cost precision.
    """
    weights = np.broadcast_to(weights, values.shape)
    origin = np.take_along_axis(values, weights.argmax(0)[None], axis=0)
    shifted = np.where(weights > 0, values - origin, 0)
    mean = (weights * shifted).sum(0) / np.maximum(weights.sum(0), 1)
    return origin[0] + mean, shifted - mean
