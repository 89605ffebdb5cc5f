"""Time and memory of a training step of the papers' networks, against the same in torch.

    python -m benchmarks.train_step --windows 1 --networks tzirakis2021:resnet50_lstm

A network is FILE:VARIANT of `configs/`, at the window length and image side that stand there. A
step is forward pass, loss, backward pass and update, on frames that lie on the device; in float32
on a CPU, else with a backbone in bfloat16. The variants take turns, so that a busy machine slows
all; medians are compared. FLOPs are three times the forward pass's, by formula; bytes are those
that XLA counts in the compiled step, loops once. Both are set against what the device reaches in a
matrix product and a copy, measured before. Memory is what a step takes beyond parameters and
optimiser state, each in a process of its own: the rise of resident memory on a CPU (Linux), of
allocated memory on a GPU. torch is left out, and said to be, where it is not installed or does not
see the same device; `--compile` adds it under torch.compile.
"""

import argparse
import functools
import importlib
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import ceilings, memory
from va_jax.config import Config, parse
from va_jax.models.build import build_model, landmark_points
from va_jax.train import optim, summary
from va_jax.train.state import Tally, TrainState, initial_variables
from va_jax.train.step import make_step
from va_jax.types import DIMS

NETWORKS = (
    "teixeira2021:vgg16,lstm",
    "teixeira2021:vgg16bn,lstm",
    "teixeira2021:resnet50,lstm",
    "teixeira2021:vgg16,i3d_centred",
    "teixeira2021:resnet50,i3d_centred",
    "tzirakis2021:resnet18_lstm",
    "tzirakis2021:resnet34_lstm",
    "tzirakis2021:resnet50_lstm",
    "kollias2017:vggface_cnn_4096",
    "kollias2017:affwildnet_vggface,gru",
    "kollias2017:affwildnet_resnet50,gru,landmarks",
    "kollias2017:3rnn",
)

Step = Callable[[], None]
"""Takes a training step, or a forward pass, and waits for its end."""

Variant = Callable[[Config, dict[str, Any]], tuple[Step, float | None]]
"""Makes one from a config and a batch, and tells the bytes it moves where they are known."""


def read_config(name: str, windows: int = 0, length: int = 0, size: int = 0) -> Config:
    """A named network with a batch of so many windows, frames and pixels; 0: as it says."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.train.batch_size = windows or config.train.batch_size
    config.window.length = length or config.window.length
    config.data.size = size or config.data.size
    if jax.default_backend() != "cpu":
        config.model.compute_dtype = "bfloat16"
    return parse(config)


def random_batch(config: Config) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape, side = (config.train.batch_size, config.window.length), config.data.size
    batch = {
        "frames": rng.integers(0, 256, (*shape, side, side, 3), np.uint8),
        "face": np.ones(shape, bool),
        "target": rng.uniform(-1, 1, (*shape, len(DIMS))).astype(np.float32),
        "mask": np.ones(shape, bool),
    }
    if points := landmark_points(config.model):
        batch["landmarks"] = rng.uniform(-1, 1, (*shape, points, 2)).astype(np.float32)
    return batch


def our_step(config: Config, batch: dict[str, Any]) -> tuple[Step, float]:
    model = build_model(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)

    @jax.jit
    def create() -> TrainState:
        return TrainState.create(initial_variables(model, config.data.size, config.seed), tx)

    state, tally, batch = create(), Tally.zero(), jax.device_put(batch)
    take = make_step(config, model, tx).lower(state, tally, batch).compile()

    def step() -> None:
        nonlocal state, tally
        state, tally = jax.block_until_ready(take(state, tally, batch))

    return step, take.cost_analysis()["bytes accessed"]


def torch_sees_the_device() -> bool:
    """Says so where it does not."""
    if not importlib.util.find_spec("torch"):
        print("torch is not installed: left out")
        return False
    import torch

    if jax.default_backend() != ("gpu" if torch.cuda.is_available() else "cpu"):
        print(f"torch does not see the {jax.default_backend()} that jax sees: left out")
        return False
    return True


def step_variants(compile_torch: bool) -> dict[str, Variant]:
    variants = {"va_jax": our_step}
    if torch_sees_the_device():
        from benchmarks import peer_step

        variants["torch"] = peer_step.make_step
        if compile_torch:
            variants["compiled"] = functools.partial(peer_step.make_step, compiled=True)
    return variants


def flops_per_frame(config: Config) -> float:
    """Of the forward pass."""
    model = build_model(config.model, DIMS)
    (network,) = summary.layer_rows(model, config.data.size, depth=0)
    return network.flops


def ceilings_of(dtype: str) -> dict[str, float]:
    found = {"gflops": ceilings.matmul_gflops(dtype), "gb_per_s": ceilings.copy_gb_per_s()}
    arithmetic = f"{found['gflops']:.0f} GFLOP/s in a {dtype} matrix product"
    print(f"the device reaches {arithmetic}, {found['gb_per_s']:.1f} GB/s in a copy")
    return found


def turns_s(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Times of every variant, one after the other."""
    for step in steps.values():
        step()  # compiles
    times_s = {variant: [] for variant in steps}
    for _ in range(rounds):
        for variant, step in steps.items():
            start = time.perf_counter()
            step()
            times_s[variant].append(time.perf_counter() - start)
    return times_s


def main() -> None:
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    use_cores(arguments.threads)
    variants = step_variants(arguments.compile)
    if arguments.memory_of:
        shape = arguments.windows, arguments.length, arguments.size
        config = read_config(arguments.networks[0], *shape)
        step, _ = variants[arguments.memory_of](config, random_batch(config))
        print(memory.own_mib(arguments.memory_of, step))
        return

    cache = tempfile.TemporaryDirectory()  # the processes that measure memory need not compile
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
    jax.config.update("jax_compilation_cache_dir", cache.name)
    compare(arguments, variants, flops_factor=3, memory_of=memory.mib)


def parser_of(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="FILE:VARIANT of configs/")
    parser.add_argument("--windows", type=int, default=0, help="in a batch; 0: as the config says")
    parser.add_argument("--length", type=int, default=0, help="frames; 0: as the config says")
    parser.add_argument("--size", type=int, default=0, help="pixels; 0: as the config says")
    parser.add_argument("--rounds", type=int, default=3, help="timed turns of each variant")
    parser.add_argument("--threads", type=int, default=0, help="cores for every variant; 0: all")
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--json", help="also write the table to this file")
    return parser


def use_cores(threads: int) -> None:
    """Of those this process may use so many, for every variant; 0: all."""
    # XLA sizes its pool by the cores the process may use, when it is first called.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: threads or None])
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two frameworks share a GPU


def compare(
    arguments: argparse.Namespace,
    variants: dict[str, Variant],
    flops_factor: int,
    memory_of: Callable[[str, str, Sequence[int]], float] | None = None,
) -> None:
    """Times the variants of every network in turns and prints the table."""
    cores, rounds = len(os.sched_getaffinity(0)), arguments.rounds
    print(f"{cores} cores, {rounds} rounds; ratio = va_jax / variant, median")
    dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    most = ceilings_of(dtype)
    print(
        f"{'network':<40}{'windows, frames, px':<20}{'variant':<9}{'ms':>7}{'frames/s':>10}"
        f"{'GFLOP/s':>9}{'of most':>8}{'GB/s':>7}{'of most':>8}{'ratio':>7}{'MiB':>7}"
    )
    table = []
    for name in arguments.networks:
        config = read_config(name, arguments.windows, arguments.length, arguments.size)
        batch, flops = random_batch(config), flops_factor * flops_per_frame(config)
        shape = config.train.batch_size, config.window.length, config.data.size
        made = {variant: make(config, batch) for variant, make in variants.items()}
        moved = {variant: size for variant, (_, size) in made.items()}
        times_s = turns_s({variant: step for variant, (step, _) in made.items()}, rounds)
        made.clear()  # the next ones need their memory
        for variant, turns in times_s.items():
            median_s = statistics.median(turns)
            pairs = zip(times_s["va_jax"], turns, strict=True)
            speed = shape[0] * shape[1] / median_s
            row = {
                "ms": 1e3 * median_s,
                "frames_per_s": speed,
                "gflops": speed * flops / 1e9,
                "gb_per_s": moved[variant] and moved[variant] / median_s / 1e9,
                "ratio": statistics.median(ours / this for ours, this in pairs),
                "mib": memory_of and memory_of(variant, name, shape),
            }
            table.append({"network": name, "batch": shape, "variant": variant, **row})
            cells = [f"{row['gflops']:>9.1f}", f"{row['gflops'] / most['gflops']:>8.2f}"]
            if row["gb_per_s"]:
                share = row["gb_per_s"] / most["gb_per_s"]
                cells += [f"{row['gb_per_s']:>7.1f}", f"{share:>8.2f}"]
            else:
                cells.append(" " * 15)
            cells.append(f"{row['ratio']:>7.2f}")
            cells += [f"{row['mib']:>7.0f}"] if memory_of else []
            print(
                f"{name:<40}{'{} x {} x {}'.format(*shape):<20}{variant:<9}{row['ms']:>7.0f}"
                f"{speed:>10.1f}{''.join(cells)}",
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"cores": cores, "rounds": rounds, "most": most, "table": table}, file)


if __name__ == "__main__":
    main()
