"""Fuse several raters' traces into one, and measure their spread and how well they agree."""

import collections
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from va_jax.types import LABEL_RANGE, InputError

FUSIONS = ("ewe", "mean", "avec2016")
"""Rules that fuse several raters' traces into one, see `fuse_raters`."""

CONSTANT = 1e-9
"""A trace that varies less than this counts as constant; rounding causes smaller variations."""


def check_fusion(fusion: str) -> None:
    """Raise InputError if the option `fusion` is not one of FUSIONS."""
    if fusion not in FUSIONS:
        raise InputError(f"fusion={fusion!r} is not one of {', '.join(FUSIONS)}")


def fuse_raters(
    values: Float[np.ndarray, "raters rows"], fusion: str = "avec2016"
) -> Float[np.ndarray, "rows"]:
    """Fuse several raters' traces into one.

    Each trace is centred by subtracting its mean. The result is a weighted mean of the centred
    traces (the shape) plus a weighted mean of the raters' means (the level), clipped to
    LABEL_RANGE. The weights of both are

    - `ewe`: the correlation of a rater with the mean of the other raters, the evaluator-weighted
      estimator of Grimm and Kroschel (2005);
    - `mean`: equal;
    - `avec2016`: equal for the shape, and the mean CCC with each of the other raters for the level,
      like the gold standard of RECOLA in AVEC 2016.

    Our choice: negative weights are set to 0, equal weights are used if all are 0, and a rater is
    ignored in rows that the rater left unlabelled.

    Args:
        values: The raters' traces, NaN where unlabelled.
        fusion: One of FUSIONS.

    Returns:
        The fused trace, NaN where no rater with a weight above 0 labelled the row.

    Raises:
        InputError: A rater has no labels.
    """
    raters = len(values)
    if raters == 1:
        return values[0]
    known = np.isfinite(values)
    if not known.any(1).all():
        rater = int(np.argmin(known.any(1))) + 1
        raise InputError(f"rater {rater} of {raters} has no labels; remove the rater's column")
    means = np.nanmean(values, axis=1)
    centred = np.where(known, values - means[:, None], 0)
    if fusion == "ewe":
        shape = level = _correlations(centred, known)
    else:
        shape = np.ones(raters)
        level = _mean_ccc(values) if fusion == "avec2016" else shape
    weight = np.where(known, shape[:, None], 0)
    total = weight.sum(0)
    deviation = (weight * centred).sum(0) / np.where(total > 0, total, 1)
    fused = deviation + (level * means).sum() / level.sum()
    return np.where(total > 0, np.clip(fused, *LABEL_RANGE), np.nan)


def spread(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "rows"]:
    """Return the sample standard deviation between the raters' values in each row.

    The values are not centred first: if two raters use different levels throughout a recording, the
    level of the fused trace is uncertain in every row, and so their difference counts. All raters
    count alike, whatever their weight in the fusion.

    Args:
        values: The raters' traces, NaN where unlabelled.

    Returns:
        The spread, in the unit of the values; NaN where fewer than two raters labelled the row.
    """
    known = np.isfinite(values)
    count = known.sum(0)
    mean = np.where(known, values, 0).sum(0) / np.maximum(count, 1)
    squares = np.where(known, (values - mean[None]) ** 2, 0).sum(0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def _correlations(
    centred: Float[np.ndarray, "raters rows"], known: Bool[np.ndarray, "raters rows"]
) -> Float[np.ndarray, "raters"]:
    """Return the weight of each rater: the correlation with the mean of the other raters."""
    weights = []
    for rater in range(len(centred)):
        others = np.delete(known, rater, 0).sum(0)
        rows = known[rater] & (others > 0)
        one = centred[rater, rows]
        mean = np.delete(centred, rater, 0).sum(0)[rows] / others[rows]
        weights.append(_correlation(one, mean))
    return _positive(weights)


def _correlation(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Return Pearson's correlation, or 0 if either trace is constant or there are no rows."""
    if not len(a) or min(np.ptp(a), np.ptp(b)) < CONSTANT:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _mean_ccc(values: Float[np.ndarray, "raters rows"]) -> Float[np.ndarray, "raters"]:
    """Return the weight of each rater: the mean CCC with each of the other raters."""
    raters = range(len(values))
    return _positive(
        [float(np.mean([_ccc(values[r], values[o]) for o in raters if o != r])) for r in raters]
    )


def _positive(weights: Sequence[float]) -> Float[np.ndarray, "raters"]:
    """Set negative weights to 0, and all weights to 1 if none is above 0."""
    positive = np.maximum(weights, 0)
    return positive if positive.any() else np.ones(len(positive))


def _ccc(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> float:
    """Return Lin's CCC over the rows that both raters labelled, or 0 if both are constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    a, b = a[both], b[both]
    denominator = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return 2 * float(np.mean((a - a.mean()) * (b - b.mean()))) / denominator if denominator else 0.0


class AgreementSums(NamedTuple):
    """What the agreement of raters in one dimension needs to know about a recording.

    Each row contains the number of rows in which both signals a and b are known, and the sums of
    a, b, a*a, b*b and a*b over these rows. Sums can be added over recordings.
    """

    pairs: np.ndarray  # float64 [pairs, 6]; pairs of raters in the order of `combinations`
    against_others: np.ndarray  # float64 [raters, 6]; each rater, and the mean of the others


def agreement_sums(raters: Float[np.ndarray, "raters rows"]) -> AgreementSums:
    """Return the sums for the agreement of raters, whose traces are NaN where unlabelled.

    The mean of the others is the mean of those who labelled the row, with equal weights.
    """
    known = np.isfinite(raters)
    filled = np.where(known, raters, 0)
    others = known.sum(0) - known
    mean = np.where(others > 0, filled.sum(0) - filled, np.nan) / np.maximum(others, 1)
    pairs = [_sums(a, b) for a, b in itertools.combinations(raters, 2)]
    against_others = [_sums(a, b) for a, b in zip(raters, mean, strict=True)]
    return AgreementSums(np.reshape(pairs, (-1, 6)), np.reshape(against_others, (-1, 6)))


def _sums(a: Float[np.ndarray, "rows"], b: Float[np.ndarray, "rows"]) -> list[float]:
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    return [len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b]


def agreement(
    recordings: Sequence[Sequence[AgreementSums]], dims: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Measure how well raters agree, from the `agreement_sums` of each recording and dimension.

    Every CCC is pooled over the recordings, like that of a model. Raters are identified by the
    order of their traces, so a recording with fewer raters counts for the first ones.

    Args:
        recordings: Sums of each dimension, for each recording.
        dims: Names of the dimensions.

    Returns:
        For each dimension that several raters labelled: `raters` (their largest number in a
        recording), `recordings` (number with several raters), `recordings_by_raters`,
        `pairwise_ccc` (of each pair), `mean_ccc` (mean over the pairs: one human compared with
        another), `leave_one_out_ccc` (of each rater with the mean of the others) and
        `mean_leave_one_out_ccc` (one human compared with the consensus of the others).
    """
    result = {}
    for index, dim in enumerate(dims):
        used = [each[index] for each in recordings if len(each[index].pairs)]
        if not used:
            continue
        numbers = [len(each.against_others) for each in used]
        most = max(numbers)
        pairs, against_others = np.zeros((most, most, 6)), np.zeros((most, 6))
        for number, each in zip(numbers, used, strict=True):
            pairs[np.triu_indices(number, 1)] += each.pairs
            against_others[:number] += each.against_others
        pairwise = [_pooled_ccc(row) for row in pairs[np.triu_indices(most, 1)]]
        leave_one_out = [_pooled_ccc(row) for row in against_others]
        counts = sorted(collections.Counter(numbers).items())
        result[dim] = {
            "raters": most,
            "recordings": len(used),
            "recordings_by_raters": {str(number): count for number, count in counts},
            "pairwise_ccc": pairwise,
            "mean_ccc": float(np.mean(pairwise)),
            "leave_one_out_ccc": leave_one_out,
            "mean_leave_one_out_ccc": float(np.mean(leave_one_out)),
        }
    return result


def _pooled_ccc(sums: Float[np.ndarray, "6"]) -> float:
    n, a, b, aa, bb, ab = sums
    if not n:
        return 0.0
    variances = aa / n - (a / n) ** 2 + bb / n - (b / n) ** 2
    denominator = variances + (a / n - b / n) ** 2
    return float(2 * (ab / n - a * b / n**2) / denominator) if denominator > 0 else 0.0
