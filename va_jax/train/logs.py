"""Logs of a training run: metrics.jsonl, other writers and a progress bar."""

import collections
import contextlib
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from va_jax.config import Config
from va_jax.io import read_text, write_text
from va_jax.train.writers import Writer, open_writers
from va_jax.types import InputError

SPENT = ("compile", "input", "eval", "checkpoint")
"""Activities that take time besides the steps; `checkpoint` is time spent waiting for a save."""


class Logs:
    """Writer of the logs, active on process 0 only; use it as a context manager.

    Every line of metrics.jsonl contains "step", "kind" ("train", "dev" or "time") and values. The
    other writers of `log.writers` get the same lines.

    Args:
        workdir: folder of the run.
        start: step of the checkpoint from which the run continues; 0 for a new run.
        config: config of the run.
        active: whether this process writes.

    Raises:
        InputError: a writer cannot be opened.
    """

    def __init__(self, workdir: pathlib.Path, start: int, config: Config, active: bool):
        self._file, self._writers = None, list[Writer]()
        self._spent_s: dict[str, float] = dict.fromkeys(SPENT, 0.0)
        self._reported = time.monotonic()
        if active:
            path = workdir / "metrics.jsonl"
            written = {line["kind"]: line["step"] for line in history(workdir)}
            self._writers = open_writers(workdir, config, start, written)
            rewind(path, start)
            self._file = path.open("a", buffering=1)
        self._bar = tqdm(
            total=config.train.steps, initial=start, unit="step",
            disable=not (active and config.log.progress), dynamic_ncols=True, smoothing=0.1,
        )  # fmt: skip
        self._restart_clock()

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._bar.close()
        if self._file:
            self._file.close()
        for writer in self._writers:
            writer.close(error)

    @contextlib.contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Count the time spent in the block towards `kind`, one of `SPENT`."""
        before = time.monotonic()
        try:
            yield
        finally:
            self._spent_s[kind] += time.monotonic() - before

    def train(
        self, step: int, frames_per_step: int, means: dict[str, float], learning_rate: float
    ) -> None:
        """Log the training values and the speed since the last line, and move the progress bar.

        The bar moves here and not when a step is started, since devices finish steps later.
        """
        elapsed = max(time.monotonic() - self._since, 1e-9)
        speed = means.pop("steps") * frames_per_step / elapsed
        wait = (self._spent_s["input"] - self._waited_s) / elapsed
        shares = {"frames_per_s": speed, "input_wait": wait}
        self._write(step, "train", means | {"learning_rate": learning_rate} | shares)
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix_str(
            f"loss {means['loss']:.3f}, {speed:.0f} frames/s, input wait {wait:.0%}"
        )
        self._restart_clock()

    def dev(self, step: int, ccc: dict[str, float]) -> None:
        """Log the dev CCC of each dimension; evaluation time does not count towards the speed."""
        self._write(step, "dev", {f"ccc_{dim}": value for dim, value in ccc.items()})
        if self._file:
            scores = ", ".join(f"{dim} {value:.3f}" for dim, value in ccc.items())
            self._bar.write(f"step {step}: dev CCC {scores}")
        self._restart_clock()

    def time(self, step: int) -> None:
        """Log how the time since the last "time" line was spent."""
        now = time.monotonic()
        whole_s, self._reported = now - self._reported, now
        spent = dict(self._spent_s)
        self._write(
            step,
            "time",
            {f"{kind}_s": round(value, 3) for kind, value in spent.items()}
            | {"step_s": round(max(whole_s - sum(spent.values()), 0), 3)},
        )
        self._spent_s = dict.fromkeys(SPENT, 0.0)
        self._restart_clock()

    def _restart_clock(self) -> None:
        self._since, self._waited_s = time.monotonic(), self._spent_s["input"]

    def _write(self, step: int, kind: str, values: dict[str, float]) -> None:
        if self._file:
            self._file.write(json.dumps({"step": step, "kind": kind} | values) + "\n")
        for writer in self._writers:
            writer.write(step, kind, values)


def history(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Return the parsed lines of metrics.jsonl, or an empty list if the file does not exist.

    Raises:
        InputError: the file is not the log of a run.
    """
    path = workdir / "metrics.jsonl"
    return _lines(path) if path.exists() else []


def goodput(workdir: pathlib.Path) -> str:
    """Describe how a run spent its time, summed over all restarts; return "" if nothing is known.

    Start-up time and work that was lost when a process was killed are not included.
    """
    spent = collections.Counter[str]()
    for line in history(workdir):
        if line["kind"] == "time":
            spent.update({key: line[key] for key in line if key.endswith("_s")})
    whole_s = sum(spent.values())
    shares = (f"{key.removesuffix('_s')} {spent[key] / whole_s:.0%}" for key in spent if whole_s)
    order = sorted(shares, key=lambda words: "step" not in words)
    return f"{whole_s:.0f} s: {', '.join(order)}" if order else ""


def rewind(path: pathlib.Path, step: int) -> None:
    """Drop the lines for steps after `step`, since a resumed run writes them again."""
    if not path.exists():
        return
    # A run that starts from step 0 scores its initial weights again.
    kept = [line for line in _lines(path) if line["step"] <= step and step]
    write_text(path, "".join(f"{json.dumps(line)}\n" for line in kept))


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a killed process was writing this line
            continue
        if (
            not isinstance(line, dict)
            or type(line.get("step")) is not int
            or not isinstance(line.get("kind"), str)
        ):
            raise InputError(f"{path}: line {number}: not a log line of a run; delete the line")
        lines.append(line)
    return lines
