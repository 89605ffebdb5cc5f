"""A builder of noise for tests; a file per track tells the extraction to fail, hang or die."""

import dataclasses
import hashlib
import os
import pathlib
import time

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from tfds_builders import workers
from tfds_builders.base import Frame, TrackBuilder, clips
from tfds_builders.material import Recording
from va_jax.types import InputError
from va_jax.video import jpeg

HERE = pathlib.Path(__file__).resolve().parent
LENGTHS = {"train": (30, 64, 1), "dev": (75,)}  # frames of the tracks of each split


@dataclasses.dataclass
class ToyConfig(tfds.core.BuilderConfig):
    """Options: `orders` is the folder with a file per track, read by `extract_toy`."""

    orders: str = ""
    side: int = 16
    careful: bool = False


def toy_frames(seed, length, side):
    rng = np.random.default_rng(seed)
    for index in range(length):
        image = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        valence, arousal = rng.uniform(-1, 1, 2)
        target = np.array([valence, np.nan if index % 5 == 4 else arousal], np.float32)
        landmarks = rng.random((2, 2), np.float32)
        yield Frame(jpeg.encode(image), target, index % 3 != 1, index / 25, landmarks)


def extract_toy(recording, config, tally):
    order = pathlib.Path(recording.files["order"])
    with (order.parent / "log").open("a") as log:
        log.write(f"{recording.track_id}\n")
    what = order.read_text()
    if what == "fail":
        raise InputError(f"{order}: cannot be read; repair it")
    if what == "die":
        os._exit(9)
    if what == "crash":
        raise KeyError("a bug")
    while order.with_name("hang").exists() and recording.track_id == "train2":
        time.sleep(0.02)
    frames = toy_frames(recording.details["seed"], recording.details["length"], config.side)
    return 25.0, clips(frames)


class Toy(TrackBuilder):
    """Three training tracks and one dev track of noise."""

    extract = staticmethod(extract_toy)
    points = 2
    late_options = ("careful",)
    pkg_dir_path = epath.Path(HERE)

    @property
    def crop(self):
        return {"size": self.builder_config.side}

    def recordings(self, manual_dir):
        orders = pathlib.Path(self.builder_config.orders)
        return {
            split: [
                Recording(
                    f"{split}{n}",
                    f"video{n}",
                    f"{split}-subject{n}",
                    {"order": str(orders / f"{split}{n}")},
                    group="noise",
                    details={"seed": n + len(split), "length": length},
                )
                for n, length in enumerate(lengths)
            ]
            for split, lengths in LENGTHS.items()
        }

    def accept(self, recording, row):
        if self.builder_config.careful and row["track"]["frames"] < 2:
            raise InputError(f"{recording.track_id} is too short; build without careful")

    def extras(self, recordings):
        return {"ceiling": {split: len(tracks) for split, tracks in recordings.items()}}


def build_toy(folder, data="data", jobs=1, strict=True, run=None, **kwargs):
    folder = pathlib.Path(folder)
    for split, lengths in LENGTHS.items():
        for n in range(len(lengths)):
            order = folder / f"{split}{n}"
            if not order.exists():
                order.write_text("")
    config = ToyConfig(name="noise", orders=str(folder))
    run = run or workers.processes(jobs)
    builder = Toy(data_dir=folder / data, config=config, run=run, strict=strict, **kwargs)
    builder.download_and_prepare()
    return pathlib.Path(builder.data_dir)


def contents(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def log_of(folder):
    return (folder / "log").read_text().split()
