"""The report beside the records: a line for every recording, what became of it and why."""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builders.writer import Recording

NAME = "report.csv"

COLUMNS = ("split", "track_id", "video_id", "subject_id", "status", "frames", "fps")
COUNTS = ("face", "labelled", "used")


def write(
    path: pathlib.Path, recordings: Sequence[Recording], rows: Sequence[Mapping[str, Any]]
) -> None:
    """A csv of COLUMNS, COUNTS, a column for every tally that occurs, and the reason of a refusal.

    `status` is `built` or `refused`; `rows` are those of `writer.extract_all`, in the order of the
    recordings.
    """
    tallies = sorted({key for row in rows for key in row.get("tally", ())})
    header = [*COLUMNS, *COUNTS, *tallies, "reason"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        for recording, row in zip(recordings, rows, strict=True):
            writer.writerow(_line(recording, row, tallies))


def _line(recording: Recording, row: Mapping[str, Any], tallies: Sequence[str]) -> dict[str, Any]:
    ids = {key: getattr(recording, key) for key in COLUMNS[:4]}
    if "refused" in row:
        return {**ids, "status": "refused", "reason": row["refused"]}
    counts = {key: row[key] for key in COUNTS} | {key: row["tally"].get(key, 0) for key in tallies}
    track = {key: row["track"][key] for key in ("frames", "fps")}
    return {**ids, "status": "built", **track, **counts}
