"""Extract many recordings side by side: in worker processes, or as a job of Apache Beam."""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfds_builders.writer import Run, Task
from va_jax.schema import InputError

Work = Callable[..., dict[str, Any]]


def processes(jobs: int) -> Run:
    """Shares the work among `jobs` processes of this machine; 1 stays in this process.

    The first bug stops the build once the recordings that were begun are done.
    """
    return functools.partial(_in_processes, jobs=jobs)


def _in_processes(
    work: Work, tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
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
            f"a worker process died, out of memory perhaps; lower jobs={jobs}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Lets several workers share one accelerator: none of them reserves its whole memory."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def beam(flags: Sequence[str]) -> Run:
    """Hands the work to an Apache Beam runner, chosen by Beam's own `flags` (`--runner=...`).

    Its workers must reach the source tree and the data folder under the same paths as this
    process, over a shared file system, and have this package installed.
    """
    return functools.partial(_in_beam, flags=list(flags))


def _in_beam(
    work: Work, tasks: Sequence[Task], flags: list[str]
) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("--beam needs Apache Beam; pip install 'va_jax[beam]'") from error
    if not tasks:
        return
    refusals = tasks[0][1].parent / "refusals"
    refusals.mkdir(exist_ok=True)
    with apache_beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        _ = (
            pipeline
            | apache_beam.Create([(recording, str(part)) for recording, part in tasks])
            | apache_beam.Reshuffle()  # else one worker may get them all, as one bundle
            | apache_beam.Map(functools.partial(_one_in_beam, work=work))
        )
    for _, part in tasks:
        row = part.with_suffix(".json")
        yield part, json.loads((row if row.exists() else refusals / row.name).read_text())


def _one_in_beam(task: tuple[Any, str], work: Work) -> None:
    """Rows go by file, finished ones where a restart looks for them: Beam may run a task twice."""
    recording, part = task[0], pathlib.Path(task[1])
    if part.with_suffix(".json").exists():
        return
    row = work(recording, part)
    if "refused" in row:
        (part.parent / "refusals" / f"{part.stem}.json").write_text(json.dumps(row))
