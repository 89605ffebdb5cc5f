"""The training loop: draw a batch, take a step, and regularly log, score on dev, and save."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from va_jax.config import Config
from va_jax.data.mixture import MixedData
from va_jax.data.pipeline import TrainingData
from va_jax.train import frozen, profiling, provenance, sharding, writers
from va_jax.train.checkpoints import Checkpoints
from va_jax.train.logs import Logs, goodput
from va_jax.train.setup import Run, set_up
from va_jax.train.state import Tally, TrainState, abstract
from va_jax.train.stopping import Stopped, Stopping
from va_jax.train.workdir import store
from va_jax.types import InputError


def train(config: Config, workdir: pathlib.Path, stop: Stopping | None = None) -> None:
    """Train up to `train.steps`, starting from the newest checkpoint in `workdir` if there is one.

    A run that is killed and restarted ends with the same parameters as an uninterrupted one: the
    state, the order of the data and every random draw depend only on the seed and the step.

    Raises:
        InputError: the config, the data or the workdir cannot be used, or training diverged.
        Stopped: `stop` received a request; the current step is saved, and the same call resumes
            the run.
    """
    stop = stop or Stopping()
    writers.check_installed(config.log.writers)
    run, state, start = set_up(config, workdir, stop.check)
    config = run.config
    with Checkpoints(workdir, config.checkpoint.keep) as saved:
        state, done = resume(saved, state, run)
        if done:
            frozen.check_all(config, state.variables)
        if done > config.train.steps:
            raise InputError(
                f"train.steps={config.train.steps}: the run in {workdir} is already at step "
                f"{done}; set a larger value, or choose a different --workdir"
            )
        store(workdir, config)
        unscored = is_scored_step(config, done) and not saved.is_scored(done)
        ended = not unscored and ends_early(config, saved, done)
        if ended or (done == config.train.steps and not unscored):
            return
        active = jax.process_index() == 0
        with Logs(workdir, done, config, active) as logs:
            if start:
                logs.dev(0, run.score_dev(state, lambda: None))
            if unscored:
                scores = run.score_dev(state, stop.check)
                logs.dev(done, scores)
                stop.unsaved = True  # the checkpoint is replaced
                saved.score(state, config, scores)
                ended = ends_early(config, saved, done)
            steps = () if ended else take_steps(run, state, done, logs)
            for number, current, tally in steps:
                stop.unsaved = True
                if is_checkpoint_step(config, number) | stop.asked():
                    check_finite(tally, run.data)
                    at_checkpoint(run, number, current, saved, logs, stop)
                    if number < config.train.steps and ends_early(config, saved, number):
                        break
    if active:
        print(f"\n{goodput(workdir)}")
    provenance.warn([*run.bad_records, *run.bad_dev_records])
    stop.unsaved = False


def take_steps(
    run: Run, state: TrainState, done: int, logs: Logs
) -> Iterator[tuple[int, TrainState, Tally]]:
    """Yield (number, state, tally) after every step; the next step overwrites the state."""
    config, last = run.config, run.config.train.steps
    batches = run.data.batches(done, config.data.threads)
    profile = profiling.Profile(run.workdir / "profile", done, last, config.log.profile_steps)
    tally = sharding.replicate(run.mesh, Tally.zero())
    for number in range(done + 1, last + 1):
        with logs.spending("input"):
            batch = sharding.shard_batch(run.mesh, next(batches))
        if number == done + 1:
            with logs.spending("compile"):
                if config.log.hlo:
                    path = run.workdir / "step.hlo.txt"
                    profiling.write_hlo(path, run.step, state, tally, batch)
                state, tally = run.step(state, tally, batch)
        else:
            profile.before(number)
            with jax.transfer_guard("disallow"):
                state, tally = run.step(state, tally, batch)
            profile.after(number, tally)
        if number == last or number % config.train.log_every_steps == 0:
            log_means(run, number, tally, logs)
            tally = sharding.replicate(run.mesh, Tally.zero())
        yield number, state, tally


def log_means(run: Run, number: int, tally: Tally, logs: Logs) -> None:
    """Log the means over the steps since the last line, after checking that they are finite."""
    check_finite(tally, run.data)
    check_compiled_once(run.step)
    bad = len(run.bad_records)
    means = tally.means() | ({"bad_records": bad} if bad else {})
    frames = run.config.train.batch_size * run.config.window.length
    logs.train(number, frames, means, float(np.asarray(run.schedule(number - 1))))


def at_checkpoint(
    run: Run, number: int, state: TrainState, saved: Checkpoints, logs: Logs, stop: Stopping
) -> None:
    """Save the state, after scoring it on dev if that is due; raise Stopped if asked to stop."""
    config, scores = run.config, None
    if is_scored_step(config, number):
        with contextlib.suppress(Stopped), logs.spending("eval"):
            stop.check()
            scores = run.score_dev(state, stop.check)
            logs.dev(number, scores)
    with logs.spending("checkpoint"):
        saved.save(state, config, scores)
        if number == config.train.steps or stop.asked():
            saved.wait()
    logs.time(number)
    if stop.asked():
        raise Stopped(
            f"stopped on request and saved at step {number} of {config.train.steps}; the same "
            "command continues the run"
        )


def is_scored_step(config: Config, number: int) -> bool:
    """Return whether the checkpoint at step `number` is scored on dev."""
    return number == config.train.steps or (number > 0 and number % config.eval.every_steps == 0)


def ends_early(config: Config, saved: Checkpoints, number: int) -> bool:
    """Return whether `train.patience` ends the run after step `number`."""
    if not config.train.patience or not is_scored_step(config, number):
        return False
    saved.wait()
    best = saved.best_step()
    waited = (number - best) // config.eval.every_steps if best is not None else 0
    if waited < config.train.patience:
        return False
    if jax.process_index() == 0:
        print(
            f"\nended at step {number}: the dev CCC has not improved since step {best} "
            "(train.patience)"
        )
    return True


def is_checkpoint_step(config: Config, number: int) -> bool:
    """Return whether the state after step `number` is saved."""
    return number == config.train.steps or number % config.checkpoint.every_steps == 0


def resume(saved: Checkpoints, state: TrainState, run: Run) -> tuple[TrainState, int]:
    """Return the newest saved state and its step; for a new run, `state` and 0."""
    newest = saved.latest_step()
    if newest is None:
        return state, 0
    return saved.restore(newest, abstract(state, sharding.replicated(run.mesh)))


def check_compiled_once(step: Any) -> None:
    """Raise RuntimeError if the step was compiled again because its input changed."""
    if step._cache_size() > 1:
        raise RuntimeError(
            f"the training step was compiled {step._cache_size()} times, since its input changed"
        )


def check_finite(tally: Tally, data: TrainingData | MixedData) -> None:
    """Raise InputError, naming the step and its tracks, if the loss or gradient is not finite."""
    bad = int(jax.block_until_ready(tally).bad_step)
    if bad >= 0:
        raise InputError(
            f"step {bad + 1}: the loss or the gradient is not finite. Its batch contains the "
            f"tracks {', '.join(data.track_ids(bad))}: check them, lower optim.learning_rate, or "
            "set optim.clip_norm. The last checkpoint was saved before this step"
        )
