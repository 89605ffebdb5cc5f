"""The facts beside the records, as far as they follow from the extracted rows of each split."""

import collections
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from va_jax.types import Track

Row = Mapping[str, Any]
"""A row of `writer.extract_all` that was not refused."""


def of_rows(rows: Mapping[str, Sequence[Row]], dims: Sequence[str]) -> dict[str, Any]:
    """{split: its rows in order} as metadata.

    `tracks` (the track table of each split), `split_hash` (of which track is in which split),
    `fps` (median of the tracks), `train_mean` (by dimension, over the frames with face and label;
    empty where there is none) and `counts` by split: `tracks`, `frames`, `face`, `labelled`,
    `used` (both), and `tally`, what was dropped, filled or hidden.
    """
    tracks = {split: _track_table(each) for split, each in rows.items()}
    ids = {split: sorted(track.track_id for track in tracks[split]) for split in tracks}
    counts = {split: _counts(each) for split, each in rows.items()}
    used = counts.get("train", {}).get("used", 0)
    sums = np.sum([row["target_sum"] for row in rows.get("train", [])], axis=0)
    return {
        "fps": float(np.median([row["track"]["fps"] for each in rows.values() for row in each])),
        "tracks": {split: [track.to_json() for track in tracks[split]] for split in tracks},
        "split_hash": hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()[:16],
        "train_mean": dict(zip(dims, (sums / used).tolist(), strict=True)) if used else {},
        "counts": counts,
    }


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
        **{key: sum(row[key] for row in rows) for key in ("face", "labelled", "used")},
        "tally": dict(sorted(tally.items())),
    }
