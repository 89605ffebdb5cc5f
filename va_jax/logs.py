"""What a run says while it trains: metrics.jsonl, TensorBoard events and a progress bar."""

import json
import pathlib
import time
from typing import Any

from tensorboardX import SummaryWriter
from tqdm import tqdm

from va_jax.config import write_atomically


class Logs:
    """Writes on process 0 only; use as a context manager."""

    def __init__(
        self,
        workdir: pathlib.Path,
        start: int,
        steps: int,
        tensorboard: bool,
        progress: bool,
        active: bool,
    ):
        self._active = active
        self._bar = tqdm(
            total=steps, initial=start, unit="step", disable=not (active and progress),
            dynamic_ncols=True, smoothing=0.1,
        )  # fmt: skip
        self._file, self._events = None, None
        if active:
            path = workdir / "metrics.jsonl"
            rewind(path, start)
            self._file = path.open("a", buffering=1)
            if tensorboard:
                self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=start)
        self._since = time.monotonic()
        self._waited_s = 0.0

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._file:
            self._file.close()
        if self._events:
            self._events.close()

    def waited(self, seconds: float) -> None:
        """Count time the loop spent waiting for input."""
        self._waited_s += seconds

    def advance(self) -> None:
        """Move the progress bar by one step."""
        self._bar.update()

    def restart_clock(self) -> None:
        """Leave the time since the last line out of the speed, as after an evaluation."""
        self._since, self._waited_s = time.monotonic(), 0.0

    def train(self, step: int, frames: int, values: dict[str, float]) -> None:
        """One line of training values, with the speed over `frames` frames since the last line."""
        elapsed = max(time.monotonic() - self._since, 1e-9)
        speed = {"frames_per_s": frames / elapsed, "input_wait": self._waited_s / elapsed}
        self.write(step, "train", values | speed)
        self._bar.set_postfix_str(
            f"loss {values['loss']:.3f}, {speed['frames_per_s']:.0f} frames/s, "
            f"input wait {speed['input_wait']:.0%}"
        )
        self.restart_clock()

    def write(self, step: int, kind: str, values: dict[str, Any]) -> None:
        """One line {"step", "kind", **values} in metrics.jsonl, and TensorBoard scalars."""
        if not self._active:
            return
        self._file.write(json.dumps({"step": step, "kind": kind} | values) + "\n")
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def say(self, text: str) -> None:
        """Print a line of text without breaking the progress bar."""
        if self._active:
            self._bar.write(text)


def rewind(path: pathlib.Path, step: int) -> None:
    """Drop the lines of steps after `step`: a resumed run writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the line a killed process was writing
            continue
        if entry["step"] <= step:
            kept.append(line)
    write_atomically(path, "".join(f"{line}\n" for line in kept))
