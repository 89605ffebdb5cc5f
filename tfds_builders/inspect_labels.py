"""Check readable labels, on their own and against the images that they belong to."""

import collections
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tfds_builders.inspect_recording import LEFT_OUT, Finding, Footage, Inspected
from tfds_builders.labels import ROUNDING_S, Extent, Labels, NumberedLabels, Reading, misfit
from tfds_builders.recorded_config import RecordedConfig
from tfds_builders.segments import SegmentedLabels
from va_jax.io import Table
from va_jax.types import LABEL_RANGE

# Our choices.
LEAST_ROWS = 100  # a shorter file is compared with other short files, see `inspect_copies`
AT_THE_EDGE = 0.5  # scale is suspicious if a larger share of rows is at the ends of the range
TOLERANCE = 0.01  # accepted relative difference between rows and frames; 2 are always accepted

SHOWN_COLUMNS = 8
"""Maximum number of columns to show from a label file."""


class ReadAs(NamedTuple):
    """A group of label files whose columns were understood alike."""

    file: str  # first file of the group
    files: int  # number of files
    reading: Reading  # reading of the first file

    def to_json(self) -> dict[str, object]:
        """Return the meaning of each column, as JSON values; a name may occur twice."""
        columns = list(zip(self.reading.header, self.reading.meaning, strict=True))
        return {"file": self.file, "files": self.files, "columns": [list(each) for each in columns]}

    def text(self) -> str:
        """Return the first rows with the meaning of each column, as several lines."""
        reading = self.reading
        order = sorted(range(len(reading.header)), key=lambda n: reading.meaning[n] == "ignored")
        shown = sorted(order[:SHOWN_COLUMNS])
        rows = [("read as", [reading.meaning[n] for n in shown])]
        rows += [(f"line {line}", [cells[n] for n in shown]) for line, cells in reading.rows]
        table = Table(
            ["column", *(reading.header[n] or str(n + 1) for n in shown)],
            [[label, *cells] for label, cells in rows],
        )
        others = f" and {self.files - 1} more file{'s' * (self.files > 2)}" * (self.files > 1)
        left = f"\n    and {len(order) - len(shown)} more columns, which are ignored"
        indented = table.text().replace("\n", "\n    ")
        return f"  {self.file}{others}:\n    {indented}{left * (len(order) > len(shown))}"


def read_as(inspected: Sequence[Inspected]) -> list[ReadAs]:
    """Group the label files by how their columns were understood."""
    groups: dict[tuple, list[tuple[str, Reading]]] = collections.defaultdict(list)
    for each in inspected:
        labels = _labels(each)
        if labels is not None and labels.reading is not None:
            reading = labels.reading
            groups[reading.header, reading.meaning].append((each.recording.label_file, reading))
    return [ReadAs(files[0][0], len(files), files[0][1]) for files in groups.values()]


def check(inspected: Inspected, config: RecordedConfig) -> Iterator[Finding]:
    """Yield the problems found in the labels of one recording."""
    labels = _labels(inspected)
    if labels is None:
        return
    name, values = inspected.recording.label_file, _valid(labels)
    if not len(values):
        yield Finding("no labels", f"{name}: no row is valid", "all frames will be unlabelled")
        return
    if len(values) >= LEAST_ROWS:
        for dim, column in zip(config.dims, values.T, strict=True):
            yield from _check_column(name, dim, column)
    yield from _check_gaps(labels, name)
    if inspected.footage is not None:
        problem = misfit(labels, _extent(inspected.footage))
        if problem and config.unused_rows == "refuse":
            yield Finding("labels do not fit", f"{name}: {problem}", LEFT_OUT)
        else:
            yield from _check_count(labels, inspected.footage, name)


def check_scale(inspected: Sequence[Inspected], dims: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding if no label of the set is below 0, which suggests a different range."""
    ranges = [(label_range(each), each.recording.label_file) for each in inspected]
    known = [(each, file) for each, file in ranges if each is not None]
    if not known or any((low < 0).any() for (low, _), _ in known):
        return
    highest, file = max((float(high.max()), file) for (_, high), file in known)
    if highest > 0:
        problem = f"{pathlib.PurePath(file).parent}: no label of {', '.join(dims)} is below 0"
        where = f"the highest is {highest:g} in {file}"
        consequence = "the labels will be kept; correct them if their scale is not -1 to 1"
        yield Finding("label range", f"{problem}, and {where}", consequence)


def label_range(inspected: Inspected) -> np.ndarray | None:
    """Return the lowest and highest valid value per dimension, float64 [2, dims]."""
    labels = _labels(inspected)
    values = None if labels is None else _valid(labels)
    return None if values is None or not len(values) else np.stack([values.min(0), values.max(0)])


def _labels(inspected: Inspected) -> Labels | None:
    return None if inspected.material is None else inspected.material.labels


def _valid(labels: Labels) -> np.ndarray:
    return labels.values[np.isfinite(labels.values).all(1)]


def _check_column(name: str, dim: str, column: np.ndarray) -> Iterator[Finding]:
    edge = np.isin(column, LABEL_RANGE).mean()
    if np.ptp(column) == 0:
        problem = f"{name}: {dim} is {column[0]:g} in all {len(column)} rows"
        consequence = "the recording will be kept; remove the file if the labels are wrong"
        yield Finding("constant labels", problem, consequence)
    elif edge > AT_THE_EDGE:
        problem = f"{name}: {dim} is -1 or 1 in {edge:.0%} of {len(column)} rows"
        yield Finding("label range", problem, "the labels will be kept; check how they were scaled")


def _check_gaps(labels: Labels, name: str) -> Iterator[Finding]:
    """Yield a finding about the largest gap between rows: missing frame numbers or a long time."""
    if isinstance(labels, NumberedLabels):
        places, most, unit = labels.number, 1, "frames"
    else:
        places, most, unit = labels.time_s, labels.max_gap_s + ROUNDING_S, "seconds"
    steps = np.diff(places)
    gaps = np.flatnonzero(steps > most)
    if isinstance(labels, SegmentedLabels):  # gaps between segments are as they should be
        gaps = gaps[labels.same_segment(gaps)]
    if len(gaps):
        at = gaps[np.argmax(steps[gaps])]
        between = f"{unit} {places[at]:g} and {places[at + 1]:g}"
        others = f", and {len(gaps) - 1} more gap{'s' * (len(gaps) > 2)}" * (len(gaps) > 1)
        problem = f"{name}: has no row between {between}{others}"
        yield Finding("label gap", problem, "frames in the gap will be unlabelled")


def _extent(footage: Footage) -> Extent:
    number, time_s = footage.number, footage.time_s
    ends = (float(time_s[0]), float(time_s[-1]))
    return Extent((int(number[0]), int(number[-1])), ends, len(number))


def _check_count(labels: Labels, footage: Footage, name: str) -> Iterator[Finding]:
    """Yield a finding if a build would leave too many rows or frames unmatched."""
    frames = len(footage.number)
    bare = int((~labels.covers(footage.number, footage.time_s)).sum())
    extent = _extent(footage)
    unused = labels.unused(extent.number, extent.time_s)
    beyond = 0
    if isinstance(labels, NumberedLabels) and footage.pictures.is_dir():
        beyond = extent.number[1] - int(footage.shown[-1])
    if max(bare, unused, beyond) <= max(2, TOLERANCE * frames):
        return
    problem = f"{name}: has {len(labels.values)} rows for the {frames} frames of {footage.pictures}"
    consequences = [
        f"{bare} frames without a row will be unlabelled" * bool(bare),
        f"{unused} rows that match no frame will be dropped" * bool(unused),
        f"{beyond} frames after the last image will show no face" * bool(beyond),
    ]
    yield Finding("unequal counts", problem, ", ".join(filter(None, consequences)))
