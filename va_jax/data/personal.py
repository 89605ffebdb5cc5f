"""The recordings of a single subject, divided by time into a part to learn from and the rest."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from va_jax.config import Data
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Labels, Source
from va_jax.types import CLIP_FRAMES, InputError, Track

DEV_SHARE = 0.25
"""Share of the labelled time to learn from that chooses the best checkpoint; our choice."""

GAP = 1
"""Clips left out between two parts of a track, so that no part begins with almost the frame that
ends the previous one; our choice."""


class Parts(NamedTuple):
    """Tracks of each split, all of them parts of the tracks of one subject."""

    train: list[Track]
    dev: list[Track]
    test: list[Track]


def split_of(subject: str, tracks: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the name of the split that contains all recordings of a subject.

    Args:
        subject: id of the subject.
        tracks: rows of the track table by split.

    Raises:
        InputError: no split or several splits contain the subject.
    """
    subjects = {split: {row["subject_id"] for row in rows} for split, rows in tracks.items()}
    found = [split for split, each in subjects.items() if subject in each]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"data.subject={subject!r}: this subject is in the splits {', '.join(found)}, so the "
            "network may have learned from the frames to score; build the data set with splits by "
            "subject"
        )
    known = sorted(set().union(*subjects.values()))
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    raise InputError(
        f"data.subject={subject!r}: the data set has no such subject, only "
        f"{', '.join(known[:10])}{more}"
    )


def divide(source: Source | FeatureSource, data: Data) -> Parts:
    """Divide the recordings of `data.subject` in a source by time, in the order of the track table.

    The first `data.subject_minutes` of labelled frames are train and dev (`DEV_SHARE`), the rest is
    test. Tracks are divided between clips; `GAP` clips are left out where one is divided.

    Raises:
        InputError: the subject has too few labelled frames.
    """
    tracks = [each for each in enumerate(source.tracks) if each[1].subject_id == data.subject]
    seconds = {index: _labelled_s(source.labels(index), track.fps) for index, track in tracks}
    total = sum(each.sum() for each in seconds.values())
    ends = np.array([1 - DEV_SHARE, 1]) * data.subject_minutes * 60
    parts, labelled, before = Parts([], [], []), [0.0, 0.0, 0.0], 0.0
    for index, track in tracks:
        starts = before + np.concatenate([[0], np.cumsum(seconds[index])[:-1]])
        before += seconds[index].sum()
        part = np.searchsorted(ends, starts + 1e-6, side="right")
        for number in range(len(parts)):
            inside = np.flatnonzero(part == number)
            if len(inside) and number and inside[0]:
                inside = inside[GAP:]
            if len(inside):
                parts[number].append(_part(track, int(inside[0]), len(inside)))
                labelled[number] += seconds[index][inside].sum()
    if not all(labelled):
        shares = ", ".join(f"{each / 60:.2f}" for each in labelled)
        raise InputError(
            f"data.subject_minutes={data.subject_minutes:g}: of the {total / 60:.2f} labelled "
            f"minutes of subject {data.subject!r}, train, dev and test would get {shares}, and "
            "none of them can be empty; set a different value"
        )
    return parts


def _labelled_s(labels: Labels, fps: float) -> np.ndarray:
    """Return the labelled seconds in each clip of a track."""
    used = labels.face & np.isfinite(labels.target).all(-1)
    return np.add.reduceat(used, np.arange(0, len(used), CLIP_FRAMES), dtype=float) / fps


def _part(track: Track, first: int, clips: int) -> Track:
    """Return `clips` clips of a track, starting with clip number `first`."""
    start = first * CLIP_FRAMES
    frames = min(clips * CLIP_FRAMES, track.frames - start)
    name = track.track_id if frames == track.frames else f"{track.track_id} from frame {start}"
    return Track(
        name, track.video_id, track.subject_id, track.group, track.fps, frames,
        track.first_record + first,
    )  # fmt: skip


def metadata(
    facts: Mapping[str, Any], data: Data, open_split: Callable[[str], Source | FeatureSource]
) -> dict[str, Any]:
    """Return the metadata of a data set that consists only of the parts of one subject.

    Args:
        facts: metadata of the whole data set.
        data: section of the config, with `subject`.
        open_split: function that opens a split of the whole data set.
    """
    source = open_split(split_of(data.subject, facts["tracks"]))
    parts = divide(source, data)
    names = {data.train: parts.train, data.dev: parts.dev, data.test: parts.test}
    train = source.with_tracks(parts.train)
    labels = [train.labels(index) for index in range(len(parts.train))]
    target = np.concatenate([each.target for each in labels])
    used = np.concatenate([each.face for each in labels]) & np.isfinite(target).all(-1)
    mean = target[used].astype(np.float64).mean(0).tolist()
    tracks_hash, _, label_hash = facts["split_hash"].partition("-")
    own = f"{tracks_hash} {data.subject} {data.subject_minutes}".encode()
    whole = {key: facts[key] for key in facts if key not in ("ceiling", "rater_agreement")}
    return whole | {
        "tracks": {name: [each.to_json() for each in part] for name, part in names.items() if name},
        "counts": {name: {"frames": sum(t.frames for t in names[name])} for name in names if name},
        "train_mean": dict(zip(facts["dims"], mean, strict=True)),
        "split_hash": f"{hashlib.sha256(own).hexdigest()[:16]}-{label_hash}",
    }
