"""Open a built data set and read any frames of any of its tracks."""

import functools
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

from va_jax.schema import CLIP_FRAMES, InputError, Track


class Frames(NamedTuple):
    """Frames of one track, in the order they were asked for."""

    frames: np.ndarray  # uint8 RGB [time, height, width, 3]; black where nothing was stored
    target: np.ndarray  # float32 [time, dims]; NaN where unlabelled
    face: np.ndarray  # bool [time]
    time_s: np.ndarray  # float32 [time]


class Source:
    """One split of a built data set: its track table and random access to its frames.

    Safe to read from many threads; JPEG decoding releases the interpreter lock.
    """

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        tracks: list[Track],
        dims: tuple[str, ...],
        size: int,
    ):
        self.tracks = tracks
        self.dims = dims  # names, in the order of the target's columns
        self.size = size  # side of the stored crops, pixels
        self._records = records

    def read(self, track: int, numbers: np.ndarray) -> Frames:
        """The frames of track `track` whose numbers are given, ascending, all within the track."""
        first = self.tracks[track].first_record
        clips = numbers // CLIP_FRAMES
        parts = []
        for clip in np.unique(clips):
            record = self._records[first + int(clip)]
            inside = numbers[clips == clip] - clip * CLIP_FRAMES
            images = [self._decode(record["frames"][i]) for i in inside]
            parts.append(
                (images, record["target"][inside], record["face"][inside], record["time_s"][inside])
            )
        images, target, face, time_s = zip(*parts, strict=True)
        return Frames(
            np.stack([image for part in images for image in part]),
            *(np.concatenate(part) for part in (target, face, time_s)),
        )

    def labels(self, track: int) -> Frames:
        """Everything of a whole track but its images, which are left empty."""
        row = self.tracks[track]
        records = [self._records[row.first_record + i] for i in range(row.records)]
        target, face, time_s = (
            np.concatenate([record[key] for record in records])
            for key in ("target", "face", "time_s")
        )
        return Frames(np.zeros((0, self.size, self.size, 3), np.uint8), target, face, time_s)

    def _decode(self, jpeg: bytes) -> np.ndarray:
        if not jpeg:
            return np.zeros((self.size, self.size, 3), np.uint8)
        return simplejpeg.decode_jpeg(jpeg, colorspace="RGB")


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


def open_split(data_dir: str, name: str, split: str) -> Source:
    """The split `split` of a built data set; InputError names the splits it has."""
    builder = _builder(directory(data_dir, name))
    facts = builder.info.metadata
    if split not in facts["tracks"]:
        raise InputError(
            f"split {split!r}: data set {name!r} has no such split; "
            f"it has {', '.join(sorted(facts['tracks']))}"
        )
    tracks = [Track(**row) for row in facts["tracks"][split]]
    return Source(
        builder.as_data_source(split), tracks, tuple(facts["dims"]), facts["crop"]["size"]
    )


def build(data_dir: str, name: str) -> None:
    """Build data set `name` where it is absent, in a process of its own, with all cores."""
    if list(pathlib.Path(data_dir).expanduser().glob(f"{name}/*/dataset_info.json")):
        return
    command = [sys.executable, "-m", "tfds_builders.build", name, f"--data_dir={data_dir}"]
    command += ["--wait"]  # a killed run may have left its build running
    done = subprocess.run([*command, f"--jobs={os.cpu_count()}"], check=False)
    if done.returncode:
        raise InputError(f"data.name={name!r}: building it failed, see above: {' '.join(command)}")
