"""Actions on a run (train, evaluate, export, summarise), in one process or as part of a job."""

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import logging
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.train.stopping import Stopped, Stopping
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Job:
    """The role of this process in a multi-process job."""

    coordinator: str = ""
    process: int | None = None
    processes: int | None = None
    join_s: int = 300
    stopped_code: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for `Job`."""
    add = parser.add_argument_group("several processes").add_argument
    add("--coordinator", default="", metavar="HOST:PORT",
        help='address of process 0, or "auto" on TPU pods, SLURM and MPI')  # fmt: skip
    add("--process", type=int, help="number of this process, starting at 0")
    add("--processes", type=int, help="number of processes")
    add("--join_s", type=int, default=300, help="seconds to wait for the other processes")
    add("--stopped_code", type=int, default=0,
        help="exit code for a run that was asked to stop and can be continued")  # fmt: skip


def of_arguments(args: argparse.Namespace) -> Job:
    """Return the job described by the parsed flags."""
    return Job(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Job)})


def run(job: Job, action: Callable[[Stopping], None]) -> int:
    """Run an action that can be asked to stop, and return the exit code.

    The action itself imports JAX, so that requests to stop are also handled during the import.
    Faults outside the program are reported in one line; other exceptions keep their traceback.
    """
    logging.set_verbosity(logging.WARNING)  # Orbax logs every file it writes
    stop = Stopping(job.stopped_code)
    stop.listen(job=bool(job.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")))
    try:
        action(stop)
    except Stopped as stopped:
        print(f"\n{stopped}", flush=True)
        return stop.code
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception as error:
        _end_if_outside(error)
        raise
    finally:
        stop.end()
    return 0


def train(job: Job, config: ConfigDict, workdir: pathlib.Path, stop: Stopping) -> None:
    """Train the run in `workdir` to the end, and evaluate it."""
    parsed = configuration.parse(config)
    _keep_memory(parsed)
    _join(job, stop, workdir)
    _train(parsed, workdir, stop)


def _keep_memory(config: configuration.Config) -> None:
    """Set up the allocator, before JAX starts the threads that would keep its old settings."""
    from va_jax.train import allocator

    if config.train.keep_memory:
        allocator.keep_memory()


def _train(config: configuration.Config, workdir: pathlib.Path, stop: Stopping) -> None:
    from va_jax.evaluation.evaluate import evaluate
    from va_jax.train import lock
    from va_jax.train.loop import train as train_run

    with lock.hold(workdir):
        train_run(config, workdir, stop)
        evaluate(config, workdir, on_batch=stop.check)


def train_seeds(
    job: Job, config: ConfigDict, workdir: pathlib.Path, seeds: Sequence[int], stop: Stopping
) -> None:
    """Train and evaluate a run for each seed, in a folder in `workdir`, and compare their scores.

    Raises:
        InputError: `workdir` is a run itself.
    """
    if (workdir / "config.json").exists():
        raise InputError(
            f"--workdir={workdir} already contains a run; with --seeds, pass a folder for several "
            "runs, such as a new one"
        )
    parsed = configuration.parse(config)
    configs = [configuration.with_values(parsed, seed=seed) for seed in seeds]
    _keep_memory(parsed)
    _join(job, stop, workdir)
    from jax import process_index

    from va_jax.evaluation import seeds as seed_table
    from va_jax.train import workdir as run_config

    runs = {seed: workdir / f"seed_{seed}" for seed in seeds}
    first, *_ = runs.values()
    for each, folder in zip(configs, runs.values(), strict=True):
        _train(run_config.with_decided(each, first), folder, stop)
    if process_index() == 0:
        print(f"\n{seed_table.write(workdir, runs)}")


def evaluate(
    job: Job,
    config: ConfigDict | None,
    workdir: pathlib.Path,
    out: pathlib.Path | None,
    stop: Stopping,
) -> None:
    """Evaluate the run in `workdir` with its own or a given config; write to `out` if given."""
    _join(job, stop, workdir)
    from va_jax.evaluation.evaluate import evaluate as evaluate_run
    from va_jax.train import workdir as run_config

    given = None if config is None else configuration.parse(config)
    evaluate_run(run_config.for_evaluation(workdir, given), workdir, out, stop.check)


def export(workdir: pathlib.Path, out: pathlib.Path | None, head: str, stop: Stopping) -> None:
    """Export the network of the run in `workdir`; everything, even the check, runs on the CPU."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    stop.joined()
    from va_jax.export.export import export as export_run

    export_run(workdir, out or workdir / "export", head)


def export_weights(config: ConfigDict, out: pathlib.Path, stop: Stopping) -> None:
    """Export the network in the weight file that a config names; everything runs on the CPU."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    stop.joined()
    from va_jax.export.export import export_weights as write

    write(configuration.parse(config), out)


def cache_features(
    config: ConfigDict, out: pathlib.Path, kind: str, flip: bool, stop: Stopping
) -> None:
    """Store the features of a config's backbone on its data set."""
    stop.joined()
    from va_jax.evaluation.cache_features import cache

    cache(configuration.parse(config), out, kind, flip, stop.check)


def summarise(config: ConfigDict, stop: Stopping) -> None:
    """Print the size and the cost of the network, without requiring a workdir or a data set."""
    stop.joined()
    from va_jax.train.summary import summary

    print(summary(_parse_without_data(config)))


def _parse_without_data(config: ConfigDict) -> configuration.Config:
    """Parse a config in which `data.name` may be empty."""
    tree = config.to_dict()
    tree["data"]["name"] = tree["data"]["name"] or "none"
    return configuration.parse(tree)


def compile_steps(config: ConfigDict, topology: str, as_json: bool, stop: Stopping) -> None:
    """Print what the compiler reports about the steps of a config, for a topology or this machine.

    Raises:
        InputError: a step does not fit.
    """
    stop.joined()
    from va_jax.train import compile as compiling
    from va_jax.train import devices

    parsed = _parse_without_data(config)
    found = devices.of_topology(topology) if topology else devices.at_hand()
    compiled = compiling.compile_steps(parsed, found)
    if as_json:
        print(compiling.to_json(compiled, found))
        return
    print(f"{found.name}\n\n{compiling.table(compiled, found).text()}")
    with found.forms():
        print(compiling.loop_note(parsed))


def _join(job: Job, stop: Stopping, workdir: pathlib.Path) -> None:
    """Join the other processes, print this one's devices, and enable the compilation cache."""
    from va_jax.train import processes

    processes.start(job.coordinator, job.process, job.processes, job.join_s)
    stop.joined()
    print(processes.device_line(), flush=True)
    processes.keep_compiled(workdir / "compiled")


def _end_if_outside(error: Exception) -> None:
    """If the cause is outside the program, print one line and end without waiting for others."""
    from va_jax.train import failures

    line = failures.message(error)
    if line is not None:
        print(f"error: {line}", file=sys.stderr, flush=True)
        os._exit(1)
