"""Everything a training run needs before its first step: data, network, optimiser and state."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from va_jax.config import Config
from va_jax.data import sources, splits
from va_jax.data.features import FeatureSource
from va_jax.data.pipeline import TrainingData
from va_jax.data.sources import Source
from va_jax.evaluation.evaluate import dev_ccc
from va_jax.evaluation.predictors import make_predictor
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
    source: Source | FeatureSource  # train split
    dev: Source | FeatureSource
    data: TrainingData
    mesh: Mesh
    step: Step
    schedule: optax.Schedule
    score_dev: DevScorer  # pooled CCC by dimension; the second argument is called for every batch


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
    source, dev = open_data(config)
    size = config.data.size or source.size
    facts = splits.metadata(config.data)
    processes.agree(config, {"workdir": str(folder), "split_hash": facts["split_hash"]})
    model = build_model(config.model, source.dims)
    config = with_batch_size(config, model, size, source.tracks)
    sharding.check_batch("train.batch_size", config.train.batch_size, config.train.accumulate)
    data = TrainingData(source, config, jax.process_index(), jax.process_count())
    tx = optim.make_tx(config.optim, config.train.steps)
    averaged = optim.is_averaged(config.optim)
    state = initial_state(model, tx, size, config.seed, averaged)
    check_stop()
    resumed = Checkpoints.any_in(folder)
    start = None if resumed else initialize.start(config, state.variables)
    if start:
        state = state_of(start.variables, tx, averaged)
    if config.data.features and not resumed:
        frozen.check(pathlib.Path(config.data.features), state.variables)
    warnings = [workdir.schedule_change(folder, config) if resumed else None]
    warnings.append(memory.warning(config, model, state, size))
    if jax.process_index() == 0:
        provenance.warn(filter(None, warnings))
    workdir.store(folder, config)
    record_data(config, folder, resumed)
    provenance.warn(leak_check.check(config, folder))
    if start and jax.process_index() == 0:
        initialize.write(folder / initialize.NAME, start)
        print(initialize.table(start, size))
    mesh = sharding.make_mesh()
    predictor = make_predictor(model, mesh, config.eval)
    run = Run(
        config=config,
        workdir=folder,
        source=source,
        dev=dev,
        data=data,
        mesh=mesh,
        step=make_step(config, model, tx),
        schedule=optim.make_schedule(config.optim, config.train.steps),
        score_dev=lambda state, on_batch: dev_ccc(
            config, predictor, state.variables, dev, on_batch
        ),
    )
    return run, sharding.replicate(mesh, state), start


def open_data(config: Config) -> tuple[Source | FeatureSource, Source | FeatureSource]:
    """Open the train and dev splits, first building the data set if the config requests it.

    Raises:
        InputError: a split is missing or has no labels, or a batch cannot be divided evenly among
            the devices.
    """
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    sharding.check_batch("train.batch_size", config.train.batch_size, config.train.accumulate)
    data = config.data
    if data.build_missing and not data.features:
        if jax.process_index() == 0:
            sources.build(data.dir, data.name)
        multihost_utils.sync_global_devices("data set built")
    points = landmark_points(config.model)
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
    return opened[0], opened[1]


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
    here = provenance.facts(config.data, splits.metadata(config.data))
    origin = config.init.from_workdir or config.init.from_export
    warnings = []
    if resumed:
        warnings = provenance.check(here, folder)
    elif origin:
        warnings = provenance.differences(here, pathlib.Path(origin), provenance.FROM_ANOTHER)
    if jax.process_index() == 0:
        provenance.warn(warnings)
        if not resumed:
            provenance.write(folder, here)
