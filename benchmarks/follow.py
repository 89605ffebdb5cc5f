"""Compare following faces between full searches with searching every frame fully.

    python -m benchmarks.follow VIDEO... [--rounds 3] [--json FILE]

Each video is predicted with the model that is part of the package, and its crops are cut as in a
build of `video_folder`, in turns with and without `Detector.follow`. Reading, tracking, cropping
and the network are included; compiling is not. The table contains medians: frames per second, and
the search alone. The tracks are compared as well: frames that show the face, and the median
distance between the landmarks, in pixels and relative to the side of the face.
"""

import argparse
import collections
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

import va_jax
from tfds_builders import crops
from tfds_builders.material import Material
from tfds_builders.recorded_config import RecordedConfig
from va_jax import faces
from va_jax.export.model import load
from va_jax.predict import preprocessing
from va_jax.predict.inputs import Video
from va_jax.predict.predictor import Predictor, Progress
from va_jax.video.read import read_frames

PUBLISHED = pathlib.Path(va_jax.__file__).parent / "published"


def tasks(path: pathlib.Path) -> dict[str, Callable[[], object]]:
    """Return the tasks to time: to predict a video, to cut its crops, and only to search it."""
    model = load(PUBLISHED / "model")
    settings, _ = preprocessing.from_metadata(model.metadata)
    detector = faces.Detector(min_face=preprocessing.MIN_FACE)
    frames = list(read_frames(path))

    def predict() -> None:
        predictor = Predictor(model, settings, detector, follow=detector.follow)
        predictor.predict(Video(path), Progress(path.name, False))

    def build() -> None:
        config = RecordedConfig(name="benchmark", size=112)
        _, cuts = crops.cut(Material(path, "detect"), config, 5, collections.Counter())
        collections.deque(cuts, maxlen=0)

    def search() -> list[faces.FaceTrack]:
        return faces.track_faces(frames, detector, detector.follow)

    return {"predict": predict, "build": build, "search": search}


def compare(path: pathlib.Path, rounds: int) -> dict[str, Any]:
    """Return the frames per second of each task in both ways, and the difference of the tracks."""
    found = tasks(path)
    frames = sum(1 for _ in read_frames(path))
    ways = {"full": mock.patch.object(faces.Detector, "follow", None), "followed": mock.MagicMock()}
    times_s: dict[str, dict[str, list[float]]] = {name: {way: [] for way in ways} for name in found}
    tracks: dict[str, list[faces.FaceTrack]] = {}
    for turn in range(rounds + 1):
        for name, task in found.items():
            for way, patch in ways.items():
                with patch:
                    start = time.perf_counter()
                    result = task()
                    elapsed_s = time.perf_counter() - start
                if name == "search":
                    tracks[way] = result
                if turn:  # the first turn compiles
                    times_s[name][way].append(elapsed_s)
    table = {
        name: {way: round(frames / statistics.median(each), 1) for way, each in both.items()}
        for name, both in times_s.items()
    }
    return {"frames": frames, "frames per second": table, "tracks": differences(**tracks)}


def differences(full: list[faces.FaceTrack], followed: list[faces.FaceTrack]) -> list[dict]:
    """Return how the tracks differ, in order of appearance."""
    rows: list[dict] = [{"full": len(full), "followed": len(followed)}]
    for one, other in zip(full, followed, strict=False):
        both = one.shown & other.shown
        apart = np.linalg.norm(one.landmarks[both] - other.landmarks[both], axis=-1)
        side = np.median(one.boxes[both][:, 2] - one.boxes[both][:, 0])
        rows.append({
            "shown": [int(one.shown.sum()), int(other.shown.sum()), int(both.sum())],
            "landmarks, px": round(float(np.median(apart)), 2),
            "of the side, %": round(100 * float(np.median(apart) / side), 2),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="also write the result to this file")
    args = parser.parse_args()
    results = {path.name: compare(path, args.rounds) for path in args.videos}
    print(json.dumps(results, indent=1))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
