"""Optimiser of a run: schedule, clipping, weight decay, averages, and per-part learning rates."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from va_jax.config import Optim, to_tree
from va_jax.train.state import TrainState

MUON_RMS = 0.2
"""Root mean square of an update by Muon, about that of Adam (Liu et al., 2025), so that the same
learning rate suits both."""


def make_schedule(config: Optim, steps: int) -> optax.Schedule:
    """Return the schedule: linear warm-up, then constant or cosine decay to 0 at `steps`."""
    peak, warmup = config.learning_rate, config.warmup_steps
    after = (
        optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
        if config.schedule == "cosine"
        else optax.constant_schedule(peak)
    )
    return optax.join_schedules([optax.linear_schedule(0.0, peak, max(warmup, 1)), after], [warmup])


def make_tx(config: Optim, steps: int) -> optax.GradientTransformation:
    """Return the optimiser for the parameter tree of a `Regressor`.

    `muon` (Jordan et al., 2024) orthogonalises the updates of kernels, each as one matrix with a
    column per output, and leaves the heads, biases and scales to Adam with Nesterov momentum.
    `schedule_free` is the schedule-free AdamW of Defazio et al. (2024).

    Clipping uses the gradient norm of the parts that are trained. A part whose rate is 0 is not
    updated and has no optimiser state. Weight decay applies only to kernels, not to biases or
    batch-norm scales; the papers do not specify this, so it is our choice.
    """
    decay = optax.add_decayed_weights(config.weight_decay, mask=is_kernel)
    direction = {
        "adam": [optax.scale_by_adam()],
        "adamw": [optax.scale_by_adam(), decay],
        "sgd": [optax.trace(decay=0.9, nesterov=True), decay],
        "muon": [_muon(), decay],
        "schedule_free": [optax.scale_by_adam(b1=0), decay],
    }[config.name]
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    schedule = make_schedule(config, steps)
    rates = to_tree(config.rates)
    parts: dict[Any, optax.GradientTransformation] = {
        part: optax.chain(
            *direction, optax.scale_by_learning_rate(lambda s, f=rate: f * schedule(s))
        )
        if rate
        else optax.set_to_zero()
        for part, rate in rates.items()
    }
    frozen = {part for part, rate in rates.items() if not rate}

    def is_frozen(tree: Any) -> Any:
        return jax.tree.map(lambda part: part in frozen, part_of(tree))

    def is_trained(tree: Any) -> Any:
        return jax.tree.map(lambda part: part not in frozen, part_of(tree))

    updates = [*clip, optax.multi_transform(parts, part_of)]
    if config.name == "schedule_free":
        free = contrib.schedule_free(optax.chain(*updates), schedule)
        updates = [optax.masked(free, is_trained)]
    return optax.chain(optax.masked(optax.set_to_zero(), is_frozen), *updates)


def is_averaged(config: Optim) -> bool:
    """Return whether an average of the variables is evaluated instead of those of the last step."""
    return config.ema > 0 or config.name == "schedule_free"


def average(config: Optim, before: TrainState, after: TrainState) -> Any:
    """Return the averaged variables to evaluate after a step; None if there is no average.

    With `optim.ema`, this is an exponential moving average of the parameters and of the batch-norm
    statistics. At step t its decay is at most (1 + t) / (10 + t), as in TensorFlow, so that the
    initial parameters are soon forgotten. `schedule_free` has its own average.
    """
    now = {"params": after.params, "batch_stats": after.batch_stats}
    if config.name == "schedule_free":
        state = after.opt_state[-1].inner_state
        params = jax.tree.map(
            lambda z, y: y if _is_masked(z) else (y - (1 - state.b1) * z) / state.b1,
            state.z,
            after.params,
            is_leaf=_is_masked,
        )
        return now | {"params": params}
    if not config.ema:
        return None
    step = before.step.astype(jnp.float32)
    share = 1 - jnp.minimum(config.ema, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: old + share * (new - old), before.average, now)


def _is_masked(x: Any) -> bool:
    return isinstance(x, optax.MaskedNode)


def _muon() -> optax.GradientTransformation:
    """Return Muon for kernels and NAdam for the rest, without a learning rate."""

    def axes(path: tuple[Any, ...], leaf: Any) -> contrib.MuonDimensionNumbers | None:
        head = path[0].key.startswith("head_")
        matrix = path[-1].key.endswith("kernel") and leaf.ndim > 1 and min(leaf.shape[-2:]) > 1
        if head or not matrix:
            return None
        return contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    descent = contrib.muon(
        1.0,
        consistent_rms=MUON_RMS,
        muon_weight_dimension_numbers=lambda tree: jax.tree_util.tree_map_with_path(axes, tree),
    )
    return optax.chain(descent, optax.scale(-1.0))


def part_of(params: Any) -> Any:
    """Return the part to which each parameter belongs: backbone, fc, temporal or heads."""

    def part(path: tuple[Any, ...], _: Any) -> str:
        first: str = path[0].key.split("_")[0]
        return "heads" if first == "head" else first

    return jax.tree_util.tree_map_with_path(part, params)


def is_kernel(params: Any) -> Any:
    """Return whether each parameter is a kernel, as opposed to a bias, scale or peephole."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key.endswith("kernel"), params)
