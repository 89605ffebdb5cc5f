"""Checkpoints of a run: the newest few, and the best by dev CCC. Only this module imports Orbax."""

import contextlib
import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from va_jax.config import Config, to_tree
from va_jax.io import read_json, write_json
from va_jax.train import checkpoint_files
from va_jax.train.checkpoint_files import BEST
from va_jax.train.state import TrainState
from va_jax.types import InputError

NONE = "no evaluated checkpoint; train a network there first"


class _Manager(ocp.CheckpointManager):
    """A checkpoint manager that ignores preemption.

    Otherwise, Orbax would poll JAX with its own step numbers and disturb `Stopping`.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """Saves checkpoints in the background, and restores them.

    Use it as a context manager, so that the last save finishes. A checkpoint is either complete or
    absent: files that a killed process was still writing are ignored. If a checkpoint is damaged,
    opening the checkpoints or reading the damaged one raises an InputError that names the file or
    folder.
    """

    def __init__(self, workdir: pathlib.Path, newest: int = 1):
        self._folder = workdir / "checkpoints"
        checkpoint_files.check(self._folder)
        self._manager = _Manager(
            self._folder.absolute(),
            item_handlers={
                "state": ocp.PyTreeCheckpointHandler(),
                "data": ocp.JsonCheckpointHandler(),
                "config": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                best_fn=_score,
                preservation_policy=keep.AnyPreservationPolicy(
                    [
                        keep.LatestN(newest),
                        keep.BestN(
                            get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
                        ),
                    ]
                ),
                enable_async_checkpointing=True,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def save(self, state: TrainState, config: Config, dev_ccc: Mapping[str, float] | None) -> None:
        """Start saving `state`; it can become the best checkpoint if `dev_ccc` is given.

        The config and the number of batches drawn, which equals the step, are saved with it.
        """
        step = int(state.step)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(_tree(state)),
                data=ocp.args.JsonSave({"next_batch": step}),
                config=ocp.args.JsonSave(json.loads(json.dumps(to_tree(config)))),
            ),
            metrics=None if dev_ccc is None else {BEST: statistics.fmean(dev_ccc.values())},
            force=True,
        )

    def is_scored(self, step: int) -> bool:
        """Return whether the checkpoint at `step` was saved with its dev CCC."""
        return self._manager.metrics(step) is not None

    def score(self, state: TrainState, config: Config, dev_ccc: Mapping[str, float]) -> None:
        """Replace the unscored checkpoint of `state` with one that includes its scores."""
        self._manager.delete(int(state.step))
        self.save(state, config, dev_ccc)
        self.wait()

    @staticmethod
    def any_in(workdir: pathlib.Path) -> bool:
        """Return whether `workdir` contains a complete checkpoint, without creating any files."""
        folder = workdir / "checkpoints"
        return folder.is_dir() and bool(ocp.utils.checkpoint_steps(folder))

    def wait(self) -> None:
        """Wait until the current save is complete."""
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """Return the step of the newest complete checkpoint; None if there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Return the newest step with the highest dev CCC; None if no checkpoint is scored."""
        scored = {step: self._manager.metrics(step) for step in self._manager.all_steps()}
        scores = [(metrics[BEST], step) for step, metrics in scored.items() if metrics]
        return max(scores)[1] if scores else None

    def restore(self, step: int, target: TrainState) -> tuple[TrainState, int]:
        """Return the state at `step`, laid out like `target`, and the number of the next batch."""
        tree = _tree(target)
        restore_args = ocp.checkpoint_utils.construct_restore_args(tree)
        with self._reading(step):
            restored: Any = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(tree, restore_args=restore_args),
                    data=ocp.args.JsonRestore(),
                ),
            )
        return TrainState(**restored.state), restored.data["next_batch"]

    def restore_part(self, step: int, target: Any, restore_args: Any) -> Any:
        """Return the arrays at `step` that the tree `target` contains."""
        args = ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True)
        with self._reading(step):
            restored: Any = self._manager.restore(step, args=ocp.args.Composite(state=args))
        return restored.state

    def arrays(self, step: int) -> Any:
        """Return the shapes and types of the arrays in the checkpoint at `step`."""
        with self._reading(step):
            metadata: Any = self._manager.item_metadata(step)
            return {key: metadata.state[key] for key in metadata.state}

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Raise InputError if the block cannot read the checkpoint at `step`."""
        try:
            yield
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise
        except (
            Exception
        ) as error:  # a damaged file makes Orbax and TensorStore raise nearly anything
            checkpoint = self._folder / str(step)
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{checkpoint / 'state'}: damaged ({type(error).__name__}: {reason}); "
                f"{checkpoint_files.remedy(checkpoint)}"
            ) from error


def _tree(state: TrainState) -> dict[str, Any]:
    """Return the fields of a state that are stored; `average` is omitted if there is none."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: value for name, value in fields.items() if value is not None}


def write_beside(workdir: pathlib.Path, step: int, name: str, value: dict[str, Any]) -> None:
    """Store a small JSON object in a checkpoint's folder; it is deleted with the checkpoint."""
    write_json(_folder(workdir, step) / name, value)


def read_beside(workdir: pathlib.Path, step: int, name: str) -> dict[str, Any] | None:
    """Return the object that `write_beside` stored; None if the file does not exist.

    Raises:
        InputError: the file does not contain a JSON object.
    """
    path, remedy = _folder(workdir, step) / name, "delete the file and evaluate the run again"
    if not path.exists():
        return None
    value = read_json(path, remedy)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object; {remedy}")
    return value


def best_step(workdir: pathlib.Path) -> int:
    """Return the step of the best checkpoint in `workdir`; InputError if there is none."""
    with _opened(workdir) as saved:
        return _best(saved, workdir)[0]


def restore_best(workdir: pathlib.Path, target: Any) -> tuple[Any, int]:
    """Return the `params` and `batch_stats` of the best checkpoint in `workdir`, and its step.

    These are the variables that were scored: their average, if the run keeps one.

    Args:
        workdir: folder of the run.
        target: abstract tree of both, with their layout on the devices.

    Raises:
        InputError: no checkpoint is scored, or the checkpoint contains a different network; the
            message names the first five arrays that differ.
    """
    with _opened(workdir) as saved:
        step, stored = _best(saved, workdir)
        there = _shapes({key: stored[key] for key in target})
        here = _shapes(target)
        differing = [
            f"{name} ({there.get(name, 'absent')} in the checkpoint, "
            f"{here.get(name, 'absent')} in this network)"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differing:
            raise InputError(
                f"{workdir}: its checkpoint contains a different network: "
                f"{', '.join(differing[:5])}; set model.* as in the config.json of this run"
            )
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        return _restore_scored(saved, step, stored, target, restore_args), step


def read_best(workdir: pathlib.Path) -> tuple[dict[str, Any], int]:
    """Do the same as `restore_best`, but for any network, and return numpy arrays."""
    with _opened(workdir) as saved:
        step, stored = _best(saved, workdir)
        target = {key: stored[key] for key in ("params", "batch_stats")}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
        return _restore_scored(saved, step, stored, target, as_numpy), step


def _restore_scored(
    saved: Checkpoints, step: int, stored: Any, target: Any, restore_args: Any
) -> Any:
    """Return the average of the variables in `target`, or the variables if there is no average."""
    if not stored.get("average"):
        return saved.restore_part(step, target, restore_args)
    restored = saved.restore_part(step, {"average": target}, {"average": restore_args})
    return restored["average"]


def _opened(workdir: pathlib.Path) -> Checkpoints:
    """Open checkpoints to read them; if there are none, raise InputError and make no folder."""
    if not Checkpoints.any_in(workdir):
        raise InputError(f"{workdir}: {NONE}")
    return Checkpoints(workdir)


def _best(saved: Checkpoints, workdir: pathlib.Path) -> tuple[int, Any]:
    """Return the step of the best checkpoint and the metadata of its arrays."""
    step = saved.best_step()
    if step is None:
        raise InputError(f"{workdir}: {NONE}")
    return step, saved.arrays(step)


def _folder(workdir: pathlib.Path, step: int) -> pathlib.Path:
    return workdir / "checkpoints" / str(step)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _score(metrics: dict[str, float]) -> float:
    return metrics[BEST]
