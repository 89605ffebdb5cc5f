"""The training loop: draw a batch, take a step, and at intervals log, evaluate and save."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax import evaluate, optim, sharding
from va_jax.checkpoints import Checkpoints, restore_best
from va_jax.data import sources
from va_jax.data.pipeline import TrainingData
from va_jax.data.sources import Source
from va_jax.logs import Logs
from va_jax.models import regressor
from va_jax.schema import InputError
from va_jax.step import make_step
from va_jax.train_state import Tally, TrainState, abstract


def train(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train from the newest checkpoint in `workdir`, or from the start, to `train.steps`.

    A run that was killed and started again ends with the parameters of one that was not: the state,
    the order of the data and every random draw follow from the seed and the step.
    """
    source, dev = open_data(config)
    data = TrainingData(
        source,
        config.window.to_dict(),
        config.augment.to_dict(),
        config.data.size or source.size,
        config.train.batch_size,
        config.seed,
        jax.process_index(),
        jax.process_count(),
    )
    model = regressor.build(config.model, source.dims)
    configuration.claim(workdir, config)
    mesh = sharding.make_mesh()
    tx = optim.make_tx(config.optim, config.train.steps)
    schedule = optim.make_schedule(config.optim, config.train.steps)
    step = make_step(config, model, tx)
    predict = evaluate.make_predict(model, mesh)
    state = sharding.replicate(mesh, initial_state(config, model, tx, source.size))
    tally = sharding.replicate(mesh, Tally.zero())
    last = config.train.steps
    with Checkpoints(workdir, config.checkpoint.keep) as saved:
        state, start = resume(config, saved, state, mesh)
        if start == last:
            return
        batches = data.batches(start, config.data.threads)
        with Logs(workdir, start, last, config.log, active=jax.process_index() == 0) as logs:
            for number in range(start + 1, last + 1):
                with logs.waiting():
                    batch = next(batches)
                state, tally = step(state, tally, sharding.shard_batch(mesh, batch))
                logs.advance()
                ends = number == last
                if ends or number % config.train.log_every_steps == 0:
                    check_finite(tally, data)
                    frames = config.train.batch_size * config.window.length
                    logs.train(number, frames, tally.means(), float(schedule(number - 1)))
                    tally = sharding.replicate(mesh, Tally.zero())
                if ends or number % config.checkpoint.every_steps == 0:
                    check_finite(tally, data)
                    scores = None
                    if ends or number % config.eval.every_steps == 0:
                        scores = evaluate.dev_ccc(config, predict, state.variables, dev, mesh)
                        logs.dev(number, scores)
                    saved.save(state, config, scores)


def open_data(config: ConfigDict) -> tuple[Source, Source]:
    """The train and dev splits, built first where asked; what cannot work is refused here."""
    configuration.check(config)
    sharding.check_batch("eval.batch_size", config.eval.batch_size)
    sharding.check_batch("train.batch_size", config.train.batch_size, config.train.accumulate)
    data = config.data
    if data.build_missing:
        if jax.process_index() == 0:
            sources.build(data.dir, data.name)
        multihost_utils.sync_global_devices("data set built")
    splits = [
        sources.open_split(data.dir, data.name, split)
        for split in (data.train, data.dev, data.test)
        if split
    ]
    if not sources.metadata(data.dir, data.name)["train_mean"]:
        raise InputError(
            f"data.name={data.name!r}: no frame of its split 'train' has a face and a label, so "
            "there is nothing to learn; build it with labels"
        )
    return splits[0], splits[1]


def resume(
    config: ConfigDict, saved: Checkpoints, state: TrainState, mesh: Mesh
) -> tuple[TrainState, int]:
    """The newest state of this run and its step; else that of `init`, else `state`, and 0."""
    layout = sharding.replicated(mesh)
    newest = saved.latest_step()
    if newest is not None:
        return saved.restore(newest, abstract(state, layout))
    if config.init.from_workdir:
        given = pathlib.Path(config.init.from_workdir)
        configuration.load(given)
        variables, _ = restore_best(given, abstract(state.variables, layout))
        state = state.replace(**variables)
    return state, 0


def initial_state(
    config: ConfigDict, model: Any, tx: optax.GradientTransformation, size: int
) -> TrainState:
    """The state of step 0; it follows from `config.seed` alone."""
    side = config.data.size or size
    frames = jnp.zeros((1, 2, side, side, 3), jnp.uint8)
    face = jnp.ones((1, 2), bool)

    def create() -> TrainState:
        variables = model.init(jax.random.key(config.seed), frames, face, train=False)
        return TrainState.create(variables, tx)

    return jax.jit(create)()


def check_finite(tally: Tally, data: TrainingData) -> None:
    """Raise an InputError that names the first step that was not finite, and its tracks."""
    bad = int(tally.bad_step)
    if bad >= 0:
        raise InputError(
            f"step {bad + 1}: loss or gradient is not finite; its batch holds tracks "
            f"{', '.join(data.track_ids(bad))}; look at these, lower optim.learning_rate, or set "
            "optim.clip_norm; the last checkpoint is from before that step"
        )
