"""Compare CPU training steps with and without `train.keep_memory`, in alternating processes.

    python -m benchmarks.keep_memory --network tzirakis2021:resnet50_lstm --length 16 --size 112

Each process compiles the step, takes one step, and then times `--steps` more. The table contains
medians over all rounds: seconds per step, page faults per step, and the peak memory of the process.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import train_step
from va_jax.train import allocator


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds and page faults of each step, and the peak memory of this process."""
    if args.one == "kept":
        allocator.keep_memory()
    config = train_step.read_config(args.network, args.windows, args.length, args.size)
    step, _ = train_step.our_step(config, train_step.random_batch(config))
    step()
    steps_s, faults = [], []
    for _ in range(args.steps):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        step()
        steps_s.append(time.perf_counter() - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"s": steps_s, "faults": faults, "peak MiB": [peak]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="tzirakis2021:resnet50_lstm", help="FILE:VARIANT")
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--length", type=int, default=16, help="frames")
    parser.add_argument("--size", type=int, default=112, help="pixels")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("kept", "returned"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    found: dict[str, list[dict[str, Any]]] = {"returned": [], "kept": []}
    for _ in range(args.rounds):
        for how, runs in found.items():
            line = [sys.executable, "-m", "benchmarks.keep_memory", *sys.argv[1:], f"--one={how}"]
            done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    for how, runs in found.items():
        for name in runs[0]:
            values = itertools.chain.from_iterable(run[name] for run in runs)
            print(f"{how:9}{name:9}{statistics.median(values):12,.3f}")


if __name__ == "__main__":
    main()
