"""Compare two systems with a bootstrap over the recordings on which both are scored."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

from va_jax.evaluation import bootstrap
from va_jax.evaluation.metrics import METRICS
from va_jax.scoring.align import FAULTS
from va_jax.scoring.difference import Difference, differences
from va_jax.scoring.files import UNTIMED, Timing
from va_jax.scoring.folders import find_traces
from va_jax.scoring.pairing import Paired, Side, pair_runs
from va_jax.types import InputError

FEWEST_RESAMPLES = 100
"""Smallest number of resamples; with fewer, not even five lie outside a 95 % interval (our choice).
"""

METHOD = f"paired, symmetric {bootstrap.METHOD}"

MEAN = "mean over dimensions"


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Options for comparing two systems.

    Raises:
        InputError: a number is out of range.
    """

    split: str = "test"  # split to compare in workdirs
    dims: Sequence[str] | None = None  # None: all dimensions that the labels and every run have
    processed: bool = False  # whether to compare post-processed predictions
    formula: str = "population"  # formula of the CCC, one of `metrics.FORMULAS`
    metrics: Sequence[str] = METRICS  # must contain ccc
    resamples: int = bootstrap.RESAMPLES
    seed: int = 0  # seed of the bootstrap
    timing: Timing = UNTIMED  # how to identify rows if the column names leave it open
    strict: bool = False  # whether to refuse the data if anything is left out

    def __post_init__(self) -> None:
        if self.resamples < FEWEST_RESAMPLES:
            raise InputError(
                f"--resamples={self.resamples} is too few; set at least {FEWEST_RESAMPLES}"
            )
        if self.seed < 0:
            raise InputError(f"--seed={self.seed}: must be 0 or greater")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The differences between two systems."""

    paired: Paired
    labels: pathlib.Path | None  # folder of labels, if one was given
    options: CompareOptions
    scores: dict[str, dict[str, dict[str, Difference]]]
    """Metric -> dimension (for the CCC, also `MEAN`) -> aggregation -> difference."""

    @property
    def headline(self) -> Difference:
        """Return the difference between the pooled CCCs, each averaged over the dimensions."""
        dims = self.paired.dims
        return self.scores["ccc"][MEAN if len(dims) > 1 else dims[0]]["pooled"]


def compare(
    first: str,
    second: str,
    labels: pathlib.Path | None = None,
    options: CompareOptions | None = None,
) -> Comparison:
    """Compare two systems with every metric and aggregation.

    Args:
        first: one or more runs of the first system, as accepted by `pairing.find_runs`.
        second: the same for the second system.
        labels: folder of label files, or a workdir; None if the traces contain the labels.
        options: options for the comparison.
    """
    options = options or CompareOptions()
    a, b = Side(first, options.split), Side(second, options.split)
    truth = None if labels is None else find_traces(labels.expanduser(), options.split)
    paired = pair_runs(a, b, truth, options.dims, options.processed, options.timing)
    if options.strict:
        _refuse_losses({"A": a, "B": b})
    rows = differences(a.moments, b.moments, options.formula, options.resamples, options.seed)
    names = [*paired.dims, MEAN] if len(paired.dims) > 1 else paired.dims
    scores = {
        metric: {
            name: {aggregation: row[metric][i] for aggregation, row in rows.items()}
            for i, name in enumerate(names)
            if name != MEAN or metric == "ccc"
        }
        for metric in options.metrics
    }
    return Comparison(paired, truth, options, scores)


def to_json(comparison: Comparison) -> str:
    """Return the comparison as a JSON object."""
    paired, options = comparison.paired, comparison.options
    sides = {
        name: {
            "given": side.given,
            "runs": [str(folder) for folder in side.folders],
            "recordings_left_out": side.recordings,
            "frames_left_out": side.frames,
            "first_left_out": side.first,
            "counts": side.tally.counts,
            "first": side.tally.first,
        }
        for name, side in (("a", paired.a), ("b", paired.b))
    }
    result = {
        **sides,
        "labels": None if comparison.labels is None else str(comparison.labels),
        "dims": paired.dims,
        "processed": paired.processed,
        "has_processed": paired.has_processed,
        "recordings": paired.recordings,
        "frames": paired.frames,
        "formula": options.formula,
        "bootstrap": {
            "method": METHOD,
            "resamples": options.resamples,
            "level": bootstrap.LEVEL,
            "seed": options.seed,
        },
        "headline": {
            "metric": "ccc",
            "aggregation": "pooled",
            "dims": paired.dims,
            **dataclasses.asdict(comparison.headline),
        },
        "scores": comparison.scores,
    }
    return json.dumps(result, indent=1, allow_nan=False, default=dataclasses.asdict) + "\n"


def _refuse_losses(sides: Mapping[str, Side]) -> None:
    for name, side in sides.items():
        losses = [
            ("recordings left out", side.recordings, side.first),
            ("frames left out", side.frames, side.first),
            *(
                (FAULTS[key], side.tally.counts[key], first)
                for key, first in side.tally.first.items()
            ),
        ]
        for fault, count, first in losses:
            if count:
                raise InputError(
                    f"--strict: {name}: {fault}: {count} (first: {first}); correct the files, or "
                    "omit --strict"
                )
