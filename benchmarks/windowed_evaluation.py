"""Measure evaluation in overlapping windows, with the CNN run once per frame or once per window.

    python -m benchmarks.windowed_evaluation --networks quickstart:gru --overlaps .5 .8

A network is a config FILE:VARIANT in `configs/`, with random weights. Its tracks are JPEGs in
memory, with the size given in `NETWORKS`. Both variants read, decode, predict and stitch, and give
the same traces (the largest difference is printed). They alternate, so that other work on the
machine slows down both; medians are compared. With an overlap o, every frame is in 1 / (1 - o)
windows. The column `CNN` contains the ratio of the numbers of frames that go through the CNN. It
differs from 1 / (1 - o), because the last windows and chunks of short tracks are padded.
"""

import argparse
import importlib
import json
import os
import statistics
import time

import jax
import numpy as np
import simplejpeg

from va_jax.config import Config, parse
from va_jax.data.sources import Source
from va_jax.data.windows import PADDING
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import CachedWindows, SeparateWindows, SplitPredictor
from va_jax.models.build import build_model
from va_jax.train import sharding
from va_jax.train.state import initial_variables
from va_jax.types import CLIP_FRAMES, DIMS, Track

NETWORKS = {  # FILE:VARIANT -> side in pixels, frames per window, frames per track, batch size
    "quickstart:gru": (48, 64, (1500, 1400, 1300, 1200, 1100, 1000, 900, 800), 4),
    "tzirakis2021:resnet18_lstm": (96, 32, (310, 290), 2),
}


def read_config(name: str, overlap: float) -> Config:
    """Return a named config that evaluates windows with this overlap."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    _, length, _, batch = NETWORKS[name]
    config.window.stride = 1
    config.eval.state = "window"
    config.eval.length, config.eval.hop = length, round(length * (1 - overlap))
    config.eval.batch_size = batch
    if jax.default_backend() != "cpu":
        config.model.compute_dtype = "bfloat16"
    return parse(config)


def open_tracks(name: str) -> Source:
    """Return tracks of coarse noise; each repeats the same clip."""
    size, _, lengths, _ = NETWORKS[name]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (CLIP_FRAMES, 8, 8, 3), np.uint8)
    images = coarse.repeat(size // 8, 1).repeat(size // 8, 2)
    clip = {
        "frames": np.array([simplejpeg.encode_jpeg(x, quality=90) for x in images], object),
        "target": np.zeros((CLIP_FRAMES, len(DIMS)), np.float32),
        "face": np.ones(CLIP_FRAMES, bool),
        "time_s": np.arange(CLIP_FRAMES, dtype=np.float32) / 25,
    }
    tracks, records = [], []
    for number, frames in enumerate(lengths):
        names = (f"track{number}", f"video{number}", f"subject{number}")
        tracks.append(Track(*names, "", 25.0, frames, len(records)))
        for first in range(0, frames, CLIP_FRAMES):
            records.append({key: value[: frames - first] for key, value in clip.items()})
    return Source(lambda numbers: [records[n] for n in numbers], tracks, DIMS, size)


def computed_frames(predictor: SplitPredictor, config: Config, source: Source) -> int:
    """Return the number of frames that go through the CNN."""
    plan = predictor.plan(source.tracks, config.eval.batch_size, config.window.stride)
    batches = [step.read for step in plan if any(window != PADDING for window in step.read)]
    return sum(map(len, batches)) * predictor.read_length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--overlaps", nargs="+", type=float, default=[0.2, 0.5, 0.8])
    parser.add_argument("--rounds", type=int, default=3, help="timed turns of each variant")
    parser.add_argument("--threads", type=int, default=0, help="cores for both variants; 0: all")
    parser.add_argument("--json", help="also write the table to this file")
    arguments = parser.parse_args()

    # When XLA is first called, it sizes its thread pool by the cores that the process may use.
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads or None]
    os.sched_setaffinity(0, cores)
    device = jax.devices()[0].device_kind
    print(f"{len(cores)} cores, {device}, {arguments.rounds} rounds; medians")
    print(
        f"{'network':<28}{'px, frames, hop':<18}{'per window, s':>14}{'per frame, s':>14}"
        f"{'ratio':>7}{'CNN':>7}{'1/(1-o)':>9}{'difference':>12}"
    )
    table = []
    for name in arguments.networks:
        source, mesh = open_tracks(name), sharding.make_mesh()
        model = build_model(read_config(name, 0.5).model, DIMS)
        create = jax.jit(lambda model=model, size=source.size: initial_variables(model, size, 0))
        variables = sharding.replicate(mesh, create())
        for overlap in arguments.overlaps:
            config = read_config(name, overlap)
            length, hop = config.eval.length, config.eval.hop
            ways = {
                "per window": SeparateWindows(model, mesh, length, hop),
                "per frame": CachedWindows(model, mesh, length, hop),
            }
            traces = [  # compiles
                predict_split(config, way, variables, source) for way in ways.values()
            ]
            pairs = zip(*traces, strict=True)
            difference = max(float(np.abs(a.pred - b.pred).max()) for a, b in pairs)
            times_s = {label: [] for label in ways}
            for _ in range(arguments.rounds):
                for label, way in ways.items():
                    start = time.perf_counter()
                    predict_split(config, way, variables, source)
                    times_s[label].append(time.perf_counter() - start)
            medians_s = {label: statistics.median(turns) for label, turns in times_s.items()}
            ratio = statistics.median(
                slow / fast for slow, fast in zip(*times_s.values(), strict=True)
            )
            shape = (source.size, config.eval.length, config.eval.hop)
            frames = {label: computed_frames(way, config, source) for label, way in ways.items()}
            cnn = frames["per window"] / frames["per frame"]
            windows = config.eval.length / config.eval.hop
            row = {"ratio": ratio, "cnn": cnn, "overlapping": windows, "difference": difference}
            table.append({"network": name, "shape": shape, "s": medians_s, **row})
            print(
                f"{name:<28}{'{} x {} / {}'.format(*shape):<18}"
                f"{medians_s['per window']:>14.2f}{medians_s['per frame']:>14.2f}"
                f"{ratio:>7.2f}{cnn:>7.2f}{windows:>9.2f}{difference:>12.1e}",
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"cores": len(cores), "rounds": arguments.rounds, "table": table}, file)


if __name__ == "__main__":
    main()
