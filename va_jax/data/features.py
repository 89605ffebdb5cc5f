"""Cached features: the output of a frozen backbone for every frame, and the labels of a data set.

A folder of features replaces the frames of a built data set in training. It contains, for each
split, the features of all tracks one after the other (`SPLIT.npy`, memory-mapped), the features of
the mirrored frames if there are any (`SPLIT.mirrored.npy`), and the labels (`SPLIT.npz`);
`features.json` contains the metadata of the data set and identifies the backbone that computed the
features.
"""

import bisect
import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from va_jax.data.sources import Labels
from va_jax.io import read_json
from va_jax.types import CLIP_FRAMES, InputError, Track

NAME = "features.json"
REMEDY = "cache the features again with `va_jax features`"
TYPES = {"float16": np.float16, "float32": np.float32}

REQUIRED = ("data", "metadata", "backbone", "size", "width", "type", "mirrored")


@dataclasses.dataclass(frozen=True)
class FeatureSource:
    """One split of cached features; it can be read like a `sources.Source`, but has no frames."""

    tracks: list[Track]
    dims: tuple[str, ...]
    size: int  # side of the frames that the backbone saw, in pixels
    width: int  # number of features per frame
    values: np.ndarray  # [frames of all tracks, width], memory-mapped
    mirrored: np.ndarray | None  # the same for mirrored frames
    columns: Labels  # of all tracks, one after the other
    first: list[int]  # row of the first frame of each track
    landmarks: int = 0  # number of points per frame
    spread: Mapping[str, float] = dataclasses.field(default_factory=dict)  # as in `sources.Source`
    bad: dict[int, str] = dataclasses.field(default_factory=dict)  # empty, since all could be read

    def with_tracks(self, tracks: list[Track]) -> "FeatureSource":
        """Return a source of the same features with other tracks: parts of its tracks."""
        records = [track.first_record for track in self.tracks]
        first = []
        for track in tracks:
            whole = bisect.bisect_right(records, track.first_record) - 1
            skipped = (track.first_record - records[whole]) * CLIP_FRAMES
            first.append(self.first[whole] + skipped)
        return dataclasses.replace(self, tracks=tracks, first=first)

    def read(
        self, track: int, numbers: np.ndarray, features: np.ndarray, flip: bool = False
    ) -> Labels:
        """Copy the features of some frames of a track and return the labels of these frames.

        Args:
            track: index into `tracks`.
            numbers: ascending frame numbers within the track.
            features: float32 [len(numbers), width], written in place.
            flip: whether to read the features of the mirrored frames.
        """
        rows = self.first[track] + numbers
        stored = self.mirrored if flip and self.mirrored is not None else self.values
        features[:] = stored[rows]
        return _selected(self.columns, rows)

    def labels(self, track: int) -> Labels:
        """Return the labels for every frame in a track."""
        return _selected(self.columns, self.first[track] + np.arange(self.tracks[track].frames))

    def jpegs(self, track: int, numbers: np.ndarray) -> list[bytes]:
        """Return b"" for every frame, since the frames are not stored."""
        return [b""] * len(numbers)


def _selected(columns: Labels, rows: np.ndarray) -> Labels:
    known = {key: column for key, column in columns._asdict().items() if column is not None}
    return Labels(**{key: column[rows] for key, column in known.items()})


def first_rows(tracks: list[Track]) -> list[int]:
    """Return the row of each track's first frame in an array of all tracks, one after the other."""
    return [0, *np.cumsum([track.frames for track in tracks]).tolist()][: len(tracks)]


def read_facts(folder: pathlib.Path) -> dict[str, Any]:
    """Return the content of features.json.

    Raises:
        InputError: the folder does not contain features.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"data.features={str(folder)!r}: contains no file {NAME}; {REMEDY}")
    facts = read_json(path, REMEDY)
    if not isinstance(facts, dict) or not set(REQUIRED) <= facts.keys():
        raise InputError(f"{path}: does not describe cached features; {REMEDY}")
    return facts


def open_split(folder: pathlib.Path, split: str, landmarks: int = 0) -> FeatureSource:
    """Open a split of cached features.

    Args:
        folder: folder that `va_jax features` wrote.
        split: name of the split.
        landmarks: number of landmarks per frame to read; 0 for none.

    Raises:
        InputError: the folder lacks the split, stores a different number of landmarks, or has
            damaged files.
    """
    facts = read_facts(folder)
    metadata: Mapping[str, Any] = facts["metadata"]
    tracks = [Track(**row) for row in metadata["tracks"].get(split, [])]
    if not tracks:
        have = ", ".join(name for name, rows in metadata["tracks"].items() if rows)
        raise InputError(
            f"{folder}: contains no features of split {split!r}, only of {have}; choose one of "
            f"these splits, or {REMEDY}"
        )
    shape = (sum(track.frames for track in tracks), facts["width"])
    values = _mapped(folder / f"{split}.npy", shape, facts["type"])
    mirrored = None
    if facts["mirrored"]:
        mirrored = _mapped(folder / f"{split}.mirrored.npy", shape, facts["type"])
    columns = _read_labels(folder / f"{split}.npz", shape[0])
    points = 0 if columns.landmarks is None else columns.landmarks.shape[1]
    if landmarks not in (0, points):
        raise InputError(
            f"model.landmark_points={landmarks}, but {folder} contains {points or 'no'} landmarks "
            f"per frame; set {f'model.landmark_points={points} or ' if points else ''}"
            "model.landmarks='none'"
        )
    if not landmarks:
        columns = columns._replace(landmarks=None)
    spread = metadata.get("rater_spread", {}).get(split, {})
    return FeatureSource(
        tracks, tuple(metadata["dims"]), facts["size"], facts["width"], values, mirrored, columns,
        first_rows(tracks), landmarks, spread,
    )  # fmt: skip


def _mapped(path: pathlib.Path, shape: tuple[int, int], kind: str) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if values.shape != shape or values.dtype != TYPES[kind]:
        raise InputError(
            f"{path}: contains {values.dtype} values with shape {values.shape}, but {NAME} "
            f"specifies {kind} with shape {shape}; {REMEDY}"
        )
    return values


def _read_labels(path: pathlib.Path, frames: int) -> Labels:
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels = Labels(**{key: stored[key] for key in stored.files})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if {len(each) for each in labels if each is not None} != {frames}:
        raise InputError(f"{path}: does not contain labels for {frames} frames; {REMEDY}")
    return labels
