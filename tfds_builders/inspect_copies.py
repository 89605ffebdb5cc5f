"""Compare the labels of all recordings to find full or partial copies and short constant files."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tfds_builders.inspect_labels import LEAST_ROWS as LONG
from tfds_builders.inspect_recording import Finding, Inspected

# Our choices.
LEAST_ROWS = 5  # a shorter file may be constant or equal to another one by chance
WINDOW = 5  # number of rows that are compared at once in the search for copies
CHANGES = 4  # a whole file is a copy only if its labels change at least this often
PART_CHANGES = 8  # the same limit for a part of a file
SHARE = 0.5  # a part is reported if it makes up at least this share of the shorter file
CANDIDATES = 3  # number of alignments to verify for each file
FEW, USUAL = 3, 0.1  # one line covers all constant files if count and share are above these
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class Trace:
    """The labels in one file."""

    file: str
    values: np.ndarray  # float64 [rows, dims]

    @property
    def valid(self) -> np.ndarray:
        """Return only the rows without NaN."""
        return self.values[np.isfinite(self.values).all(1)]


class Place(NamedTuple):
    """The first place where a piece of labels appears."""

    trace: int
    row: int


def check_together(inspected: Sequence[Inspected], dims: Sequence[str]) -> Iterator[Finding]:
    """Yield the problems that appear only when the label files are compared with each other."""
    traces = [
        Trace(each.recording.label_file, each.material.labels.values)
        for each in inspected
        if each.material is not None and each.material.labels is not None
    ]
    traces.sort(key=lambda trace: trace.file)
    for column, dim in enumerate(dims):
        yield from _short_constants(traces, column, dim)
    yield from _copies(traces)


def _short_constants(traces: Sequence[Trace], column: int, dim: str) -> Iterator[Finding]:
    """Yield a finding for each short constant file, or a single one if there are many."""
    short = [each for each in traces if LEAST_ROWS <= len(each.valid) < LONG]
    constant = [each for each in short if np.ptp(each.valid[:, column]) == 0]
    consequence = "the recording will be kept; remove the file if the labels are wrong"
    if len(constant) > max(FEW, USUAL * len(short)):
        files = ", ".join(each.file for each in constant[:FEW])
        problem = (
            f"{files} and {len(constant) - FEW} more: {dim} is constant in {len(constant)} of "
            f"{len(short)} files with fewer than {LONG} rows"
        )
        yield Finding("constant labels", problem, consequence)
        return
    for each in constant:
        value, rows = each.valid[0, column], len(each.valid)
        problem = f"{each.file}: {dim} is {value:g} in all {rows} rows"
        yield Finding("constant labels", problem, consequence)


def _copies(traces: Sequence[Trace]) -> Iterator[Finding]:
    """Yield a finding for each file that shares most of its rows with an earlier one.

    For each file, the pieces of WINDOW rows that start at every WINDOW-th row are remembered. A
    later file that contains enough of these pieces at the same distance is compared with the
    earlier file row by row. A copy is thus found wherever it lies in either file.
    """
    first: dict[int, Place] = {}
    for index, trace in enumerate(traces):
        pieces = _pieces(trace.values)
        votes = collections.Counter(
            (place.trace, place.row - row)
            for row, piece in enumerate(pieces)
            if piece and (place := first.get(piece)) is not None
        )
        for (other, shift), _ in votes.most_common(CANDIDATES):
            problem = _shared(trace, traces[other], shift)
            if problem:
                yield Finding(
                    "duplicated labels",
                    problem,
                    "both recordings will be kept; remove the labels that are wrong",
                )
                break
        for row in range(0, len(pieces), WINDOW):
            if pieces[row]:
                first.setdefault(pieces[row], Place(index, row))


def _pieces(values: np.ndarray) -> list[int]:
    """Return, for each row, a hash of the next WINDOW rows, or 0 if they are constant."""
    if len(values) < WINDOW:
        return []
    bits = (np.nan_to_num(values, nan=9.0) + 0.0).view(np.uint64)  # + 0.0 turns -0 into 0
    rows = np.zeros(len(values), np.uint64)
    for column in bits.T:
        rows = (rows ^ column ^ (column >> np.uint64(29))) * MULTIPLIER
    hashes = np.zeros(len(values) - WINDOW + 1, np.uint64)
    for step in range(WINDOW):
        piece = rows[step : len(rows) - WINDOW + 1 + step]
        hashes = (hashes ^ piece ^ (piece >> np.uint64(31))) * MULTIPLIER
    changes = np.concatenate([[0], np.cumsum(rows[1:] != rows[:-1])])
    varied = changes[WINDOW - 1 :] > changes[: len(hashes)]
    return np.where(varied, hashes, 0).tolist()


def _shared(trace: Trace, other: Trace, shift: int) -> str:
    """Describe the rows that `trace` shares with `other`, `shift` rows later; "" if too few."""
    start, stop = max(0, -shift), min(len(trace.values), len(other.values) - shift)
    here, there = trace.values[start:stop], other.values[start + shift : stop + shift]
    same = (here == there).all(1)
    changes = ((np.diff(here, axis=0) != 0).any(1) & same[1:] & same[:-1]).sum()
    if same.sum() == len(trace.valid) == len(other.valid) and changes >= CHANGES:
        return f"{trace.file}: has the same values as {other.file}"
    shorter = min(len(trace.valid), len(other.valid))
    if changes < PART_CHANGES or same.sum() < SHARE * shorter:
        return ""
    rows = np.flatnonzero(same)
    from_row, to_row = start + rows[0] + 1, start + rows[-1] + 1
    return (
        f"{trace.file}: {len(rows)} of {len(trace.values)} rows, between rows {from_row} and "
        f"{to_row}, have the same values as rows {from_row + shift} to {to_row + shift} of "
        f"{other.file}"
    )
