"""Train, evaluate, export or describe: `python -m va_jax.main --config=FILE --workdir=DIR`."""

import functools
import os
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from va_jax.cli import flags as command_line
from va_jax.train.stopping import Stopped, Stopping
from va_jax.types import InputError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "configuration file, FILE.py or FILE.py:VARIANT; not needed to evaluate"
)
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run; not needed for a summary")
MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "eval", "export", "summary"],
    "train to the end and evaluate; evaluate only; write the network to --out; describe it",
)
OUT = flags.DEFINE_string(
    "out", None, "export: the folder to write; default WORKDIR/export; eval: default WORKDIR"
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    "",
    'several processes: HOST:PORT of process 0, or "auto" on TPU, SLURM, MPI',
)
PROCESS = flags.DEFINE_integer("process", None, "number of this process, from 0")
PROCESSES = flags.DEFINE_integer("processes", None, "number of processes")
JOIN_S = flags.DEFINE_integer("join_s", 300, "seconds that a process waits for the others", 1)
STOPPED_CODE = flags.DEFINE_integer(
    "stopped_code", 0, "exit code of a run that was asked to stop, and can go on"
)


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file it writes
    stop = Stopping(STOPPED_CODE.value)
    stop.listen(job=bool(COORDINATOR.value or os.environ.get("JAX_COORDINATOR_ADDRESS")))
    try:
        run(stop)
    except Stopped as stopped:
        print(f"\n{stopped}", flush=True)
        sys.exit(stop.code)
    except InputError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        fail(error)
        raise
    finally:
        stop.end()


def fail(error: Exception) -> None:
    """End with one line if something outside is at fault, not waiting for other processes."""
    from va_jax.train import failures

    line = failures.told(error)
    if line is not None:
        print(f"error: {line}", file=sys.stderr, flush=True)
        os._exit(1)


def run(stop: Stopping) -> None:
    """What the flags ask for; imports JAX, so that a request to stop is heard meanwhile."""
    import jax

    from va_jax import config as configuration
    from va_jax.evaluation.evaluate import evaluate
    from va_jax.export.export import export
    from va_jax.train import processes
    from va_jax.train.loop import train
    from va_jax.train.summary import summary

    if MODE.value == "export":
        jax.config.update("jax_platforms", "cpu")  # where an export is compared
    processes.start(COORDINATOR.value, PROCESS.value, PROCESSES.value, JOIN_S.value)
    stop.joined()
    if MODE.value in ("train", "summary") and CONFIG.value is None:
        raise InputError("--config is missing; name a file, such as configs/quickstart.py")
    if MODE.value == "summary":
        print(summary(CONFIG.value))
        return
    if WORKDIR.value is None:
        raise InputError("--workdir is missing; name the folder of the run")
    workdir, out = pathlib.Path(WORKDIR.value), pathlib.Path(OUT.value) if OUT.value else None
    if MODE.value == "export":
        export(workdir, out or workdir / "export")
        return
    print(processes.told(), flush=True)
    processes.keep_compiled(workdir / "compiled")
    if MODE.value == "train":
        train(CONFIG.value, workdir, stop)
        evaluate(CONFIG.value, workdir, on_batch=stop.check)
    else:
        evaluate(configuration.of_run(workdir, CONFIG.value), workdir, out, stop.check)


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(command_line.parse, config=CONFIG))
