"""The training loop: draw a batch, take a step, and at intervals log, evaluate and save."""

import contextlib
import pathlib
from typing import Any

import jax
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.data import sources
from va_jax.data.pipeline import TrainingData
from va_jax.data.sources import Source
from va_jax.evaluation import evaluate
from va_jax.models import build
from va_jax.train import initialize, optim, processes, profiling, provenance, sharding
from va_jax.train.checkpoints import Checkpoints
from va_jax.train.logs import Logs, goodput
from va_jax.train.state import Tally, TrainState, abstract, initial_variables
from va_jax.train.step import make_step
from va_jax.train.stopping import Stopped, Stopping
from va_jax.types import InputError


def train(config: ConfigDict, workdir: pathlib.Path, stop: Stopping | None = None) -> None:
    """Train from the newest checkpoint in `workdir`, or from the start, to `train.steps`.

    A run that was killed and started again ends with the parameters of one that was not: the state,
    the order of the data and every random draw follow from the seed and the step. Asked to stop by
    `stop` it saves the step it is at and raises Stopped; where dev was being scored for that step,
    the run goes on with this.
    """
    stop = stop or Stopping()
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
    model = build.build(config.model, source.dims)
    tx = optim.make_tx(config.optim, config.train.steps)
    schedule = optim.make_schedule(config.optim, config.train.steps)
    state = initial_state(config, model, tx, source.size)
    facts = sources.metadata(config.data.dir, config.data.name)
    processes.agree(config, {"workdir": str(workdir), "split_hash": facts["split_hash"]})
    stop.check()
    begun = Checkpoints.any_in(workdir)
    start = None if begun else initialize.start(config, state.variables)
    if start:
        state = state.replace(**start.variables)
    configuration.claim(workdir, config)
    record_data(config, workdir, begun)
    if start and jax.process_index() == 0:
        initialize.write(workdir / "init.json", start)
        print(initialize.table(start, config.data.size or source.size))
    mesh = sharding.make_mesh()
    step = make_step(config, model, tx)
    predict = evaluate.make_predict(model, mesh)
    state = sharding.replicate(mesh, state)
    tally = sharding.replicate(mesh, Tally.zero())
    last = config.train.steps
    with Checkpoints(workdir, config.checkpoint.keep) as saved:
        state, done = resume(saved, state, mesh)
        unscored = due(config, done) and not saved.is_scored(done)
        if done == last and not unscored:
            return
        batches = data.batches(done, config.data.threads)
        profile = profiling.Profile(workdir / "profile", done, last, config.log.profile_steps)
        with Logs(workdir, done, last, config.log, active=jax.process_index() == 0) as logs:
            if start:
                logs.dev(0, evaluate.dev_ccc(config, predict, state.variables, dev, mesh))
            if unscored:
                scores = evaluate.dev_ccc(config, predict, state.variables, dev, mesh, stop.check)
                logs.dev(done, scores)
                saved.score(state, config, scores)
            for number in range(done + 1, last + 1):
                with logs.spending("input"):
                    batch = sharding.shard_batch(mesh, next(batches))
                if number == done + 1:
                    with logs.spending("compile"):
                        if config.log.hlo:
                            profiling.write_hlo(workdir / "step.hlo.txt", step, state, tally, batch)
                        state, tally = step(state, tally, batch)
                else:
                    profile.before(number)
                    with jax.transfer_guard("disallow"):
                        state, tally = step(state, tally, batch)
                    profile.after(number, tally)
                stop.unsaved = True
                logs.advance()
                ends, stopped = number == last, stop.asked()
                if ends or number % config.train.log_every_steps == 0:
                    check_finite(tally, data)
                    check_compiled_once(step)
                    frames = config.train.batch_size * config.window.length
                    means = tally.means() | ({"bad_records": len(source.bad)} if source.bad else {})
                    logs.train(number, frames, means, float(schedule(number - 1)))
                    tally = sharding.replicate(mesh, Tally.zero())
                if ends or stopped or number % config.checkpoint.every_steps == 0:
                    check_finite(tally, data)
                    scores = None
                    if due(config, number):
                        with contextlib.suppress(Stopped), logs.spending("eval"):
                            stop.check()
                            scores = evaluate.dev_ccc(
                                config, predict, state.variables, dev, mesh, stop.check
                            )
                            logs.dev(number, scores)
                    with logs.spending("checkpoint"):
                        saved.save(state, config, scores)
                        if ends or stop.asked():
                            saved.wait()
                    logs.time(number)
                    if stop.asked():
                        raise Stopped(f"stopped as asked and saved at step {number} of {last}")
    if jax.process_index() == 0:
        print(f"\n{goodput(workdir)}")
    provenance.warn([*source.bad.values(), *dev.bad.values()])
    stop.unsaved = False


def due(config: ConfigDict, number: int) -> bool:
    """Whether the checkpoint of that step is scored on dev."""
    return number == config.train.steps or (number > 0 and number % config.eval.every_steps == 0)


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
    points = build.landmark_points(config.model)
    splits = [
        sources.open_split(data.dir, data.name, split, points, data.max_bad_records)
        for split in (data.train, data.dev, data.test)
        if split
    ]
    if not sources.metadata(data.dir, data.name)["train_mean"]:
        raise InputError(
            f"data.name={data.name!r}: no frame of its split 'train' has a face and a label, so "
            "there is nothing to learn; build it with labels"
        )
    return splits[0], splits[1]


def record_data(config: ConfigDict, workdir: pathlib.Path, begun: bool) -> None:
    """Keep what a run is trained on; warn where that is not what it, or its start, was trained on.

    Raises InputError where a run that has `begun` cannot go on with the data set at hand.
    """
    here = provenance.facts(config.data, sources.metadata(config.data.dir, config.data.name))
    origin = config.init.from_workdir or config.init.from_export
    warnings = []
    if begun:
        warnings = provenance.check(here, workdir)
    elif origin:
        keys = provenance.FROM_ANOTHER
        warnings = provenance.differences(here, pathlib.Path(origin), keys)
    if jax.process_index() == 0:
        provenance.warn(warnings)
        if not begun:
            provenance.write(workdir, here)


def resume(saved: Checkpoints, state: TrainState, mesh: Mesh) -> tuple[TrainState, int]:
    """The newest state of this run and its step; else `state`, and 0."""
    newest = saved.latest_step()
    if newest is None:
        return state, 0
    return saved.restore(newest, abstract(state, sharding.replicated(mesh)))


def initial_state(
    config: ConfigDict, model: Any, tx: optax.GradientTransformation, size: int
) -> TrainState:
    """The state of step 0; it follows from `config.seed` alone."""

    def create() -> TrainState:
        return TrainState.create(
            initial_variables(model, config.data.size or size, config.seed), tx
        )

    # On a CPU an array of a program that ran out of memory is waited for without end.
    return jax.block_until_ready(jax.jit(create)())


def check_compiled_once(step: Any) -> None:
    """Raise a RuntimeError where a step was compiled anew, for its input changed shape or type."""
    if step._cache_size() > 1:
        raise RuntimeError(f"the step was compiled {step._cache_size()} times; its input changed")


def check_finite(tally: Tally, data: TrainingData) -> None:
    """Raise an InputError that names the first step that was not finite, and its tracks."""
    bad = int(jax.block_until_ready(tally).bad_step)
    if bad >= 0:
        raise InputError(
            f"step {bad + 1}: loss or gradient is not finite; its batch holds tracks "
            f"{', '.join(data.track_ids(bad))}; look at these, lower optim.learning_rate, or set "
            "optim.clip_norm; the last checkpoint is from before that step"
        )
