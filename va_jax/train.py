"""The training loop: draw a batch, take a step, and at intervals log, evaluate and save."""

import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from va_jax import checkpoints, evaluate, optim, sharding
from va_jax import config as configuration
from va_jax.data import sources
from va_jax.data.pipeline import TrainingData
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
    configuration.check(config)
    for key in ("train.batch_size", "eval.batch_size"):
        pieces = config.train.accumulate if key.startswith("train") else 1
        sharding.check_batch(key, config[key.split(".")[0]].batch_size // pieces)
    if config.data.build_missing:
        if jax.process_index() == 0:
            sources.build(config.data.dir, config.data.name)
        multihost_utils.sync_global_devices("data set built")
    source = sources.open_split(config.data.dir, config.data.name, config.data.train)
    dev = sources.open_split(config.data.dir, config.data.name, config.data.dev)
    mesh = sharding.make_mesh()
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
    tx = optim.make_tx(config.optim, config.train.steps)
    state = sharding.replicate(mesh, initial_state(config, model, tx, source.size))
    step = make_step(config, model, tx)
    predict = evaluate.make_predict(model, mesh)
    schedule = optim.make_schedule(config.optim, config.train.steps)
    last = config.train.steps
    with checkpoints.Checkpoints(workdir, config.checkpoint.keep) as saved:
        start = saved.latest_step() or 0
        if start:
            state, start = saved.restore(start, abstract(state, sharding.replicated(mesh)))
        elif config.init.from_workdir:
            given = pathlib.Path(config.init.from_workdir)
            configuration.load(given)
            target = abstract(state.variables, sharding.replicated(mesh))
            state = state.replace(**checkpoints.restore_best(given, target)[0])
        if start >= last:
            return
        tally = sharding.replicate(mesh, Tally.zero())
        batches = data.batches(start, config.data.threads)
        with Logs(
            workdir,
            start,
            last,
            config.log.tensorboard,
            config.log.progress,
            active=jax.process_index() == 0,
        ) as logs:
            for number in range(start + 1, last + 1):
                before = time.monotonic()
                batch = next(batches)
                logs.waited(time.monotonic() - before)
                state, tally = step(state, tally, sharding.shard_batch(mesh, batch))
                logs.advance()
                logging = number % config.train.log_every_steps == 0 or number == last
                saving = number % config.checkpoint.every_steps == 0 or number == last
                if not (logging or saving):
                    continue
                check_finite(tally, data)
                if logging:
                    steps = float(tally.steps)
                    means = {
                        "loss": float(tally.loss) / steps,
                        "grad_norm": float(tally.grad_norm) / steps,
                        "learning_rate": float(schedule(number - 1)),
                    }
                    frames = steps * config.train.batch_size * config.window.length
                    logs.train(number, int(frames), means)
                    tally = sharding.replicate(mesh, Tally.zero())
                if saving:
                    scores = None
                    if number % config.eval.every_steps == 0 or number == last:
                        scores = evaluate.dev_ccc(config, predict, state.variables, dev, mesh)
                        logs.write(number, "dev", {f"ccc_{dim}": c for dim, c in scores.items()})
                        told = ", ".join(f"{dim} {c:.3f}" for dim, c in scores.items())
                        logs.say(f"step {number}: dev CCC {told}")
                    mean = None if scores is None else sum(scores.values()) / len(scores)
                    saved.save(state, config, mean)
                    logs.restart_clock()


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
