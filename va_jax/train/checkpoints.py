"""Checkpoints of a run: the newest few and the best by dev CCC; the one importer of Orbax."""

import json
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from va_jax.io import write_text
from va_jax.train.state import TrainState
from va_jax.types import InputError

BEST = "dev_ccc"
"""The score kept beside a checkpoint that was evaluated: mean CCC over the dimensions, pooled."""


class _Manager(ocp.CheckpointManager):
    """Leaves preemption alone: by asking JAX with numbers of its own it would mix up `Stopping`."""

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """Saves in the background and restores; use as a context manager, or the last save is lost.

    A save is complete or absent: what a killed process was writing is ignored.
    """

    def __init__(self, workdir: pathlib.Path, newest: int = 1):
        self._manager = _Manager(
            (workdir / "checkpoints").absolute(),
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

    def save(
        self, state: TrainState, config: ConfigDict, dev_ccc: Mapping[str, float] | None
    ) -> None:
        """Start saving `state` as its step; `dev_ccc` by dimension makes it a candidate for best.

        The number of batches drawn, which is the step, and the config are kept beside it.
        """
        step = int(state.step)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(state),
                data=ocp.args.JsonSave({"next_batch": step}),
                config=ocp.args.JsonSave(json.loads(config.to_json())),
            ),
            metrics=None if dev_ccc is None else {BEST: statistics.fmean(dev_ccc.values())},
            force=True,
        )

    def is_scored(self, step: int) -> bool:
        """Whether the checkpoint of `step` was saved with its dev CCC."""
        return self._manager.metrics(step) is not None

    def score(self, state: TrainState, config: ConfigDict, dev_ccc: Mapping[str, float]) -> None:
        """Save the state of a checkpoint that has no scores again, with them."""
        self._manager.delete(int(state.step))
        self.save(state, config, dev_ccc)
        self.wait()

    @staticmethod
    def any_in(workdir: pathlib.Path) -> bool:
        """Whether `workdir` holds a complete checkpoint; nothing is created."""
        folder = workdir / "checkpoints"
        return folder.is_dir() and bool(ocp.utils.checkpoint_steps(folder))

    def wait(self) -> None:
        """Return when the running save is complete."""
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """The newest complete checkpoint; None where there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The checkpoint of the highest dev CCC, of equals the newest; None where none has one."""
        scored = {step: self._manager.metrics(step) for step in self._manager.all_steps()}
        scores = [(metrics[BEST], step) for step, metrics in scored.items() if metrics]
        return max(scores)[1] if scores else None

    def restore(self, step: int, target: TrainState) -> tuple[TrainState, int]:
        """The state of `step` in the layout of the abstract `target`, and its next batch."""
        restored: Any = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeRestore(
                    target, restore_args=ocp.checkpoint_utils.construct_restore_args(target)
                ),
                data=ocp.args.JsonRestore(),
            ),
        )
        return restored.state, restored.data["next_batch"]


def write_beside(workdir: pathlib.Path, step: int, name: str, text: str) -> None:
    """Keep a small text file in the folder of the checkpoint of `step`, and delete it with that."""
    write_text(_folder(workdir, step) / name, text)


def read_beside(workdir: pathlib.Path, step: int, name: str) -> str | None:
    """What `write_beside` kept; None where there is nothing of that name."""
    path = _folder(workdir, step) / name
    return path.read_text() if path.exists() else None


def best_step(workdir: pathlib.Path) -> int:
    """The step of the best checkpoint in `workdir`; an InputError where there is none."""
    with Checkpoints(workdir) as saved:
        return _best(saved, workdir)[0]


def restore_best(workdir: pathlib.Path, target: Any) -> tuple[Any, int]:
    """The `params` and `batch_stats` of the best checkpoint in `workdir`, and its step.

    `target` is the abstract tree of both, with the layout they are to have. Raises an InputError
    where there is no evaluated checkpoint, or where it holds another network: it names the first
    five arrays that the two do not share.
    """
    with Checkpoints(workdir) as saved:
        step, stored = _best(saved, workdir)
        there = _shapes({key: stored[key] for key in target})
        here = _shapes(target)
        differing = [
            f"{name} ({there.get(name, 'absent')} there, {here.get(name, 'absent')} here)"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]
        if differing:
            raise InputError(
                f"{workdir} holds another network: {', '.join(differing[:5])}; "
                "set model.* as in its config.json"
            )
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        return _restore_part(saved, step, target, restore_args), step


def read_best(workdir: pathlib.Path) -> tuple[dict[str, Any], int]:
    """As `restore_best`, of whatever network is there, as numpy arrays."""
    with Checkpoints(workdir) as saved:
        step, stored = _best(saved, workdir)
        target = {key: stored[key] for key in ("params", "batch_stats")}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
        return _restore_part(saved, step, target, as_numpy), step


def _best(saved: Checkpoints, workdir: pathlib.Path) -> tuple[int, Any]:
    """The step of the best checkpoint, and what is known of its arrays."""
    step = saved.best_step()
    if step is None:
        raise InputError(f"{workdir}: no evaluated checkpoint; train there first")
    return step, saved._manager.item_metadata(step).state


def _folder(workdir: pathlib.Path, step: int) -> pathlib.Path:
    return workdir / "checkpoints" / str(step)


def _restore_part(saved: Checkpoints, step: int, target: Any, restore_args: Any) -> Any:
    args = ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True)
    return saved._manager.restore(step, args=ocp.args.Composite(state=args)).state


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _score(metrics: dict[str, float]) -> float:
    return metrics[BEST]
