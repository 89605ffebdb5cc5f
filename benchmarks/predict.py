"""Measure `va_jax predict`: frames per second, the share of each stage, time and memory by length.

    python -m benchmarks.predict [MODEL] [--networks tzirakis2021:resnet50_lstm] [--video=CLIP]

MODEL is an export or the workdir of a run. A network is a config FILE:VARIANT in `configs/`, with
random parameters. After one prediction that compiles everything, a video is predicted and its
stages are timed: waiting for decoded frames (in both passes), detecting and tracking faces, cutting
and encoding crops, the network with the decoding of the crops, and the rest. Times are in seconds
of wall clock and of CPU. Decoders run ahead in separate threads, so their CPU time is counted in
the stage that runs at the same time. The network's stage alternates with a bare jitted call on the
same number of frames in memory, in the same number of rows, with the state carried on. Medians are
printed.

With `--minutes 1 10`, fresh processes predict a short video, a long video, and one of two seconds.
The two-second video is used to calculate the start-up time.
"""

import argparse
import importlib
import itertools
import json
import pathlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import va_jax
from benchmarks import build, video_lengths
from va_jax import faces
from va_jax.config import parse, with_values
from va_jax.evaluation.predictors import make_predictor
from va_jax.export.model import Model
from va_jax.models.build import build_model
from va_jax.predict import preprocessing
from va_jax.predict.inputs import Video
from va_jax.predict.predictor import Predictor, Progress
from va_jax.predict.results import csv_rows, open_csv
from va_jax.train import sharding
from va_jax.train.state import initial_variables
from va_jax.types import DIMS
from va_jax.video.read import probe, read_frames

STAGES = {
    "frames of faces": "decode, first pass",
    "faces": "find and follow faces",
    "frames of crops": "decode, second pass",
    "crops": "cut and encode crops",
    "network": "network",
    "rest": "rest",
}


def clock() -> np.ndarray:
    """Return the wall-clock time and the CPU time of this process, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


class Stopwatch(Progress):
    """Times every stage instead of showing a bar; a stage lasts until the next one begins."""

    def __init__(self):
        super().__init__("", shown=False)
        self.spent: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        self._name, self._since = "rest", clock()

    def stage(self, name: str, frames: int | None = None) -> None:
        now = clock()
        self.spent[self._name] += now - self._since
        self._name, self._since = name, now

    def decoded(self, seconds: np.ndarray) -> None:
        """Count time for the decoder instead of the running stage."""
        self.spent[f"frames of {self._name}"] += seconds
        self.spent[self._name] -= seconds


class Timed(Video):
    """A video whose decoding is counted as a separate stage."""

    def __init__(self, path: pathlib.Path, watch: Stopwatch):
        super().__init__(path)
        self._watch = watch

    def __iter__(self) -> Iterator[Any]:
        frames = super().__iter__()
        while True:
            start = clock()
            frame = next(frames, None)
            self._watch.decoded(clock() - start)
            if frame is None:
                return
            yield frame


def random_model(name: str) -> Model:
    """Return a config's network with random parameters, for crops of detected faces in its size."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config = with_values(parse(config), **{"eval.batch_size": jax.device_count()})
    network, size = build_model(config.model, DIMS), config.data.size
    crop = {
        "size": size, "source": "detect", "margin": 0, "alignment": "level eyes",
        "jpeg_quality": 90,
    }  # fmt: skip
    known = {
        "input": {"size": size, "landmarks": {"points": 0, "place": "none"}},
        "crop": crop,
        "fps": build.FPS,
        "stride": config.window.stride,
        "post_processing": None,
    }
    mesh = sharding.make_mesh()
    variables = sharding.replicate(mesh, initial_variables(network, size, 0))
    return Model(make_predictor(network, mesh, config.eval), variables, config, known, mesh)


def bare_call(model: Model, frames: int, rows: int) -> Callable[[], np.ndarray]:
    """Return a function to time: the jitted network on noise frames in `rows` rows, in chunks."""
    network, length = model._predictor.model, model.config.eval.length
    per_row = -(-frames // rows)
    shape = (rows, min(per_row, length), model.size, model.size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    call = jax.jit(lambda *given: network.apply(*given, train=False))
    sizes = [min(length, per_row - first) for first in range(0, per_row, length)]

    def run() -> np.ndarray:
        start, state, preds = clock(), network.initial_state(rows), []
        for size in sizes:
            face = np.ones((rows, size), bool)
            pred, state = call(model._variables, noise[:, :size], face, state)
            preds.append(pred)
        jax.device_get(preds)
        return clock() - start

    run()  # compiles
    return run


def stages(model: Model, path: pathlib.Path, every: int, rounds: int) -> dict[str, Any]:
    """Return the median wall-clock and CPU seconds for every stage and for the bare call."""
    how, _ = preprocessing.from_metadata(model.metadata)
    detector = faces.Detector(min_face=preprocessing.MIN_FACE)
    predictor = Predictor(model, how, detector, every=every, follow=detector.follow)
    stride, _ = preprocessing.stride_for(model.metadata, probe(path).fps)
    rows = min(stride, model.config.eval.batch_size)

    def once() -> tuple[Stopwatch, int]:
        watch = Stopwatch()
        result, _ = predictor.predict(Timed(path, watch), watch)
        watch.stage("rest")
        with open_csv(path.with_suffix(".csv"), model.dims) as write_rows:
            write_rows(csv_rows(result))
        watch.stage("")
        return watch, len(result.time_s)

    _, frames = once()  # compiles
    bare, found = bare_call(model, frames, rows), []
    for _ in range(rounds):
        watch, _ = once()
        found.append({**watch.spent, "bare": bare()})
    medians = {name: np.median([each[name] for each in found], 0).tolist() for name in found[0]}
    ratios = [each["network"] / each["bare"] for each in found]
    return {
        "frames": frames,
        "rows": rows,
        "seconds": {name: medians[name] for name in (*STAGES, "bare")},
        "network_by_bare": np.median(ratios, 0).tolist(),
    }


def table(name: str, row: dict[str, Any]) -> str:
    """Return the table for one network."""
    seconds, frames = row["seconds"], row["frames"]
    whole_s, whole_cpu_s = np.sum([seconds[stage] for stage in STAGES], 0)
    lines = [f"{name:<28}{'s':>9}{'share':>8}{'CPU s':>9}{'frames/s':>10}"]
    for stage, words in STAGES.items():
        wall_s, cpu_s = seconds[stage]
        share = f"{wall_s / whole_s:.1%}"
        lines.append(f"{words:<28}{wall_s:>9.3f}{share:>8}{cpu_s:>9.3f}{frames / wall_s:>10.0f}")
    lines.append(f"{'all':<28}{whole_s:>9.3f}{'':>8}{whole_cpu_s:>9.3f}{frames / whole_s:>10.1f}")
    wall_s, cpu_s = seconds["bare"]
    lines.append(f"{'bare call':<28}{wall_s:>9.3f}{'':>8}{cpu_s:>9.3f}{frames / wall_s:>10.0f}")
    wall, cpu = row["network_by_bare"]
    lines.append(f"network / bare call: {wall:.2f}, of CPU {cpu:.2f}; {row['rows']} rows")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="an export, or the workdir of a run")
    parser.add_argument("--networks", nargs="*", default=[], help="FILE:VARIANT of configs/")
    parser.add_argument("--video", type=pathlib.Path, help="clip with a face; default: drawn faces")
    parser.add_argument("--seconds", type=float, default=20, help="length of the video; 0: skip")
    parser.add_argument("--every", type=int, default=preprocessing.DETECT_EVERY,
                        help="frames between face detections")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="timed turns")
    parser.add_argument("--minutes", type=float, nargs="*", default=[],
                        help="lengths of videos for fresh processes")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.minutes and not args.model:
        sys.exit("error: --minutes requires MODEL; name an export or the workdir of a run")
    if args.video:
        frames = itertools.islice(
            read_frames(args.video, preprocessing.MAX_SIDE), build.PIECE_FRAMES
        )
        pictures = [image for _, image in frames]
    else:
        pictures = build.drawn_pictures()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        costs: dict[str, Any] = {}
        if args.seconds:
            clip = folder / "clip.mp4"
            build.write_video(clip, pictures, round(build.FPS * args.seconds))
            models = {args.model: va_jax.load(args.model)} if args.model else {}
            models |= {each: random_model(each) for each in args.networks}
            for each, model in models.items():
                costs[each] = stages(model, clip, args.every, args.rounds)
        spent = None
        if args.minutes:
            asked = (args.model, folder, args.minutes, pictures)
            spent = video_lengths.measure(*asked, args.every, args.rounds)
    if args.json:
        print(json.dumps({"stages": costs, "by_minutes": spent}))
        return
    for each, row in costs.items():
        print(table(each, row), end="\n\n")
    if spent:
        print(video_lengths.table(spent))


if __name__ == "__main__":
    main()
