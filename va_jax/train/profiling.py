"""A trace of a few steps of a run once it is warm, and the compiled step as text."""

import pathlib
from typing import Any

import jax

WARM = 10
"""Steps before the first one that is traced; ours."""


class Profile:
    """Traces `steps` steps, from the eleventh of this process on, and none behind the last one."""

    def __init__(self, folder: pathlib.Path, done: int, last: int, steps: int):
        self._folder = folder
        self._first = done + WARM + 1
        self._last = min(done + WARM + steps, last)
        self._running = False

    def before(self, number: int) -> None:
        """To be called before step `number`."""
        if number == self._first <= self._last:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def after(self, number: int, result: Any) -> None:
        """To be called after step `number` with what it gave."""
        if self._running and number == self._last:
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            self._running = False
            print(
                f"\nsteps {self._first} to {number} are traced in {self._folder}; see them with "
                f"`tensorboard --logdir={self._folder}` (plugin xprof) or at ui.perfetto.dev"
            )


def write_hlo(path: pathlib.Path, step: Any, *given: Any) -> None:
    """The optimised HLO of a jitted step for what it is given; compiles once more."""
    text = step.lower(*given).compile().as_text()  # by all processes: they may do it together
    if jax.process_index() == 0:
        path.write_text(text)
        print(f"\n{path} holds the compiled step")
