"""The files next to the records: the metadata of a set, and report.csv with a row per recording."""

import collections
import hashlib
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfds_builders.material import Recording
from va_jax import io
from va_jax.types import Track

REPORT = "report.csv"

IDS = ("split", "track_id", "video_id", "subject_id")
COUNTS = ("face", "labelled", "used")

Row = Mapping[str, Any]
"""A row of `parts.extract_all`."""

SAME_RATE = 1.1
"""Ratio of frame rates up to which they count as equal (our choice, as in `va_jax predict`)."""


def summarize(rows: Mapping[str, Sequence[Row]], dims: Sequence[str]) -> dict[str, Any]:
    """Compute metadata from the rows of the recordings that were built.

    Args:
        rows: {split: rows of its recordings, without refused ones}.
        dims: Names of the targets.

    Returns:
        `tracks` (the track table of each split), `split_hash` (two hashes joined by `-`: of the
        assignment of tracks to splits, and of their labels), `fps` (median over the tracks),
        `train_mean` (by dimension, over the frames with a face and a label; empty if there are
        none), `rater_spread` (mean spread between raters by split and dimension, over the frames
        with a face and a label; only if it is known) and `counts` by split: `tracks`, `frames`,
        `face`, `labelled`, `used` (frames with a face and a label) and `tally`, the sum over all
        recordings.
    """
    tracks = {split: _track_table(each) for split, each in rows.items()}
    ids = {split: sorted(track.track_id for track in tracks[split]) for split in tracks}
    labels = {row["track"]["track_id"]: row["label_hash"] for each in rows.values() for row in each}
    counts = {split: _counts(each) for split, each in rows.items()}
    used = counts.get("train", {}).get("used", 0)
    sums = np.sum([row["target_sum"] for row in rows.get("train", [])], axis=0)
    spreads = {split: _mean_spread(each, dims) for split, each in rows.items()}
    return {
        "fps": float(np.median([row["track"]["fps"] for each in rows.values() for row in each])),
        "tracks": {split: [track.to_json() for track in tracks[split]] for split in tracks},
        "split_hash": f"{_hash(ids)}-{_hash(labels)}",
        "train_mean": dict(zip(dims, (sums / used).tolist(), strict=True)) if used else {},
        **({"rater_spread": spreads} if any(spreads.values()) else {}),
        "counts": counts,
    }


def rate_warnings(rates: Sequence[float]) -> list[str]:
    """Return a warning if frame rates differ by more than `SAME_RATE`."""
    if not rates or max(rates) <= SAME_RATE * min(rates):
        return []
    return [
        f"videos of {min(rates):g} to {max(rates):g} frames per second: a network counts frames, "
        "so it sees the same movement at different speeds; re-encode them at a single rate, for "
        "example with `ffmpeg -i VIDEO -r 25 NEW`"
    ]


def _mean_spread(rows: Sequence[Row], dims: Sequence[str]) -> dict[str, float]:
    """Return the mean spread between raters of each dimension for which it is known."""
    sums = np.sum([row["spread_sum"] for row in rows], axis=0)
    counts = np.sum([row["spread_count"] for row in rows], axis=0)
    return {
        dim: float(total / count)
        for dim, total, count in zip(dims, sums, counts, strict=True)
        if count
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _track_table(rows: Sequence[Row]) -> list[Track]:
    firsts = itertools.accumulate((row["records"] for row in rows), initial=0)
    return [
        Track(**row["track"], first_record=first) for row, first in zip(rows, firsts, strict=False)
    ]


def _counts(rows: Sequence[Row]) -> dict[str, Any]:
    tally: collections.Counter[str] = collections.Counter()
    for row in rows:
        tally.update(row["tally"])
    return {
        "tracks": len(rows),
        "frames": sum(row["track"]["frames"] for row in rows),
        **{key: sum(row[key] for row in rows) for key in COUNTS},
        "tally": dict(sorted(tally.items())),
    }


def write_report(path: pathlib.Path, recordings: Sequence[Recording], rows: Sequence[Row]) -> None:
    """Write one csv row per recording: its names, status, counts, and the reason if it was refused.

    Args:
        path: File to write.
        recordings: All recordings of the set.
        rows: Their rows, in the same order.
    """
    tallies = sorted({key for row in rows for key in row.get("tally", ())})
    header = [*IDS, "status", "frames", "fps", *COUNTS, *tallies, "reason"]
    lines = []
    for recording, row in zip(recordings, rows, strict=True):
        ids = [io.text_cell(getattr(recording, key)) for key in IDS]
        if "refused" in row:
            empty = [""] * (2 + len(COUNTS) + len(tallies))
            lines.append([*ids, "refused", *empty, io.text_cell(row["refused"])])
        else:
            numbers = [row["track"]["frames"], row["track"]["fps"], *(row[key] for key in COUNTS)]
            counts = [row["tally"].get(key, 0) for key in tallies]
            lines.append([*ids, "built", *numbers, *counts, ""])
    io.write_csv(path, header, lines)
