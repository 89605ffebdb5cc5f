"""Compare the forms of each operation in a whole training step.

    python -m benchmarks.forms --network tzirakis2021:resnet50_lstm --windows 8

The row `chosen` is the default step on this device. Every other row changes one operation, or uses
the forms for a different kind of device, such as `as on a cpu`. The rows alternate, and their
medians are compared. Memory is the temporary memory of the compiled step. Programs are compiled in
parallel on all cores, so compile times can only be compared with each other.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

import jax

from benchmarks import train_step
from va_jax.config import Config
from va_jax.models import forms
from va_jax.train.compile import mib


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
    try:
        rows = chosen_rows(candidates(config, forms.chosen()), arguments.rows)
    except ValueError as error:
        parser.error(str(error))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = pool.map(functools.partial(compile_step, config, batch), rows.values())
        compiled = dict(zip(rows, results, strict=True))
    steps = {}
    for name, (take, create, compile_s) in compiled.items():
        temporaries = mib(take.memory_analysis().temp_size_in_bytes)
        print(f"{name}: compiled in {compile_s:.0f} s, {temporaries} MiB", flush=True)
        steps[name] = train_step.taking(take, create, batch)
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


def candidates(config: Config, chosen: forms.Forms) -> dict[str, forms.Forms]:
    """Return the chosen forms, also with one change each, and the forms for other devices.

    Changes that have no effect on this config are left out.
    """
    found, without = {"chosen": chosen}, set()
    if config.train.accumulate == 1:
        without.add("pieces")
    if config.model.compute_dtype != "auto":
        without.add("compute_dtype")
    for name, kind in get_type_hints(forms.Forms).items():
        for value in get_args(kind) or (1, 5, 15):
            if value != getattr(chosen, name) and name not in without:
                found[f"{name}={value}"] = dataclasses.replace(chosen, **{name: value})
    for backend, each in forms.BY_BACKEND.items():
        if each not in found.values():
            found[f"as on a {backend}"] = each
    return found


def chosen_rows(rows: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """Return the rows with these names, or all of them; ValueError if a name is unknown."""
    if unknown := set(names or ()) - set(rows):
        raise ValueError(f"--rows: {min(unknown)!r} is not one of {', '.join(rows)}")
    return {name: rows[name] for name in rows if name in (names or rows)}


def compile_step(
    config: Config, batch: dict[str, Any], form: forms.Forms
) -> tuple[Any, Callable[[], Any], float]:
    """Return the compiled step, the function for its first state, and the seconds it took."""
    start = time.perf_counter()
    with forms.using(form):
        return *train_step.compile_step(config, batch), time.perf_counter() - start


if __name__ == "__main__":
    main()
