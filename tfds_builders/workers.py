"""Extract many recordings in parallel: in worker processes, or as an Apache Beam job."""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import pathlib
import shlex
import tempfile
from collections.abc import Generator, Sequence

from tfds_builders.parts import Row, Run, Task, Work
from va_jax.types import InputError

Finished = Generator[tuple[pathlib.Path, Row], None, None]


def processes(jobs: int) -> Run:
    """Share the work among `jobs` processes of this machine; 1 stays in this process.

    A bug stops the build once the recordings in progress are done.
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
        futures = {pool.submit(work, *task): task[1] for task in tasks}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise InputError(
            f"a worker process died, perhaps for lack of memory; lower jobs={jobs}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Let several workers share one accelerator: no worker reserves its whole memory."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def beam(flags: Sequence[str]) -> Run:
    """Hand the work to an Apache Beam runner, chosen by Beam's own `flags` (`--runner=...`).

    Its workers need this package, and must reach the source material and the data folder under the
    same paths as this process, over a shared file system. No row is known before all recordings are
    done.
    """
    return functools.partial(_in_beam, flags=list(flags))


def _in_beam(work: Work, tasks: Sequence[Task], flags: list[str]) -> Finished:
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    except ImportError as error:
        raise InputError("--beam needs Apache Beam; run pip install 'va_jax[beam]'") from error
    options = PipelineOptions(flags)
    if options.view_as(StandardOptions).runner is None:
        raise InputError(f"--beam={shlex.join(flags)!r} names no runner; add --runner=DirectRunner")
    try:
        pipeline = apache_beam.Pipeline(options=options)
    except ValueError as error:
        problem = " ".join(str(error).split())  # it has several lines
        raise InputError(f"--beam={shlex.join(flags)!r}: {problem}") from error
    if not tasks:
        return
    folder = tasks[0][1].parent
    with tempfile.TemporaryDirectory(prefix="refusals.", dir=folder) as refusals:
        with pipeline:
            _ = (
                pipeline
                | "recordings" >> apache_beam.Create(tasks)
                | "spread" >> apache_beam.Reshuffle()  # or one worker may get them all
                | "extract" >> apache_beam.Map(_one_in_beam, work, pathlib.Path(refusals))
            )
        for _, part in tasks:
            rows = part.with_suffix(".json"), pathlib.Path(refusals, f"{part.stem}.json")
            row = next((each for each in rows if each.exists()), None)
            if row is None:
                raise InputError(
                    f"{rows[0]}: not found after the Beam job; let its workers share this folder"
                )
            yield part, json.loads(row.read_text())


def _one_in_beam(task: Task, work: Work, refusals: pathlib.Path) -> None:
    """Extract one recording, unless its row is there: Beam may run a task twice.

    Rows are passed on in files, those of finished parts where a restart looks for them.
    """
    _prepare_worker()
    recording, part = task
    if part.with_suffix(".json").exists():
        return
    row = work(recording, part)
    if "refused" in row:
        (refusals / f"{part.stem}.json").write_text(json.dumps(row))
