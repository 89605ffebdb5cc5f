"""Open a built data set and read any frames of any of its tracks."""

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
"""A clip: `frames`, object [n] of JPEG bytes or uint8 [n, size, size, 3], and those of `Labels`."""


class Labels(NamedTuple):
    """What is known of some frames of one track, in the order they were asked for."""

    target: np.ndarray  # float32 [time, dims]; NaN where unlabelled
    face: np.ndarray  # bool [time]
    time_s: np.ndarray  # float32 [time]
    landmarks: np.ndarray | None = None  # float32 [time, points, 2] of schema.Clip, if asked for


class Source:
    """One split of a built data set: its track table and random access to its frames.

    Up to `spare` records that cannot be read, or hold what cannot be decoded, count as frames
    without face and label, and are noted in `bad`; one more is an InputError that names it.
    Safe to read from many threads; JPEG decoding releases the interpreter lock.
    """

    def __init__(
        self,
        records: Callable[[Sequence[int]], list[Record]],
        tracks: list[Track],
        dims: tuple[str, ...],
        size: int,
        landmarks: int = 0,
        spare: int = 0,
    ):
        self.tracks = tracks
        self.dims = dims  # names, in the order of the target's columns
        self.size = size  # side of the stored crops, pixels
        self.landmarks = landmarks  # points per frame; 0: not read
        self.bad: dict[int, str] = {}  # by number of the record what is wrong with it
        self._spare = spare
        self._records = records
        self._fields = _fields(landmarks)

    def read(self, track: int, numbers: np.ndarray, images: np.ndarray) -> Labels:
        """Decode the frames of track `track` whose numbers are given into `images`.

        `numbers` ascend and lie within the track; `images` is uint8 [len(numbers), size, size, 3].
        It is written in place, for a copy of the frames costs a tenth of their decoding.
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
        """The stored JPEG files of some frames of a track, b"" where nothing is stored."""
        clips, inside = np.divmod(numbers, CLIP_FRAMES)
        records = self._clips(track, clips.tolist())
        return [record["frames"][i] for record, i in zip(records, inside, strict=True)]

    def labels(self, track: int) -> Labels:
        """What is known of every frame of a whole track."""
        records = self._clips(track, range(self.tracks[track].records))
        columns = ([record[key] for record in records] for key in self._fields)
        return Labels(*(np.concatenate(column) for column in columns))

    def _clips(self, track: int, clips: Sequence[int]) -> list[Record]:
        """Records of a track by their number in it."""
        first = self.tracks[track].first_record
        try:
            return self._records([first + clip for clip in clips])
        except (OSError, RuntimeError, ValueError):  # of the storage; which one is it?
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
        """Note a bad record, or raise an InputError where there are too many."""
        row, number = self.tracks[track], self.tracks[track].first_record + clip
        last = min((clip + 1) * CLIP_FRAMES, row.frames) - 1
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.bad[number] = (
            f"record {number}, frames {clip * CLIP_FRAMES} to {last} of track {row.track_id!r}, "
            f"cannot be read: {cause}"
        )
        if len(self.bad) > self._spare:
            raise InputError(
                f"{self.bad[number]}; copy or build the data set again, or go on without by "
                f"data.max_bad_records={len(self.bad)}"
            ) from error

    def _decode(self, stored: bytes | np.ndarray, image: np.ndarray) -> None:
        if isinstance(stored, np.ndarray):
            image[:] = stored
        elif stored:
            simplejpeg.decode_jpeg(stored, colorspace="RGB", buffer=image)
        else:
            image[:] = 0


def _fields(landmarks: int) -> tuple[str, ...]:
    """What of `Labels` is read from a record, with or without (0) landmarks."""
    return tuple(key for key in Labels._fields if landmarks or key != "landmarks")


def directory(data_dir: str, name: str) -> pathlib.Path:
    """Folder of the newest version of data set `name` (`builder` or `builder/config`).

    Raises InputError with the command that builds it where it is absent.
    """
    versions = [
        path.parent
        for path in pathlib.Path(data_dir).expanduser().glob(f"{name}/*/dataset_info.json")
    ]
    if not versions:
        raise InputError(
            f"data.name={name!r}: not found in data.dir={data_dir!r}; build it with "
            f"`python -m tfds_builders.build {name} --data_dir={data_dir}`"
        )
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".")])


@functools.lru_cache
def _builder(path: pathlib.Path) -> tfds.core.DatasetBuilder:
    return tfds.builder_from_directory(path)


def metadata(data_dir: str, name: str) -> dict[str, Any]:
    """The set's facts: `dims`, `crop`, `tracks`, `split_hash`, `train_mean`, its builder's own."""
    return dict(_builder(directory(data_dir, name)).info.metadata)


def stored_landmarks(data_dir: str, name: str) -> int:
    """Landmarks per frame of a built data set; 0: none."""
    layout = _builder(directory(data_dir, name)).info.features
    return layout["landmarks"].shape[1] if "landmarks" in layout else 0


def open_split(data_dir: str, name: str, split: str, landmarks: int = 0, spare: int = 0) -> Source:
    """The split `split` of a built data set, with or without (0) its landmarks; `spare`: Source.

    Raises InputError where it has no such split, no track in it, or another number of landmarks per
    frame.
    """
    builder = _builder(directory(data_dir, name))
    facts = builder.info.metadata
    if split not in facts["tracks"]:
        raise InputError(
            f"data set {name!r} has no split {split!r}, it has "
            f"{', '.join(sorted(facts['tracks']))}; "
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
            f"data set {name!r}: its split {split!r} has no track; name another split, or build "
            "the set again with recordings for it (report.csv tells which were left out)"
        )
    stored = builder.as_data_source(split, deserialize_method=DeserializeMethod.RAW_BYTES)
    needed = ("frames", *_fields(landmarks))  # the rest would cost half a millisecond a window
    features = tfds.features.FeaturesDict({key: layout[key] for key in needed})

    def read(numbers: Sequence[int]) -> list[Record]:
        return [features.deserialize_example_np(stored[n]) for n in numbers]

    return Source(read, tracks, tuple(facts["dims"]), facts["crop"]["size"], landmarks, spare)


def build(data_dir: str, name: str) -> None:
    """Build data set `name` where it is absent, in a process of its own, with all cores."""
    if list(pathlib.Path(data_dir).expanduser().glob(f"{name}/*/dataset_info.json")):
        return
    command = [sys.executable, "-m", "tfds_builders.build", name, f"--data_dir={data_dir}"]
    command += ["--wait"]  # a killed run may have left its build running
    done = subprocess.run([*command, f"--jobs={os.cpu_count()}"], check=False)
    if done.returncode:
        raise InputError(f"data.name={name!r}: building it failed, see above: {' '.join(command)}")
