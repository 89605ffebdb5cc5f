"""CCC, PCC, RMSE, MSE and SAGR from mergeable moments, in float64 on the host.

Predictions leave the device anyway, to be written as traces; so the moments are taken there, per
recording and in float64, and a metric depends neither on the batch split nor on the device.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

METRICS = ("ccc", "pcc", "rmse", "mse", "sagr")


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

    def merged(self) -> "Moments":
        """Moments [dims] of all recordings of a stack taken as one signal (Chan et al., 1983)."""
        mean_pred, gap_pred = _centred(self.mean_pred, self.count)
        mean_target, gap_target = _centred(self.mean_target, self.count)
        return Moments(
            count=self.count.sum(0),
            mean_pred=mean_pred,
            mean_target=mean_target,
            m2_pred=(self.m2_pred + self.count * gap_pred**2).sum(0),
            m2_target=(self.m2_target + self.count * gap_target**2).sum(0),
            co=(self.co + self.count * gap_pred * gap_target).sum(0),
            squared_error=self.squared_error.sum(0),
            agree=self.agree.sum(0),
        )

    def ccc(self) -> np.ndarray:
        """Lin's concordance (1989), population moments; 0 where both signals are constant."""
        gap = self.count * (self.mean_pred - self.mean_target) ** 2
        return _ratio(2 * self.co, self.m2_pred + self.m2_target + gap)

    def pcc(self) -> np.ndarray:
        """Pearson's correlation; 0 where either signal is constant."""
        return _ratio(self.co, np.sqrt(self.m2_pred) * np.sqrt(self.m2_target))

    def mse(self) -> np.ndarray:
        """Mean squared error; 0 where no frame counts."""
        return _ratio(self.squared_error, self.count)

    def rmse(self) -> np.ndarray:
        """Root of the mean squared error, in label units."""
        return np.sqrt(self.mse())

    def sagr(self) -> np.ndarray:
        """Sign agreement (Nicolaou et al., 2011): share of frames whose signs agree."""
        return _ratio(self.agree, self.count)


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


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), 0.0)
