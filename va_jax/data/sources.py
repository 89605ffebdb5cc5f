"""Built data sets: open a split, and read any frames of any of its tracks."""

import functools
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds
from tensorflow_datasets.core.decode import DeserializeMethod

from va_jax.types import CLIP_FRAMES, InputError, Track

Record = dict[str, Any]
"""The fields of `Labels` and `frames`: object [n] of JPEG bytes or uint8 [n, size, size, 3]."""


class Labels(NamedTuple):
    """Labels and other facts of some frames of one track, in the order of the request."""

    target: np.ndarray  # float32 [time, dims]; NaN where unlabelled
    face: np.ndarray  # bool [time]
    time_s: np.ndarray  # float32 [time]
    landmarks: np.ndarray | None = None  # float32 [time, points, 2] as in types.Clip, if read


class Source:
    """One split of a built data set: its track table and random access to its frames.

    It is safe to read from many threads; JPEG decoding releases the interpreter lock.

    Args:
        records: returns the records of these numbers.
        tracks: track table.
        dims: names of the target dimensions, in the order of the target's columns.
        size: side of the stored crops in pixels.
        landmarks: points per frame to read; 0 for none.
        max_bad_records: records that may be unreadable. Their frames count as frames without face
            and label, and `bad` describes them by the number of the record. One more raises an
            InputError that names it.
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
        self.bad: dict[int, str] = {}
        self._max_bad_records = max_bad_records
        self._records = records
        self._fields = _label_fields(landmarks)

    def read(self, track: int, numbers: np.ndarray, images: np.ndarray) -> Labels:
        """Decode frames of a track into `images` and return their labels.

        Args:
            track: index into `tracks`.
            numbers: ascending frame numbers within the track.
            images: uint8 [len(numbers), size, size, 3], written in place; a copy of the frames
                would cost a tenth of their decoding.
        """
        clips = numbers // CLIP_FRAMES
        parts, done = [], 0
        touched = np.unique(clips)
        for clip, record in zip(touched, self._clips(track, touched.tolist()), strict=True):
            inside = numbers[clips == clip] - clip * CLIP_FRAMES
            fields = {key: record[key][inside] for key in self._fields}
            for place, i in enumerate(inside):
                try:
                    self._decode(record["frames"][i], images[done])
                except ValueError as error:
                    self._leave_out(track, int(clip), error)
                    images[done] = 0
                    fields |= {"face": fields["face"] & (np.arange(len(inside)) != place)}
                done += 1
            parts.append(fields.values())
        return Labels(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def jpegs(self, track: int, numbers: np.ndarray) -> list[bytes]:
        """Return the stored JPEG bytes of some frames of a track; b"" if none are stored."""
        clips, inside = np.divmod(numbers, CLIP_FRAMES)
        records = self._clips(track, clips.tolist())
        return [record["frames"][i] for record, i in zip(records, inside, strict=True)]

    def labels(self, track: int) -> Labels:
        """Return the labels of every frame of a track."""
        records = self._clips(track, range(self.tracks[track].records))
        columns = ([record[key] for record in records] for key in self._fields)
        return Labels(*(np.concatenate(column) for column in columns))

    def _clips(self, track: int, clips: Sequence[int]) -> list[Record]:
        """Return records of a track by their number within it."""
        first = self.tracks[track].first_record
        try:
            return self._records([first + clip for clip in clips])
        except (OSError, RuntimeError, ValueError):  # read one by one to find the bad one
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
                f"{self.bad[number]}; copy or build the data set again, or leave such records out "
                f"with data.max_bad_records={len(self.bad)}"
            ) from error

    def _decode(self, stored: bytes | np.ndarray, image: np.ndarray) -> None:
        if isinstance(stored, np.ndarray):
            image[:] = stored
        elif stored:
            simplejpeg.decode_jpeg(stored, colorspace="RGB", buffer=image)
        else:
            image[:] = 0


def _label_fields(landmarks: int) -> tuple[str, ...]:
    """Return the fields of `Labels` to read from a record, with or without (0) landmarks."""
    return tuple(key for key in Labels._fields if landmarks or key != "landmarks")


def directory(data_dir: str, name: str) -> pathlib.Path:
    """Return the folder of the newest version of data set `name` (`builder` or `builder/config`).

    Raises:
        InputError: the set has not been built; the message names the command that builds it.
    """
    versions = _versions(data_dir, name)
    if not versions:
        raise InputError(
            f"data.name={name!r}: not found in data.dir={data_dir!r}; build it with "
            f"`va_jax build {name} --data_dir={data_dir}`"
        )
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")])


def _versions(data_dir: str, name: str) -> list[pathlib.Path]:
    found = pathlib.Path(data_dir).expanduser().glob(f"{name}/*/dataset_info.json")
    return [path.parent for path in found]


@functools.lru_cache
def _builder(path: pathlib.Path) -> Any:  # the type of TFDS admits neither features nor splits
    return tfds.builder_from_directory(path)


def metadata(data_dir: str, name: str) -> dict[str, Any]:
    """Return `dims`, `crop`, `tracks`, `split_hash`, `train_mean` and the builder's facts."""
    return dict(_builder(directory(data_dir, name)).info.metadata)


def stored_landmarks(data_dir: str, name: str) -> int:
    """Return the number of landmarks per frame of a built data set; 0 for none."""
    layout = _builder(directory(data_dir, name)).info.features
    return layout["landmarks"].shape[1] if "landmarks" in layout else 0


def open_split(
    data_dir: str, name: str, split: str, landmarks: int = 0, max_bad_records: int = 0
) -> Source:
    """Open a split of a built data set.

    Args:
        data_dir: folder of built data sets.
        name: data set, `builder` or `builder/config`.
        split: name of the split.
        landmarks: landmarks per frame to read; 0 for none.
        max_bad_records: unreadable records to leave out, see `Source`.

    Raises:
        InputError: the set is not built, it has no such split, the split has no track, or the set
            stores another number of landmarks.
    """
    builder = _builder(directory(data_dir, name))
    facts = builder.info.metadata
    if split not in facts["tracks"]:
        raise InputError(
            f"data set {name!r} has no split {split!r}, only {', '.join(sorted(facts['tracks']))}; "
            "set data.train, data.dev and data.test (which may be empty) to these"
        )
    layout, points = builder.info.features, stored_landmarks(data_dir, name)
    if landmarks not in (0, points):
        raise InputError(
            f"model.landmark_points={landmarks}, but data set {name!r} stores {points or 'none'}; "
            f"set {f'it to {points} or ' if points else ''}model.landmarks='none'"
        )
    tracks = [Track(**row) for row in facts["tracks"][split]]
    if not tracks:
        raise InputError(
            f"data set {name!r}: split {split!r} has no tracks; name another split, or build the "
            "set again with videos for it (its report.csv lists the videos left out)"
        )
    stored = builder.as_data_source(split, deserialize_method=DeserializeMethod.RAW_BYTES)
    needed = (
        "frames",
        *_label_fields(landmarks),
    )  # others would cost half a millisecond per window
    features: Any = tfds.features.FeaturesDict({key: layout[key] for key in needed})

    def read(numbers: Sequence[int]) -> list[Record]:
        return [features.deserialize_example_np(stored[n]) for n in numbers]

    return Source(
        read, tracks, tuple(facts["dims"]), facts["crop"]["size"], landmarks, max_bad_records
    )


def build(data_dir: str, name: str) -> None:
    """Build data set `name` if it is absent, in a separate process on all cores.

    Raises:
        InputError: the build failed.
    """
    if _versions(data_dir, name):
        return
    command = [sys.executable, "-m", "tfds_builders.build", name, f"--data_dir={data_dir}"]
    command += ["--wait"]  # for a build that a killed run left running
    done = subprocess.run([*command, f"--jobs={os.cpu_count()}"], check=False)
    if done.returncode:
        raise InputError(f"data.name={name!r}: the build failed, see above: {' '.join(command)}")
