"""Built data sets: open a split, and read any frames from any of its tracks."""

import copy
import functools
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds
from tensorflow_datasets.core.decode import DeserializeMethod

from va_jax.types import CLIP_FRAMES, InputError, Track

Record = dict[str, Any]
"""The fields of `Labels`, and `frames`: either an array of JPEG bytes [n] or decoded frames, uint8
[n, size, size, 3]."""


class Labels(NamedTuple):
    """Labels and other data for some frames of one track, in the requested order."""

    target: np.ndarray  # float32 [time, dims]; NaN if unlabelled
    face: np.ndarray  # bool [time]
    time_s: np.ndarray  # float32 [time]
    landmarks: np.ndarray | None = None  # float32 [time, points, 2] as in types.Clip, if requested
    spread: np.ndarray | None = None  # float32 [time, dims] as in types.Clip, if the set stores it


class Source:
    """One split of a built data set, with its track table and random access to its frames.

    Several threads can read from a source at the same time; JPEG decoding releases the interpreter
    lock. `spread` is the mean spread between raters by dimension, {} if the records contain none.

    Args:
        records: function that returns the records with the given numbers.
        tracks: track table.
        dims: names of the target dimensions, in the order of the target's columns.
        size: side of the stored crops, in pixels.
        landmarks: number of points per frame to read; 0 for none.
        max_bad_records: number of unreadable records to tolerate. Their frames are treated as
            having neither a face nor a label, and `bad` maps their record numbers to descriptions.
            Any further unreadable record raises an InputError.
    """

    def __init__(
        self,
        records: Callable[[Sequence[int]], list[Record]],
        tracks: list[Track],
        dims: tuple[str, ...],
        size: int,
        landmarks: int = 0,
        max_bad_records: int = 0,
    ):
        self.tracks = tracks
        self.dims = dims
        self.size = size
        self.landmarks = landmarks
        self.spread: Mapping[str, float] = {}
        self.bad: dict[int, str] = {}
        self._max_bad_records = max_bad_records
        self._records = records

    def with_tracks(self, tracks: list[Track]) -> "Source":
        """Return a source of the same records with other tracks, such as parts of its tracks."""
        other = copy.copy(self)
        other.tracks = tracks
        return other

    def read(self, track: int, numbers: np.ndarray, images: np.ndarray) -> Labels:
        """Decode frames of a track into `images` and return their labels.

        Args:
            track: index into `tracks`.
            numbers: ascending frame numbers within the track.
            images: uint8 [len(numbers), size, size, 3], written in place, since copying the frames
                would take a tenth of the decoding time.
        """
        clips, keys = numbers // CLIP_FRAMES, self._fields
        parts: dict[str, list[np.ndarray]] = {key: [] for key in keys}
        done = 0
        touched = np.unique(clips)
        for clip, record in zip(touched, self._clips(track, touched.tolist()), strict=True):
            inside = numbers[clips == clip] - clip * CLIP_FRAMES
            fields = {key: record[key][inside] for key in keys}
            for place, i in enumerate(inside):
                try:
                    self._decode(record["frames"][i], images[done])
                except ValueError as error:
                    self._leave_out(track, int(clip), error)
                    images[done] = 0
                    fields |= {"face": fields["face"] & (np.arange(len(inside)) != place)}
                done += 1
            for key in keys:
                parts[key].append(fields[key])
        return Labels(**{key: np.concatenate(column) for key, column in parts.items()})

    @property
    def _fields(self) -> tuple[str, ...]:
        return _label_fields(self.landmarks > 0, bool(self.spread))

    def jpegs(self, track: int, numbers: np.ndarray) -> list[bytes]:
        """Return the stored JPEG bytes for some frames of a track; b"" if a frame has none."""
        clips, inside = np.divmod(numbers, CLIP_FRAMES)
        records = self._clips(track, clips.tolist())
        return [record["frames"][i] for record, i in zip(records, inside, strict=True)]

    def labels(self, track: int) -> Labels:
        """Return the labels for every frame in a track."""
        records = self._clips(track, range(self.tracks[track].records))
        return Labels(
            **{key: np.concatenate([record[key] for record in records]) for key in self._fields}
        )

    def record(self, track: int, clip: int) -> Record:
        """Return one record of a track, counted from its first one."""
        return self._clips(track, [clip])[0]

    def _clips(self, track: int, clips: Sequence[int]) -> list[Record]:
        """Return records of a track by their numbers, counted from its first record."""
        first = self.tracks[track].first_record
        try:
            return self._records([first + clip for clip in clips])
        except (OSError, RuntimeError, ValueError):  # read them one by one to find the bad record
            return [self._clip(track, clip) for clip in clips]

    def _clip(self, track: int, clip: int) -> Record:
        row = self.tracks[track]
        try:
            return self._records([row.first_record + clip])[0]
        except (OSError, RuntimeError, ValueError) as error:
            self._leave_out(track, clip, error)
        numbers = np.arange(clip * CLIP_FRAMES, min((clip + 1) * CLIP_FRAMES, row.frames))
        nothing = np.full((len(numbers), len(self.dims)), np.nan, np.float32)
        return {
            "frames": np.full(len(numbers), b"", object),
            "target": nothing,
            "face": np.zeros(len(numbers), bool),
            "time_s": (numbers / row.fps).astype(np.float32),
            "landmarks": np.full((len(numbers), self.landmarks, 2), np.nan, np.float32),
            "spread": nothing,
        }

    def _leave_out(self, track: int, clip: int, error: Exception) -> None:
        """Record a bad record; raise an InputError if there are too many."""
        row, number = self.tracks[track], self.tracks[track].first_record + clip
        last = min((clip + 1) * CLIP_FRAMES, row.frames) - 1
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.bad[number] = (
            f"record {number}, frames {clip * CLIP_FRAMES} to {last} of track {row.track_id!r}, "
            f"cannot be read: {cause}"
        )
        if len(self.bad) > self._max_bad_records:
            raise InputError(
                f"{self.bad[number]}; copy or build the data set again, or skip unreadable records "
                f"with data.max_bad_records={len(self.bad)}"
            ) from error

    def _decode(self, stored: bytes | np.ndarray, image: np.ndarray) -> None:
        if isinstance(stored, np.ndarray):
            image[:] = stored
        elif stored:
            simplejpeg.decode_jpeg(stored, colorspace="RGB", buffer=image)
        else:
            image[:] = 0


def _label_fields(landmarks: bool, spread: bool) -> tuple[str, ...]:
    """Return the `Labels` fields to read from a record, with or without its optional ones."""
    optional = {"landmarks": landmarks, "spread": spread}
    return tuple(key for key in Labels._fields if optional.get(key, True))


def directory(data_dir: str, name: str) -> pathlib.Path:
    """Return the folder with the newest version of a data set (`builder` or `builder/config`).

    Raises:
        InputError: the data set has not been built; the message contains the command to build it.
    """
    versions = _versions(data_dir, name)
    if not versions:
        raise InputError(
            f"data.name={name!r}: not found in data.dir={data_dir!r}; build it with "
            f"`va_jax build {name} --data_dir={data_dir}`, with --manual_dir=FOLDER for recordings"
        )
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")])


def _versions(data_dir: str, name: str) -> list[pathlib.Path]:
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)?", name):
        return []
    found = pathlib.Path(data_dir).expanduser().glob(f"{name}/*/dataset_info.json")
    return [path.parent for path in found if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)]


@functools.lru_cache
def _builder(path: pathlib.Path) -> Any:  # TFDS's own type declares neither features nor splits
    return tfds.builder_from_directory(path)


def is_built(data_dir: str, name: str) -> bool:
    """Return whether a version of data set `name` exists in `data_dir`."""
    return bool(_versions(data_dir, name))


def metadata(data_dir: str, name: str) -> dict[str, Any]:
    """Return `dims`, `crop`, `tracks`, `split_hash`, `train_mean` and builder-specific metadata."""
    return dict(_builder(directory(data_dir, name)).info.metadata)


def stored_landmarks(data_dir: str, name: str) -> int:
    """Return the number of landmarks per frame in a built data set; 0 for none."""
    layout = _builder(directory(data_dir, name)).info.features
    return layout["landmarks"].shape[1] if "landmarks" in layout else 0


def open_split(
    data_dir: str, name: str, split: str, landmarks: int = 0, max_bad_records: int = 0
) -> Source:
    """Open a split of a built data set.

    Args:
        data_dir: path to the folder that contains built data sets.
        name: name of the data set, `builder` or `builder/config`.
        split: name of the split.
        landmarks: number of landmarks per frame to read; 0 for none.
        max_bad_records: number of unreadable records to tolerate, see `Source`.

    Raises:
        InputError: the data set has not been built, it has no such split, the split has no tracks,
            or the data set stores a different number of landmarks.
    """
    builder = _builder(directory(data_dir, name))
    facts = builder.info.metadata
    if split not in facts["tracks"]:
        raise InputError(
            f"data set {name!r} has no split {split!r}, only {', '.join(sorted(facts['tracks']))}; "
            "choose data.train, data.dev and data.test from these splits (data.test may be empty)"
        )
    layout, points = builder.info.features, stored_landmarks(data_dir, name)
    if landmarks not in (0, points):
        raise InputError(
            f"model.landmark_points={landmarks}, but data set {name!r} contains {points or 'no'} "
            f"landmarks per frame; set {f'model.landmark_points={points} or ' if points else ''}"
            "model.landmarks='none'"
        )
    tracks = [Track(**row) for row in facts["tracks"][split]]
    if not tracks:
        raise InputError(
            f"data set {name!r}: split {split!r} has no tracks; choose a different split, or build "
            "the data set again with videos for this split (report.csv lists the excluded videos)"
        )
    stored = builder.as_data_source(split, deserialize_method=DeserializeMethod.RAW_BYTES)
    spread = facts.get("rater_spread", {}).get(split, {})  # sets of earlier versions have none
    needed = (
        "frames",
        *_label_fields(landmarks > 0, bool(spread)),
    )  # reading the other fields would take half a millisecond per window
    features: Any = tfds.features.FeaturesDict({key: layout[key] for key in needed})

    def read(numbers: Sequence[int]) -> list[Record]:
        return [features.deserialize_example_np(stored[n]) for n in numbers]

    source = Source(
        read, tracks, tuple(facts["dims"]), facts["crop"]["size"], landmarks, max_bad_records
    )
    source.spread = spread
    return source


def build(data_dir: str, name: str) -> None:
    """Build data set `name` if it does not exist, in a separate process on all cores.

    Raises:
        InputError: the build failed.
    """
    if _versions(data_dir, name):
        return
    command = [sys.executable, "-m", "tfds_builders.build", name, f"--data_dir={data_dir}"]
    command += ["--wait"]  # for a build that is still running after its run was killed
    done = subprocess.run([*command, f"--jobs={os.cpu_count()}"], check=False)
    if done.returncode:
        raise InputError(
            f"data.name={name!r}: the build failed; correct the error above, and run "
            f"`{' '.join(command)}`"
        )
