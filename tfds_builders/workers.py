"""Extract many recordings in parallel: in worker processes, or as an Apache Beam job."""

import concurrent.futures
import contextlib
import functools
import json
import multiprocessing
import os
import pathlib
import shlex
import signal
import tempfile
from collections.abc import Generator, Sequence

from tfds_builders.parts import Row, Run, Task, Work
from va_jax.types import InputError

Finished = Generator[tuple[pathlib.Path, Row], None, None]


def processes(jobs: int) -> Run:
    """Distribute the work over `jobs` processes on this machine; 1 means the current process.

    An unexpected exception stops the build once the recordings in progress are done.
    """
    return functools.partial(_in_processes, jobs=jobs)


def _in_processes(work: Work, tasks: Sequence[Task], jobs: int) -> Finished:
    if jobs == 1:
        for task in tasks:
            yield task[1], work(*task)
        return
    spawn = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
    pool = concurrent.futures.ProcessPoolExecutor(jobs, spawn, _prepare_worker)
    try:
        with _ignoring_ctrl_c():
            futures = {pool.submit(work, *task): task[1] for task in tasks}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise InputError(
            f"a worker process died, perhaps because memory ran out; use fewer than {jobs} jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _ignoring_ctrl_c() -> Generator[None, None, None]:
    """Ignore Ctrl-C here and in processes started now, so that only the parent handles it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare_worker() -> None:
    """Let several workers share one accelerator by not reserving all of its memory."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def beam(flags: Sequence[str]) -> Run:
    """Distribute the work with an Apache Beam runner, chosen in Beam's own flags (`--runner=...`).

    This package must be installed on the workers, and a shared file system must provide the source
    material and the data folder under the same paths as in this process. No rows are available
    until all recordings are done.
    """
    return functools.partial(_in_beam, flags=list(flags))


def _in_beam(work: Work, tasks: Sequence[Task], flags: list[str]) -> Finished:
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    except ImportError as error:
        raise InputError("--beam requires Apache Beam; run pip install 'va_jax[beam]'") from error
    options = PipelineOptions(flags)
    if options.view_as(StandardOptions).runner is None:
        raise InputError(
            f"--beam={shlex.join(flags)!r}: the runner is missing; add --runner=DirectRunner"
        )
    try:
        pipeline = apache_beam.Pipeline(options=options)
    except ValueError as error:
        problem = " ".join(str(error).split())  # the message has several lines
        raise InputError(f"--beam={shlex.join(flags)!r}: {problem}") from error
    if not tasks:
        return
    folder = tasks[0][1].parent
    with tempfile.TemporaryDirectory(prefix="refusals.", dir=folder) as refusals:
        with pipeline:
            _ = (
                pipeline
                | "recordings" >> apache_beam.Create(tasks)
                | "spread" >> apache_beam.Reshuffle()  # otherwise one worker may get all tasks
                | "extract" >> apache_beam.Map(_one_in_beam, work, pathlib.Path(refusals))
            )
        for _, part in tasks:
            rows = part.with_suffix(".json"), pathlib.Path(refusals, f"{part.stem}.json")
            row = next((each for each in rows if each.exists()), None)
            if row is None:
                raise InputError(
                    f"{rows[0]}: not found after the Beam job; use workers that share this folder"
                )
            yield part, json.loads(row.read_text())


def _one_in_beam(task: Task, work: Work, refusals: pathlib.Path) -> None:
    """Extract one recording unless its row already exists, because Beam may run a task twice.

    Results are passed on as files. The row of a finished part is where a restart looks for it.
    """
    _prepare_worker()
    recording, part = task
    if part.with_suffix(".json").exists():
        return
    row = work(recording, part)
    if "refused" in row:
        (refusals / f"{part.stem}.json").write_text(json.dumps(row))
