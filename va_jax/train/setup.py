"""Everything a training run needs before its first step: data, network, optimiser and state."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from va_jax.config import Config
from va_jax.data import personal, sets, sources, splits
from va_jax.data.mixture import MixedData, training_data
from va_jax.data.pipeline import TrainingData
from va_jax.data.sets import OpenSet
from va_jax.evaluation import before, set_scores
from va_jax.evaluation.predictors import make_predictor
from va_jax.models import set_heads
from va_jax.models.build import build_model, landmark_points
from va_jax.train import (
    frozen,
    initialize,
    leak_check,
    memory,
    optim,
    processes,
    provenance,
    sharding,
    workdir,
)
from va_jax.train.batch import with_batch_size
from va_jax.train.checkpoints import Checkpoints
from va_jax.train.initialize import Start
from va_jax.train.state import TrainState, initial_variables
from va_jax.train.step import Step, make_step
from va_jax.types import InputError

DevScorer = Callable[[TrainState, Callable[[], None]], dict[str, float]]


class Run(NamedTuple):
    """A run that is ready to train."""

    config: Config
    workdir: pathlib.Path
    sets: Sequence[OpenSet]
    data: TrainingData | MixedData
    mesh: Mesh
    step: Step
    schedule: optax.Schedule
    score_dev: DevScorer  # see `set_scores.dev_ccc`; the second argument is called for every batch

    @property
    def bad_records(self) -> list[str]:
        """Return descriptions of the unreadable records found so far in the train splits."""
        return [line for each in self.sets for line in each.train.bad.values()]

    @property
    def bad_dev_records(self) -> list[str]:
        """Return descriptions of the unreadable records found so far in the dev splits."""
        return [line for each in self.sets for line in each.dev.bad.values()]


def set_up(
    config: Config, folder: pathlib.Path, check_stop: Callable[[], None]
) -> tuple[Run, TrainState, Start | None]:
    """Return the run, its state at step 0 and, for a new run, the report on its initial weights.

    The workdir `folder` is written last, so that an unusable config leaves nothing behind.

    Raises:
        InputError: the data, the weights or an older run in `folder` do not match the config, or
            the processes in the job differ in their config, code or data.
    """
    config = workdir.with_dtype(workdir.with_decided(config, folder))
    opened = open_data(config)
    first = opened[0].train
    size = config.data.size or first.size
    split_hash = provenance.split_hash(provenance.facts_of_run(config))
    processes.agree(config, {"workdir": str(folder), "split_hash": split_hash})
    model = build_model(config.model, first.dims, set_heads.sets_with_heads(config))
    config = with_batch_size(config, model, size, opened)
    opened = sets.with_config(opened, config)
    sharding.check_batch("train.batch_size", config.train.batch_size, config.train.accumulate)
    data = training_data(opened, config, jax.process_index(), jax.process_count())
    tx = optim.make_tx(config.optim, config.train.steps)
    averaged = optim.is_averaged(config.optim)
    state = initial_state(model, tx, size, config.seed, averaged)
    check_stop()
    resumed = Checkpoints.any_in(folder)
    start = None if resumed else initialize.start(config, state.variables)
    if start:
        state = state_of(start.variables, tx, averaged)
    if not resumed:
        frozen.check_all(config, state.variables)
    warnings = [workdir.schedule_change(folder, config) if resumed else None]
    warnings.append(memory.warning(config, model, state, size))
    warnings.append(sets.spacing_warning(opened))
    if jax.process_index() == 0:
        if len(opened) > 1:
            print("\n".join(sets.describe(config, opened)), flush=True)
        provenance.warn(filter(None, warnings))
    if resumed:
        workdir.check(folder, config)  # it is stored once nothing can be refused any more
    else:
        workdir.store(folder, config)
    record_data(config, folder, resumed)
    provenance.warn(leak_check.check(config, folder))
    if start and jax.process_index() == 0:
        initialize.write(folder / initialize.NAME, start)
        print(initialize.table(start, size))
    mesh = sharding.make_mesh()
    state = sharding.replicate(mesh, state)
    predictor = make_predictor(build_model(config.model, first.dims), mesh, config.eval)
    if start and config.data.subject:
        before.write(folder, config, predictor, state.variables, check_stop)
    run = Run(
        config=config,
        workdir=folder,
        sets=opened,
        data=data,
        mesh=mesh,
        step=make_step(config, model, tx),
        schedule=optim.make_schedule(config.optim, config.train.steps),
        score_dev=lambda state, on_batch: set_scores.dev_ccc(
            opened, predictor, model, state.variables, on_batch
        ),
    )
    return run, state, start


def open_data(config: Config) -> list[OpenSet]:
    """Open the splits of all data sets, first building those that are missing if requested.

    Raises:
        InputError: a split is missing or has no labels, the data sets differ in their dimensions or
            sizes, or a batch cannot be divided evenly among the devices.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    sharding.check_batch("train.batch_size", config.train.batch_size, config.train.accumulate)
    if config.data.build_missing and not config.data.features:
        if jax.process_index() == 0:
            for name in config.data.names:
                sources.build(config.data.dir, name)
        multihost_utils.sync_global_devices("data set built")
    opened = [_open_set(each) for each in sets.one_by_one(config)]
    sets.check_alike(opened)
    return opened


def _open_set(config: Config) -> OpenSet:
    data, points = config.data, landmark_points(config.model)
    has_labels = splits.metadata(data)["train_mean"]
    opened = [
        splits.open_split(data, split, points)
        for split in (data.train, data.dev, data.test)
        if split
    ]
    if not has_labels:
        raise InputError(
            f"data.name={data.name!r}: no frame in its 'train' split has both a face and a label, "
            "so there is nothing to learn; build the data set with labels"
        )
    return OpenSet(config, opened[0], opened[1])


def initial_state(
    model: Any, tx: optax.GradientTransformation, size: int, seed: int, averaged: bool = False
) -> TrainState:
    """Return the state at step 0, which depends only on `seed`."""

    def create() -> TrainState:
        return TrainState.create(initial_variables(model, size, seed), tx, averaged)

    # On a CPU, reading an output of a program that ran out of memory would never return.
    return jax.block_until_ready(jax.jit(create)())


def state_of(
    variables: Any, tx: optax.GradientTransformation, averaged: bool = False
) -> TrainState:
    """Return the state at step 0 with these variables."""
    create = jax.jit(lambda variables: TrainState.create(variables, tx, averaged))
    return jax.block_until_ready(create(variables))


def record_data(config: Config, folder: pathlib.Path, resumed: bool) -> None:
    """Store facts about the training data; warn if they differ from those of the run or its source.

    Raises:
        InputError: a resumed run cannot continue with this data set.
    """
    here = provenance.facts_of_run(config)
    origin = config.init.from_workdir or config.init.from_export
    warnings = []
    if resumed:
        warnings = provenance.check(here, folder)
    elif origin:
        warnings = provenance.differences(here, pathlib.Path(origin), provenance.FROM_ANOTHER)
        warnings += known_subject(config, pathlib.Path(origin))
    if jax.process_index() == 0:
        provenance.warn(warnings)
        if not resumed:
            provenance.write(folder, here)


def known_subject(config: Config, origin: pathlib.Path) -> list[str]:
    """Return a warning if the run or exported model in `origin` was trained on `data.subject`."""
    data = config.data
    if not data.subject:
        return []
    there = workdir.load(origin).data
    if data.name not in there.names or there.subject not in ("", data.subject):
        return []
    whole = splits.metadata(dataclasses.replace(data, subject=""))
    split = personal.split_of(data.subject, whole["tracks"])
    if split != there.train:
        return []
    return [
        f"data.subject={data.subject!r} is in the split {split!r}, on which {origin} was trained: "
        "the scores before fine-tuning are too high, and so may be those after it"
    ]
