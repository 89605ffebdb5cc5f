"""Compare the forms of each operation in a whole training step.

    python -m benchmarks.forms --network tzirakis2021:resnet50_lstm --windows 8

The row `chosen` is the default step on this device; every other row changes one operation, or uses
the forms for a different kind of device. The rows alternate, and their medians are compared. Memory
is the temporary memory of the compiled step. Programs are compiled in parallel on all cores, so
compile times can only be compared with each other.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import json
import os
import statistics
import time
from typing import Any, get_args, get_type_hints

import jax

from benchmarks import train_step
from va_jax.config import Config
from va_jax.models import forms
from va_jax.models.build import build_model
from va_jax.train import optim
from va_jax.train.state import Tally, TrainState, initial_variables
from va_jax.train.step import make_step
from va_jax.types import DIMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True, help="FILE:VARIANT of configs/")
    parser.add_argument("--windows", type=int, default=0, help="0: as in the config")
    parser.add_argument("--length", type=int, default=0, help="frames; 0: as in the config")
    parser.add_argument("--size", type=int, default=0, help="pixels; 0: as in the config")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", nargs="*", help="rows to time; default: all")
    parser.add_argument("--torch", action="store_true", help="also torch")
    parser.add_argument("--json", help="also write the table to this file")
    arguments = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two frameworks share a GPU
    shape = arguments.windows, arguments.length, arguments.size
    config = train_step.read_config(arguments.network, *shape)
    batch = train_step.random_batch(config)
    rows = {name: each for name, each in candidates().items() if name in (arguments.rows or [name])}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = pool.map(functools.partial(compile_step, config, batch), rows.values())
        compiled = dict(zip(rows, results, strict=True))
    placed, steps = jax.device_put(batch), {}
    for name, (take, compile_s) in compiled.items():
        mib = take.memory_analysis().temp_size_in_bytes / 2**20
        print(f"{name}: compiled in {compile_s:.0f} s, {mib:,.0f} MiB", flush=True)
        steps[name] = taking(config, take, placed)
    if arguments.torch and train_step.torch_sees_the_device():
        from benchmarks import peer_step

        steps["torch"], _ = peer_step.make_step(config, batch)
    times_s = train_step.turns_s(steps, arguments.rounds)
    frames, first = config.train.batch_size * config.window.length, next(iter(times_s.values()))
    table = {}
    for name, turns in times_s.items():
        ratio = statistics.median(a / b for a, b in zip(turns, first, strict=True))
        median_s = statistics.median(turns)
        table[name] = {"ms": 1e3 * median_s, "frames_per_s": frames / median_s, "ratio": ratio}
        print(f"{name}: {1e3 * median_s:.1f} ms, {frames / median_s:,.0f} frames/s, {ratio:.3f}")
    if arguments.json:
        device = jax.devices()[0].device_kind
        facts = {"network": arguments.network, "shape": shape, "device": device, "table": table}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(facts | {"jax": jax.__version__, "rounds": arguments.rounds}, file, indent=1)


def candidates() -> dict[str, forms.Forms]:
    """Return this device's forms, also with one change each, and the forms for other devices."""
    chosen = forms.chosen()
    found = {"chosen": chosen}
    for name, kind in get_type_hints(forms.Forms).items():
        for value in get_args(kind) or (1, 5, 15):
            if value != getattr(chosen, name):
                found[f"{name}={value}"] = dataclasses.replace(chosen, **{name: value})
    for backend, each in forms.BY_BACKEND.items():
        if each not in found.values():
            found[f"as on a {backend}"] = each
    return found


def compile_step(config: Config, batch: dict[str, Any], form: forms.Forms) -> tuple[Any, float]:
    """Return the compiled training step and the seconds that compiling took."""
    model = build_model(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)
    with forms.using(form):
        state = jax.eval_shape(functools.partial(first_state, config))
        lowered = make_step(config, model, tx).lower(state, Tally.zero(), batch)
    start = time.perf_counter()
    return lowered.compile(), time.perf_counter() - start


def first_state(config: Config) -> TrainState:
    model = build_model(config.model, DIMS)
    tx = optim.make_tx(config.optim, config.train.steps)
    return TrainState.create(initial_variables(model, config.data.size, config.seed), tx)


def taking(config: Config, take: Any, batch: dict[str, Any]) -> train_step.Step:
    """Return a function that takes a step and waits until it is done."""
    state, tally = jax.jit(functools.partial(first_state, config))(), Tally.zero()

    def step() -> None:
        nonlocal state, tally
        state, tally = jax.block_until_ready(take(state, tally, batch))

    return step


if __name__ == "__main__":
    main()
