"""Frames per second of `va_jax.predict`, the share of each of its stages, and its peak memory.

    python -m benchmarks.predict [MODEL] [--networks tzirakis2021:resnet50_lstm] [--video=CLIP]

MODEL is an export or the workdir of a run; a network is FILE:VARIANT of `configs/`, with random
parameters. The stages of one video are timed once all is compiled: searching and following faces,
cutting crops, the network; both of the former decode the video, whose decoding alone is timed too.
The network's stage, which reads and decodes the crops, takes turns with the bare jitted call on as
many frames in memory, a batch as large and the state handed on; medians of the rounds.
With `--minutes 1 10` fresh processes predict a short and a long video, in turns.
"""

import argparse
import importlib
import itertools
import json
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np

import va_jax
from benchmarks import build
from va_jax import faces, sharding, video
from va_jax.inference import make_predict
from va_jax.model import Model
from va_jax.models import networks
from va_jax.prediction import recipe
from va_jax.prediction.pictures import Video
from va_jax.prediction.progress import Progress
from va_jax.prediction.source import Predictor
from va_jax.schema import DIMS
from va_jax.train_state import initial_variables


class Stopwatch(Progress):
    """Seconds and frames of every stage, in place of a bar."""

    def __init__(self):
        super().__init__("", shown=False)
        self.seconds: dict[str, float] = {}
        self._name, self._since = "start", time.perf_counter()

    def stage(self, name: str, frames: int | None) -> None:
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0) + now - self._since
        self._name, self._since = name, now


def random_model(name: str) -> Model:
    """The network of a config, on the builder's crops of its side."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.eval.batch_size = jax.device_count()
    network, size = networks.build(config.model, DIMS), config.data.size
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
    return Model(make_predict(network, mesh), variables, config, known, mesh)


def bare_call(model: Model, frames: int) -> Any:
    """The jitted pass over as many frames of noise, in chunks that hand on the state."""
    network, rows = model._predict.model, model.config.window.stride
    length = model.config.eval.length
    chunks = -(-frames // (rows * length))
    shape = (rows, length, model.size, model.size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    face = np.ones((rows, length), bool)
    call = jax.jit(lambda *given: network.apply(*given, train=False))

    def run() -> float:
        start, state = time.perf_counter(), network.initial_state(rows)
        for _ in range(chunks):
            pred, state = call(model._variables, noise, face, state)
            np.asarray(pred)
        return time.perf_counter() - start

    run()  # compiles
    return run


def stages(model: Model, path: pathlib.Path, every: int, rounds: int) -> dict[str, Any]:
    """Medians of the seconds of the stages, of decoding alone, and of the bare call."""
    how, _ = recipe.of_passport(model.passport)
    predictor = Predictor(model, how, faces.Detector(min_face=recipe.MIN_FACE), every=every)
    result, _ = predictor.predict(Video(path), Stopwatch())  # compiles
    frames = len(result.time_s)
    bare, found = bare_call(model, frames), []
    for _ in range(rounds):
        watch = Stopwatch()
        predictor.predict(Video(path), watch)
        watch.stage("", None)
        start = time.perf_counter()
        for _ in video.read_frames(path, recipe.MAX_SIDE):
            pass
        decode = time.perf_counter() - start
        found.append(watch.seconds | {"decode": decode, "bare": bare()})
    medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
    ratio = statistics.median(each["network"] / each["bare"] for each in found)
    return {"frames": frames, "seconds": medians, "network_by_bare": ratio}


def told(name: str, row: dict[str, Any]) -> str:
    seconds = row["seconds"]
    whole = seconds["start"] + seconds["faces"] + seconds["crops"] + seconds["network"]
    shares = {
        "decode, twice": 2 * seconds["decode"],
        "find and follow faces": seconds["faces"] - seconds["decode"],
        "cut crops": seconds["crops"] - seconds["decode"],
        "network": seconds["network"],
    }
    parts = ", ".join(f"{key} {value / whole:.0%}" for key, value in shares.items())
    return (
        f"{name}: {row['frames'] / whole:.1f} frames/s: {parts}; network's stage "
        f"{row['frames'] / seconds['network']:.0f} frames/s, {row['network_by_bare']:.2f} x the "
        "time of the bare call"
    )


def lengths(
    model: str, folder: pathlib.Path, minutes: list[float], pictures: Any, every: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """By minutes the median seconds and the largest peak, MiB, of a fresh process."""
    spent: dict[str, list[tuple[float, float]]] = {f"{each:g}": [] for each in minutes}
    for each in minutes:
        build.write_video(folder / f"{each:g}.mp4", pictures, round(60 * build.FPS * each))
    for _, name in itertools.product(range(rounds), spent):
        command = [sys.executable, "-m", "va_jax.predict", model, str(folder / f"{name}.mp4")]
        flags = [f"--out={folder}", "--overwrite", "--noprogress", f"--every={every}"]
        spent[name].append(build.spend([*command, *flags]))
    return {
        name: (statistics.median(s for s, _ in each), max(mib for _, mib in each))
        for name, each in spent.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="an export, or the workdir of a run")
    parser.add_argument("--networks", nargs="*", default=[], help="FILE:VARIANT of configs/")
    parser.add_argument("--video", type=pathlib.Path, help="clip with a face, shown in turns")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every", type=int, default=recipe.DETECT_EVERY)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.minutes and not args.model:
        sys.exit("error: --minutes needs a MODEL, for fresh processes load it")
    if args.video:
        frames = itertools.islice(
            video.read_frames(args.video, recipe.MAX_SIDE), build.PIECE_FRAMES
        )
        pictures = [image for _, image in frames]
    else:
        pictures = build.drawn_pictures()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows: dict[str, Any] = {}
        if args.seconds:
            clip = folder / "clip.mp4"
            build.write_video(clip, pictures, round(build.FPS * args.seconds))
            models = {args.model: va_jax.load(args.model)} if args.model else {}
            models |= {each: random_model(each) for each in args.networks}
            rows = {
                each: stages(model, clip, args.every, args.rounds) for each, model in models.items()
            }
        spent = lengths(args.model, folder, args.minutes, pictures, args.every, args.rounds)
    if args.json:
        print(json.dumps({"stages": rows, "by_minutes": spent}))
        return
    for each, row in rows.items():
        print(told(each, row))
    for minutes, (seconds, mib) in spent.items():
        print(f"a video of {minutes} min: {seconds:.1f} s, at most {mib:.0f} MiB")


if __name__ == "__main__":
    main()
