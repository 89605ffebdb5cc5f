"""Time and memory of a training step of the papers' networks, against the same in torch.

    python -m benchmarks.train_step --windows 1 --networks tzirakis2021:resnet50_lstm

A network is FILE:VARIANT of `configs/`, at the window length and image side that stand there. A
step is forward pass, loss, backward pass and update, on frames that lie on the device; in float32
on a CPU, else with a backbone in bfloat16. The two take turns, so that a busy machine slows both;
medians are compared. FLOPs are three times the forward pass's, by formula. Memory is what a step
takes beyond parameters and optimiser state, each in a process of its own: the rise of resident
memory on a CPU (Linux), of allocated memory on a GPU. torch is left out, and said to be, where it
is not installed or does not see the same device.
"""

import argparse
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from va_jax import optim, summary
from va_jax.models import networks
from va_jax.schema import DIMS
from va_jax.step import make_step
from va_jax.train_state import Tally, TrainState, initial_variables

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
"""Takes a training step and waits for its end."""


def read_config(name: str, windows: int) -> ConfigDict:
    file, _, variant = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(variant)
    config.train.batch_size = windows or config.train.batch_size
    if jax.default_backend() != "cpu":
        config.model.compute_dtype = "bfloat16"
    return config


def random_batch(config: ConfigDict) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape, side = (config.train.batch_size, config.window.length), config.data.size
    batch = {
        "frames": rng.integers(0, 256, (*shape, side, side, 3), np.uint8),
        "face": np.ones(shape, bool),
        "target": rng.uniform(-1, 1, (*shape, len(DIMS))).astype(np.float32),
        "mask": np.ones(shape, bool),
    }
    if points := networks.landmark_points(config.model):
        batch["landmarks"] = rng.uniform(-1, 1, (*shape, points, 2)).astype(np.float32)
    return batch


def our_step(config: ConfigDict, batch: dict[str, Any]) -> Step:
    model = networks.build(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)

    @jax.jit
    def create() -> TrainState:
        return TrainState.create(initial_variables(model, config.data.size, config.seed), tx)

    state, tally, batch = create(), Tally.zero(), jax.device_put(batch)
    take = make_step(config, model, tx)

    def step() -> None:
        nonlocal state, tally
        state, tally = jax.block_until_ready(take(state, tally, batch))

    return step


def available_variants() -> dict[str, Callable[..., Step]]:
    if not importlib.util.find_spec("torch"):
        print("torch is not installed: left out")
        return {"va_jax": our_step}
    import torch

    from benchmarks import peer_step

    if jax.default_backend() != ("gpu" if torch.cuda.is_available() else "cpu"):
        print(f"torch does not see the {jax.default_backend()} that jax sees: left out")
        return {"va_jax": our_step}
    return {"va_jax": our_step, "torch": peer_step.make_step}


def flops_per_frame(config: ConfigDict) -> float:
    """Of the forward pass."""
    model = networks.build(config.model, DIMS)
    inputs = model.inputs(1, config.window.length, config.data.size)
    rows = summary.rows(model, summary.abstract_variables(model, inputs), inputs)
    return sum(row.flops for row in rows)


def memory_mib(variant: str, name: str, windows: int) -> float:
    """`own_memory_mib` of a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.train_step", "--memory_of", variant]
    command += ["--networks", name, "--windows", str(windows)]
    # What is freed returns to the system at once, so that taking it again shows.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=os.environ | malloc, stdout=subprocess.PIPE, check=True)
    return float(done.stdout.split()[-1])


def own_memory_mib(variant: str, step: Step) -> float:
    """The most that a step takes beyond what lies there before it."""
    step()  # makes what stays: compiled code, the optimiser's state
    gc.collect()
    on_gpu = jax.default_backend() != "cpu"
    if on_gpu and variant == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if on_gpu:
        stats = jax.local_devices()[0].memory_stats()
        return (stats["peak_bytes_in_use"] - stats["bytes_in_use"]) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak starts anew
    before = resident_kib("VmRSS")
    step()
    return (resident_kib("VmHWM") - before) / 2**10


def resident_kib(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read())[1])


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="FILE:VARIANT of configs/")
    parser.add_argument("--windows", type=int, default=0, help="in a batch; 0: as the config says")
    parser.add_argument("--rounds", type=int, default=3, help="timed turns of each variant")
    parser.add_argument("--threads", type=int, default=0, help="cores for every variant; 0: all")
    parser.add_argument("--json", help="also write the table to this file")
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    # XLA sizes its pool by the cores the process may use, when it is first called.
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads or None]
    os.sched_setaffinity(0, cores)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two frameworks share a GPU
    variants = available_variants()
    if arguments.memory_of:
        config = read_config(arguments.networks[0], arguments.windows)
        step = variants[arguments.memory_of](config, random_batch(config))
        print(own_memory_mib(arguments.memory_of, step))
        return

    cache = tempfile.TemporaryDirectory()  # the processes that measure memory need not compile
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
    jax.config.update("jax_compilation_cache_dir", cache.name)
    print(f"{len(cores)} cores, {arguments.rounds} rounds; ratio = va_jax / variant, median")
    print(
        f"{'network':<46}{'windows, frames, px':<20}{'variant':<8}"
        f"{'ms':>8}{'frames/s':>10}{'GFLOP/s':>9}{'ratio':>7}{'MiB':>8}"
    )
    table = []
    for name in arguments.networks:
        config = read_config(name, arguments.windows)
        batch, flops = random_batch(config), 3 * flops_per_frame(config)
        shape = config.train.batch_size, config.window.length, config.data.size
        steps = {variant: make(config, batch) for variant, make in variants.items()}
        times_s = turns_s(steps, arguments.rounds)
        steps.clear()  # the next ones need their memory
        for variant, turns in times_s.items():
            median_s = statistics.median(turns)
            pairs = zip(times_s["va_jax"], turns, strict=True)
            speed = shape[0] * shape[1] / median_s
            row = {
                "ms": 1e3 * median_s,
                "frames_per_s": speed,
                "gflops": speed * flops / 1e9,
                "ratio": statistics.median(ours / this for ours, this in pairs),
                "mib": memory_mib(variant, name, arguments.windows),
            }
            table.append({"network": name, "batch": shape, "variant": variant, **row})
            print(
                f"{name:<46}{'{} x {} x {}'.format(*shape):<20}{variant:<8}"
                "{ms:>8.0f}{frames_per_s:>10.1f}{gflops:>9.1f}{ratio:>7.2f}{mib:>8.0f}".format(
                    **row
                ),
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"cores": len(cores), "rounds": arguments.rounds, "table": table}, file)


if __name__ == "__main__":
    main()
