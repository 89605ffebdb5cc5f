"""Measure how much faster a temporal stack trains on cached features than from frames.

    python -m benchmarks.features --data_dir=data --rounds 3 [--json FILE]

The network is ResNet-50 with a frozen backbone and a stack of two GRU layers, on frames of 112 px.
The data set is `synthetic_faces/tiny`, which is built if missing; its frames are enlarged. A turn
consists of `--steps` steps from frames and the same number of steps from features, with the same
windows. Its time includes reading, decoding and moving the batches. The table contains the medians
over the turns.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax

from va_jax.config import Config, defaults, parse, with_values
from va_jax.data import sources
from va_jax.evaluation.cache_features import cache
from va_jax.train import sharding
from va_jax.train.loop import train
from va_jax.train.setup import set_up
from va_jax.train.state import Tally

NAME = "synthetic_faces/tiny"


def config_of(data_dir: str, size: int) -> Config:
    """Return the config of a network with a frozen backbone."""
    tree = defaults()
    tree.update_from_flattened_dict({
        "data.name": NAME, "data.dir": data_dir, "data.size": size, "log.progress": False,
        "model.backbone": "resnet50", "model.temporal": "gru", "optim.rates.backbone": 0.0,
        "window.length": 16, "window.hop": 8, "train.batch_size": 4, "train.steps": 1,
        "eval.batch_size": 4, "eval.every_steps": 1, "checkpoint.every_steps": 1,
    })  # fmt: skip
    return parse(tree)


class Training:
    """A run that takes steps on request, without checkpoints or logs."""

    def __init__(self, config: Config, workdir: pathlib.Path):
        self.run, self.state, _ = set_up(config, workdir, lambda: None)
        self.tally: Any = sharding.replicate(self.run.mesh, Tally.zero())
        self.batches = self.run.data.batches(0, config.data.threads)
        self.frames = config.train.batch_size * config.window.length
        self.take(2)  # compiles

    def take(self, steps: int) -> float:
        """Take steps, and return the seconds per step."""
        begun = time.perf_counter()
        for _ in range(steps):
            batch = sharding.shard_batch(self.run.mesh, next(self.batches))
            self.state, self.tally = self.run.step(self.state, self.tally, batch)
        jax.block_until_ready(self.state)
        return (time.perf_counter() - begun) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data", help="folder of the built data sets")
    parser.add_argument("--size", type=int, default=112, help="side of the frames, in px")
    parser.add_argument("--steps", type=int, default=5, help="steps in a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument("--json", help="also write the table to this file")
    arguments = parser.parse_args()

    sources.build(arguments.data_dir, NAME)
    config = config_of(arguments.data_dir, arguments.size)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        train(config, folder / "start")  # weights to start from
        config = with_values(config, **{"init.from_workdir": str(folder / "start")})
        begun = time.perf_counter()
        cache(config, folder / "cached", flip=True)
        caching_s = time.perf_counter() - begun
        reading = with_values(config, **{"data.features": str(folder / "cached")})
        runs = {
            "frames": Training(config, folder / "frames"),
            "features": Training(reading, folder / "features"),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                taken[name].append(run.take(arguments.steps))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    table = {
        "device": jax.devices()[0].device_kind,
        "size": arguments.size,
        "ms per step": {name: round(1000 * each, 2) for name, each in medians.items()},
        "frames per step": runs["frames"].frames,
        "speed-up": round(medians["frames"] / medians["features"], 1),
        "caching, s, with compiling": round(caching_s, 1),
    }
    for key, value in table.items():
        print(f"{key}: {value}")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
