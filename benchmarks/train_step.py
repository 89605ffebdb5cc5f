"""Measure the time and memory of a training step for the papers' networks, here and in torch.

    python -m benchmarks.train_step --windows 1 --networks tzirakis2021:resnet50_lstm

A network is a config FILE:VARIANT in `configs/`, with the window length and image size of that
config. A step consists of the forward pass, the loss, the backward pass and the update, on frames
that are already on the device. It runs in float32 on a CPU, and otherwise with a bfloat16 backbone.
The variants alternate, so that other work on the machine slows down all of them; medians are
compared.

FLOPs are calculated by formula, as three times those of the forward pass. Bytes are those that XLA
counts in the compiled step, with the body of a loop counted once. Both are compared with the limits
of the device, which are measured with a matrix product and a copy. Memory is the memory of a step
beyond parameters and optimiser state, measured in a separate process: the rise in resident memory
on a CPU (Linux), or in allocated memory on a GPU. torch is left out, with a line that says so, if
it is not installed or does not see the same device. `--compile` adds a variant with torch.compile.
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

SIZE = 96
"""Side of the frames in pixels where a config leaves it to the data set."""

Step = Callable[[], None]
"""Takes a training step, or runs a forward pass, and waits until it is done."""

Variant = Callable[[Config, dict[str, Any]], tuple[Step, float | None]]
"""Returns a step for a config and a batch, and the bytes that it moves, if they are known."""


def read_config(name: str, windows: int = 0, length: int = 0, size: int = 0) -> Config:
    """Return a named config with the given batch size, window length and image size; 0: its own."""
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.train.batch_size = windows or config.train.batch_size
    config.window.length = length or config.window.length
    config.data.size = size or config.data.size or SIZE
    if jax.default_backend() != "cpu":
        config.model.compute_dtype = "bfloat16"
    return parse(config)


def random_batch(config: Config) -> dict[str, Any]:
    """Return a batch of noise in which every frame shows the face and is labelled."""
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
    """Return the compiled training step of va_jax and the bytes that it moves."""
    take, create = compile_step(config, batch)
    return taking(take, create, batch), take.cost_analysis()["bytes accessed"]


def compile_step(config: Config, batch: dict[str, Any]) -> tuple[Any, Callable[[], TrainState]]:
    """Return the compiled training step of va_jax, and a function that makes its first state."""
    model = build_model(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)

    @jax.jit
    def create() -> TrainState:
        return TrainState.create(initial_variables(model, config.data.size, config.seed), tx)

    lowered = make_step(config, model, tx).lower(jax.eval_shape(create), Tally.zero(), batch)
    return lowered.compile(), create


def taking(take: Any, create: Callable[[], TrainState], batch: dict[str, Any]) -> Step:
    """Return a function that takes a compiled step and waits until it is done."""
    state, tally, placed = create(), Tally.zero(), jax.device_put(batch)

    def step() -> None:
        nonlocal state, tally
        state, tally = jax.block_until_ready(take(state, tally, placed))

    return step


def torch_sees_the_device() -> bool:
    """Return whether torch sees the device of JAX; print a line if it does not."""
    if not importlib.util.find_spec("torch"):
        print("torch is not installed; its rows are left out")
        return False
    import torch

    if jax.default_backend() != ("gpu" if torch.cuda.is_available() else "cpu"):
        print(f"torch does not see the {jax.default_backend()} of JAX; its rows are left out")
        return False
    return True


def step_variants(compile_torch: bool) -> dict[str, Variant]:
    """Return the variants to time, without those for torch if torch does not see the device."""
    variants = {"va_jax": our_step}
    if torch_sees_the_device():
        from benchmarks import peer_step

        variants["torch"] = peer_step.make_step
        if compile_torch:
            variants["compiled"] = functools.partial(peer_step.make_step, compiled=True)
    return variants


def flops_per_frame(config: Config) -> float:
    """Return the FLOPs of the forward pass per frame."""
    model = build_model(config.model, DIMS)
    (network,) = summary.layer_rows(model, config.data.size, depth=0)
    return network.flops


def ceilings_of(dtype: str) -> dict[str, float]:
    """Measure and print the limits of the device."""
    found = {"gflops": ceilings.matmul_gflops(dtype), "gb_per_s": ceilings.copy_gb_per_s()}
    arithmetic = f"{found['gflops']:.0f} GFLOP/s in a {dtype} matrix product"
    print(f"the device reaches {arithmetic}, {found['gb_per_s']:.1f} GB/s in a copy")
    return found


def turns_s(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Run the variants in turns, and return the times of each."""
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

    cache = (
        tempfile.TemporaryDirectory()
    )  # so that the processes that measure memory need not compile
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
    jax.config.update("jax_compilation_cache_dir", cache.name)
    compare(arguments, variants, flops_factor=3, memory_of=memory.mib)


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return the parser that this benchmark and `benchmarks.inference` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="FILE:VARIANT of configs/")
    parser.add_argument(
        "--windows", type=int, default=0, help="windows in a batch; 0: as in the config"
    )
    parser.add_argument(
        "--length", type=int, default=0, help="frames in a window; 0: as in the config"
    )
    parser.add_argument(
        "--size", type=int, default=0, help="side of the frames, pixels; 0: as in the config"
    )
    parser.add_argument("--rounds", type=int, default=3, help="timed turns of each variant")
    parser.add_argument("--threads", type=int, default=0, help="cores for every variant; 0: all")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    parser.add_argument("--json", help="also write the table to this file")
    return parser


def use_cores(threads: int) -> None:
    """Restrict this process, and thus every variant, to some of its cores; 0 for all."""
    # When XLA is first called, it sizes its thread pool by the cores that the process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: threads or None])
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two frameworks share a GPU


def compare(
    arguments: argparse.Namespace,
    variants: dict[str, Variant],
    flops_factor: int,
    memory_of: Callable[[str, str, Sequence[int]], float] | None = None,
) -> None:
    """Time the variants of every network in turns and print the table."""
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
        made.clear()  # the next network needs their memory
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
