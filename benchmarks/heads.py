"""Measure the time and memory that each temporal stack takes for a streamed frame.

    python -m benchmarks.heads --frames 500 --rounds 9 --json heads.json

The stacks have 256 units and the sizes given in `STACKS`. They receive 512 features per frame, in
float32, and run on one core. They take turns of FRAMES frames each, so that other work on the
machine slows down all of them; the table contains medians. Each stack then processes 10,000 more
frames: the memory of the process is read after the first 1,000 of these frames and after the last.
"""

import argparse
import json
import os
import statistics
import time

FEATURES, UNITS, LONG = 512, 256, 10_000


def stacks():
    """Return the stacks by name; their numbers of parameters are of the same order."""
    from va_jax.models.lru import LRUStack
    from va_jax.models.recurrent import RecurrentStack
    from va_jax.models.tcn import TCN
    from va_jax.models.tcn_lru import TCNLRU
    from va_jax.models.transformer import Transformer

    return {
        "lstm, 2 layers": RecurrentStack("lstm", 2, UNITS),
        "gru, 2 layers": RecurrentStack("gru", 2, UNITS),
        "tcn, 4 layers": TCN(4, UNITS, kernel_size=3),
        "lru, 2 layers": LRUStack(2, UNITS),
        "tcn_lru, 2 + 2 layers": TCNLRU(2, UNITS),
        "transformer, 2 layers": Transformer(2, UNITS, heads=4, window=64),
    }


class Running:
    """A stack in a stream: `run` processes frames, one at a time."""

    def __init__(self, stack):
        import jax
        import jax.numpy as jnp

        self.x, mask = jnp.ones((1, 1, FEATURES)), jnp.ones((1, 1), bool)
        init = jax.jit(lambda rng: stack.init(rng, self.x, mask, train=False))
        self.variables = init(jax.random.key(0))
        self.state = jax.tree.map(jnp.array, stack.initial_state(1))
        self.step = jax.jit(
            lambda variables, x, state: stack.apply(variables, x, mask, state, train=False),
            donate_argnums=2,
        )
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self.variables))
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state))
        self.run(1)  # compiles

    def run(self, frames: int) -> float:
        """Process frames, and return the microseconds per frame."""
        start = time.perf_counter()
        for _ in range(frames):
            y, self.state = self.step(self.variables, self.x, self.state)
            y.block_until_ready()
        return 1e6 * (time.perf_counter() - start) / frames


def memory_kib() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500, help="frames in a turn")
    parser.add_argument("--rounds", type=int, default=9, help="timed turns of each stack")
    parser.add_argument("--json", help="also write the table to this file")
    arguments = parser.parse_args()

    # XLA sizes its thread pool by the available cores: choose one before importing jax.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    os.environ["JAX_PLATFORMS"] = "cpu"

    running = {name: Running(stack) for name, stack in stacks().items()}
    times_us = {name: [] for name in running}
    for _ in range(arguments.rounds):
        for name, each in running.items():
            times_us[name].append(each.run(arguments.frames))
    table = []
    print(f"{'stack':<24}{'us/frame':>10}{'parameters':>12}{'state KiB':>11}{'growth KiB':>12}")
    for name, each in running.items():
        each.run(LONG // 10)
        before = memory_kib()
        each.run(LONG - LONG // 10)
        growth, median_us = memory_kib() - before, statistics.median(times_us[name])
        state_kib = each.state_bytes / 1024
        print(f"{name:<24}{median_us:>10.0f}{each.parameters:>12,}{state_kib:>11.1f}{growth:>12}")
        table.append(
            {"stack": name, "median_us": median_us, "parameters": each.parameters}
            | {"state_kib": state_kib, "growth_kib": growth}
        )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": arguments.rounds, "table": table}, file)


if __name__ == "__main__":
    main()
