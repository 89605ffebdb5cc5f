"""Profile of a few training steps after warm-up, and the compiled step as text."""

import pathlib
from typing import Any

import jax

WARM = 10
"""Number of steps before the first traced one; our choice."""


class Profile:
    """Traces `steps` steps from this process's eleventh step on, and none after step `last`."""

    def __init__(self, folder: pathlib.Path, done: int, last: int, steps: int):
        self._folder = folder
        self._first = done + WARM + 1
        self._last = min(done + WARM + steps, last)
        self._running = False

    def before(self, number: int) -> None:
        """Start the trace if step `number` is the first to be traced."""
        if number == self._first <= self._last:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def after(self, number: int, result: Any) -> None:
        """Stop the trace after its last step; `result` is an output of step `number`."""
        if self._running and number == self._last:
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            self._running = False
            print(
                f"\nwrote a trace of steps {self._first} to {number} to {self._folder}; view it "
                f"with `tensorboard --logdir={self._folder}` (which requires the xprof plugin) or "
                "at ui.perfetto.dev"
            )


def write_hlo(path: pathlib.Path, step: Any, *given: Any) -> None:
    """Write the optimised HLO of a jitted step for the `given` arguments, compiling it again."""
    text = step.lower(*given).compile().as_text()  # on all processes, since they may cooperate
    if jax.process_index() == 0:
        path.write_text(text)
        print(f"\nwrote the compiled step to {path}")
