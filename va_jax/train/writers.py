"""Places besides metrics.jsonl where training logs go: TensorBoard, Weights & Biases, MLflow."""

import contextlib
import importlib.util
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from va_jax import keys
from va_jax.config import Config, to_tree
from va_jax.io import read_json, write_json
from va_jax.train.stopping import Stopped
from va_jax.types import InputError

EXTRAS = ("wandb", "mlflow")
"""Writers that need a library, which is an extra of the same name."""

NAME = "tracking.json"
"""File in the workdir with the `id` of the run in each of `EXTRAS`, and the last step that is
`written` there by kind of line."""

PROJECT = "va_jax"
"""Project of Weights & Biases, unless WANDB_PROJECT names another one."""


@runtime_checkable
class Writer(Protocol):
    """A place where the lines of metrics.jsonl go as well."""

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Write the values of a line as KIND/NAME."""

    def close(self, error: BaseException | None) -> None:
        """Finish, given the exception that ended training; None if none did."""


def check_installed(writers: Sequence[str]) -> None:
    """Raise InputError, naming the extra, if the library of a writer is not installed."""
    for name in writers:
        if name in EXTRAS and not _is_installed(name):
            raise InputError(
                f"log.writers={tuple(writers)!r}: {name} is not installed; run "
                f"`pip install -e '.[{name}]'`, or remove {name!r}"
            )


def open_writers(
    workdir: pathlib.Path, config: Config, start: int, written: Mapping[str, int]
) -> list[Writer]:
    """Open the writers of `log.writers`, except metrics.jsonl.

    Args:
        workdir: folder of the run.
        config: config of the run.
        start: step of the checkpoint from which the run continues; 0 for a new run.
        written: last step in metrics.jsonl by kind of line, when the run was interrupted. A resumed
            run computes some of these lines again, and `EXTRAS` get each line only once.

    Raises:
        InputError: a run cannot be started or continued; the message contains the reason.
    """
    writers, found, known = config.log.writers, list[Writer](), _read(workdir)
    try:
        if "tensorboard" in writers:
            found.append(TensorBoard(workdir, start))
        for name, kind in (("wandb", WandB), ("mlflow", MLflow)):
            if name not in writers:
                continue
            before, last = known.get(name), dict[str, int]()
            if before is not None:
                earlier = before["written"]
                last = {key: max(earlier.get(key, -1), step) for key, step in written.items()}
                last = earlier | last
            writer = kind(workdir, config, before and before["id"])
            found.append(WithoutRepeats(writer, last))
            known[name] = {"id": writer.id, "written": last}
            write_json(workdir / NAME, known)
    except BaseException as error:
        for opened in found:
            opened.close(error)
        raise
    return found


class TensorBoard:
    """Events in WORKDIR/tensorboard."""

    def __init__(self, workdir: pathlib.Path, start: int):
        from tensorboardX import SummaryWriter  # imports torch if it is installed

        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._events.add_scalar(f"{kind}/{name}", value, step)

    def close(self, error: BaseException | None) -> None:
        self._events.close()


class WandB:
    """A run of Weights & Biases, set up by its environment variables; its files are in WORKDIR."""

    def __init__(self, workdir: pathlib.Path, config: Config, before: str | None):
        import wandb  # pyright: ignore[reportMissingImports]

        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=_name(workdir),
                dir=str(workdir),
                id=before,
                resume="allow" if before else None,
                config=to_tree(config),
            )
        except wandb.Error as error:
            raise InputError(
                f"log.writers: Weights & Biases cannot start a run: {_first_line(error)} Correct "
                "this, set WANDB_MODE=offline to log without a network, or remove 'wandb'"
            ) from error
        self.id: str = self._run.id
        # An axis of our own, because its internal one refuses a step before its last one.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        named = {f"{kind}/{name}": value for name, value in values.items()}
        self._run.log({"step": step} | named)

    def close(self, error: BaseException | None) -> None:
        self._run.finish(exit_code=0 if error is None or isinstance(error, Stopped) else 1)


class MLflow:
    """A run of MLflow, set up by its environment variables, such as MLFLOW_TRACKING_URI."""

    def __init__(self, workdir: pathlib.Path, config: Config, before: str | None):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is sent even for local files
        if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # required by MLflow 3.17
        import mlflow  # pyright: ignore[reportMissingImports]
        from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

        self._mlflow, self._error, self._failed = mlflow, MlflowException, False
        try:
            run = mlflow.start_run(run_id=before, run_name=None if before else _name(workdir))
            if before is None:
                flat = keys.flatten(to_tree(config))
                mlflow.log_params({key: repr(value) for key, value in flat.items()})
        except MlflowException as error:
            with contextlib.suppress(MlflowException):
                mlflow.end_run("FAILED")
            known = f" {workdir / NAME} names the run {before}." if before else ""
            raise InputError(
                f"log.writers: MLflow cannot start a run at {mlflow.get_tracking_uri()}: "
                f"{_first_line(error)}{known} Set MLFLOW_TRACKING_URI to a server or to "
                "file:FOLDER, or remove 'mlflow'"
            ) from error
        self.id: str = run.info.run_id

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        named = {f"{kind}/{name}": float(value) for name, value in values.items()}
        try:
            self._mlflow.log_metrics(named, step=step, run_id=self.id)
        except self._error as error:
            self._warn(error)

    def close(self, error: BaseException | None) -> None:
        status = "KILLED" if isinstance(error, Stopped) else "FAILED" if error else "FINISHED"
        try:
            self._mlflow.end_run(status)
        except self._error as failure:
            self._warn(failure)

    def _warn(self, error: Exception) -> None:
        """Warn, the first time, that a line is lost; the run goes on without the server."""
        if not self._failed:
            line = (
                f"MLflow refused a line, so its copy of the log is incomplete: {_first_line(error)}"
            )
            print(f"warning: {line}", file=sys.stderr)
        self._failed = True


class WithoutRepeats:
    """A writer that leaves out lines up to the last step that it has `written`, by kind."""

    def __init__(self, writer: Writer, written: Mapping[str, int]):
        self._writer, self._written = writer, written

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        if step > self._written.get(kind, -1):
            self._writer.write(step, kind, values)

    def close(self, error: BaseException | None) -> None:
        self._writer.close(error)


def _is_installed(name: str) -> bool:
    """Return whether a library is installed; a folder without `__init__.py` is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _read(workdir: pathlib.Path) -> dict[str, Any]:
    """Return the content of `NAME`; {} if the file does not exist."""
    path, remedy = workdir / NAME, "restore the file, or delete it to start new runs"
    if not path.exists():
        return {}
    found = read_json(path, remedy)
    for name, each in found.items() if isinstance(found, dict) else [("", None)]:
        if (
            not isinstance(each, dict)
            or not isinstance(each.get("id"), str)
            or not isinstance(each.get("written"), dict)
            or not all(type(step) is int for step in each["written"].values())
        ):
            raise InputError(f"{path}: {name or found!r}: expected `id` and `written`; {remedy}")
    return found


def _name(workdir: pathlib.Path) -> str:
    """Return a name for a run: the last two parts of the path, such as runs/quickstart."""
    return "/".join(workdir.resolve().parts[-2:])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
