"""Compare two systems by a bootstrap over the recordings on which both are scored."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence

from va_jax.evaluation import bootstrap
from va_jax.evaluation.metrics import METRICS
from va_jax.scoring.align import FAULTS
from va_jax.scoring.difference import Difference, differences
from va_jax.scoring.pairing import Side, find_runs, pair_runs
from va_jax.types import InputError

FEWEST_RESAMPLES = 100
"""With fewer, not even five resamples lie outside a 95 % interval; our choice."""

METHOD = f"paired, symmetric {bootstrap.METHOD}"

MEAN = "mean over dimensions"


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """How two systems are compared.

    Raises:
        InputError: a number is out of its range.
    """

    split: str = "test"  # of workdirs
    dims: Sequence[str] | None = None  # None: all that the labels and every run have
    processed: bool = False  # compare post-processed predictions
    formula: str = "population"  # of the CCC, one of `metrics.FORMULAS`
    metrics: Sequence[str] = METRICS  # must contain ccc
    resamples: int = bootstrap.RESAMPLES
    seed: int = 0  # of the bootstrap
    fps: float | None = None  # frames per second of files with frames only
    strict: bool = False  # refuse the data if anything is left out

    def __post_init__(self) -> None:
        if self.resamples < FEWEST_RESAMPLES:
            raise InputError(
                f"--resamples={self.resamples}: too few; give {FEWEST_RESAMPLES} or more"
            )
        if self.seed < 0:
            raise InputError(f"--seed={self.seed}: below 0; give 0 or more")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"--fps={self.fps:g}: not above 0; give a positive number")


@dataclasses.dataclass(frozen=True)
class SideSummary:
    """The runs of a side, and what is left out of the comparison."""

    given: str
    runs: list[str]
    recordings_left_out: int  # because another run lacks them
    frames_left_out: int
    first_left_out: str
    counts: dict[str, int]  # by the keys of `align.FAULTS`
    first: dict[str, str]  # first place of each fault that occurred


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The differences between two systems."""

    a: SideSummary
    b: SideSummary
    labels: str | None  # folder of labels, if one was given
    options: CompareOptions
    dims: list[str]
    processed: list[str]  # dimensions whose post-processed predictions are compared
    has_processed: bool  # whether all runs have such predictions of some dimension
    recordings: int
    frames: int
    scores: dict[str, dict[str, dict[str, Difference]]]
    """Metric -> dimension, for the CCC also `MEAN` -> aggregation -> difference."""

    @property
    def headline(self) -> Difference:
        """Return the difference in pooled CCC, averaged over the dimensions."""
        return self.scores["ccc"][MEAN if len(self.dims) > 1 else self.dims[0]]["pooled"]


def compare(
    first: str,
    second: str,
    labels: pathlib.Path | None = None,
    options: CompareOptions | None = None,
) -> Comparison:
    """Compare two systems under every metric and aggregation.

    Args:
        first: one or more runs of the first system, as `pairing.find_runs` reads them.
        second: the same for the second system.
        labels: folder of label files, or a workdir; without it the traces hold the labels.
        options: how to compare; the defaults if not given.

    Raises:
        InputError: nothing can be compared, or with `strict` something is left out.
    """
    options = options or CompareOptions()
    runs = [find_runs(given, options.split) for given in (first, second)]
    truth = None if labels is None else find_runs(str(labels), options.split)[0]
    paired = pair_runs(*runs, truth, options.dims, options.processed, options.fps)
    a, b = (
        _summarize(given, folders, side)
        for given, folders, side in zip((first, second), runs, paired.sides, strict=True)
    )
    if options.strict:
        _refuse_losses("A", a)
        _refuse_losses("B", b)
    moments = [side.moments() for side in paired.sides]
    rows = differences(*moments, options.formula, options.metrics, options.resamples, options.seed)
    names = [*paired.dims, MEAN] if len(paired.dims) > 1 else paired.dims
    scores = {
        metric: {
            name: {aggregation: row[metric][i] for aggregation, row in rows.items()}
            for i, name in enumerate(names)
            if name != MEAN or metric == "ccc"
        }
        for metric in options.metrics
    }
    return Comparison(
        a,
        b,
        None if truth is None else str(truth),
        options,
        paired.dims,
        paired.processed,
        paired.has_processed,
        paired.recordings,
        paired.frames,
        scores,
    )


def to_json(comparison: Comparison) -> str:
    """Return the comparison as a JSON object."""
    result = dataclasses.asdict(comparison)
    options, scores = result.pop("options"), result.pop("scores")
    result["formula"] = options["formula"]
    result["bootstrap"] = {
        "method": METHOD,
        "resamples": options["resamples"],
        "level": bootstrap.LEVEL,
        "seed": options["seed"],
    }
    result["headline"] = {
        "metric": "ccc",
        "aggregation": "pooled",
        "dims": comparison.dims,
        **dataclasses.asdict(comparison.headline),
    }
    result["scores"] = scores
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _summarize(given: str, folders: Sequence[pathlib.Path], side: Side) -> SideSummary:
    return SideSummary(
        given,
        [str(folder) for folder in folders],
        side.recordings,
        side.frames,
        side.first,
        side.tally.counts,
        side.tally.first,
    )


def _refuse_losses(name: str, side: SideSummary) -> None:
    remedy = "correct the files, or leave --strict out"
    left_out = {"recordings": side.recordings_left_out, "frames": side.frames_left_out}
    for unit, count in left_out.items():
        if count:
            raise InputError(
                f"--strict: {count} {unit} of {name} are left out, first {side.first_left_out}; "
                + remedy
            )
    for fault, first in side.first.items():
        raise InputError(
            f"--strict: {name}: {FAULTS[fault]}: {side.counts[fault]}, first {first}; {remedy}"
        )
