"""State that training carries from step to step and saves in checkpoints."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct


@struct.dataclass
class TrainState:
    """Parameters, batch-norm statistics, optimiser state, and the number of steps taken.

    `average` contains the variables to evaluate (see `optim.average`); it is None if those of the
    last step are evaluated.
    """

    step: Any  # int32 []
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any = None

    @classmethod
    def create(
        cls, variables: Any, tx: optax.GradientTransformation, averaged: bool = False
    ) -> "TrainState":
        """Return the state before the first step, from a module's initial variables."""
        params = variables["params"]
        start = {key: variables[key] for key in ("params", "batch_stats")}
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables["batch_stats"],
            opt_state=tx.init(params),
            average=jax.tree.map(jnp.copy, start) if averaged else None,
        )

    @property
    def variables(self) -> dict[str, Any]:
        """Return the variables to evaluate, in the form that a module's `apply` expects."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


@struct.dataclass
class Tally:
    """Sums over the steps since the last log line, kept on the device."""

    steps: Any  # float32 []
    loss: Any
    grad_norm: Any
    bad_step: Any  # int32 []: first step with a non-finite loss or gradient; -1: none

    @classmethod
    def zero(cls) -> "Tally":
        """Return an empty tally; no two fields share a buffer, since a step donates them."""
        return cls(*(jnp.zeros(()) for _ in range(3)), bad_step=jnp.full((), -1, jnp.int32))

    def means(self) -> dict[str, float]:
        """Return the number of steps and the means over them, after waiting for the device."""
        steps = float(self.steps)
        return {
            "steps": steps,
            "loss": float(self.loss) / steps,
            "grad_norm": float(self.grad_norm) / steps,
        }


def abstract(tree: Any, layout: jax.sharding.Sharding) -> Any:
    """Return the shapes, dtypes and target layout of a tree, to restore it on any devices."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=layout), tree)


def abstract_variables(model: Any, size: int, layout: jax.sharding.Sharding) -> dict[str, Any]:
    """Return the shapes, dtypes and layout of a module's variables for frames of `size` pixels."""

    def create() -> Any:
        return initial_variables(model, size, 0)

    return abstract(dict(jax.eval_shape(create)), layout)


def initial_variables(model: Any, size: int, seed: int) -> dict[str, Any]:
    """Return a module's variables before training; they depend only on the seed."""
    inputs = {name: jnp.zeros(x.shape, x.dtype) for name, x in model.inputs(1, 2, size).items()}
    return model.init(jax.random.key(seed), **inputs, train=False)
