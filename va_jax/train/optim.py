"""Optimiser of a run: schedule, clipping, weight decay, and a learning rate for each part."""

from typing import Any

import jax
import optax

from va_jax.config import Optim, to_tree


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

    Clipping uses the gradient norm of the parts that are trained. A part whose rate is 0 is not
    updated and has no optimiser state. Weight decay applies only to kernels, not to biases or
    batch-norm scales; the papers do not specify this, so it is our choice.
    """
    decay = optax.add_decayed_weights(config.weight_decay, mask=is_kernel)
    direction = {
        "adam": [optax.scale_by_adam()],
        "adamw": [optax.scale_by_adam(), decay],
        "sgd": [optax.trace(decay=0.9, nesterov=True), decay],
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
    return optax.chain(
        optax.masked(
            optax.set_to_zero(), lambda tree: jax.tree.map(lambda p: p in frozen, part_of(tree))
        ),
        *clip,
        optax.multi_transform(parts, part_of),
    )


def part_of(params: Any) -> Any:
    """Return the part each parameter belongs to: backbone, fc, temporal or heads."""

    def part(path: tuple[Any, ...], _: Any) -> str:
        first: str = path[0].key.split("_")[0]
        return "heads" if first == "head" else first

    return jax.tree_util.tree_map_with_path(part, params)


def is_kernel(params: Any) -> Any:
    """Return whether each parameter is a kernel, as opposed to a bias, scale or peephole."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key.endswith("kernel"), params)
