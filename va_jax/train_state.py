"""What training carries from step to step, all of it saved."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct


@struct.dataclass
class TrainState:
    """Parameters, batch-norm statistics, optimiser state, and the number of steps taken."""

    step: Any  # int32 []
    params: Any
    batch_stats: Any
    opt_state: Any

    @classmethod
    def create(cls, variables: Any, tx: optax.GradientTransformation) -> "TrainState":
        """The state before the first step, from a module's initial variables."""
        params = variables["params"]
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=tx.init(params),
        )

    @property
    def variables(self) -> dict[str, Any]:
        """What a module's `apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


@struct.dataclass
class Tally:
    """Sums over the steps since the last log line, kept on the device."""

    steps: Any  # float32 []
    loss: Any
    grad_norm: Any
    bad_step: Any  # int32 []: the first step whose loss or gradient was not finite; -1: none

    @classmethod
    def zero(cls) -> "Tally":
        """Nothing counted; no two fields share a buffer, for a step donates them."""
        steps, loss, grad_norm = (jnp.zeros((), jnp.float32) for _ in range(3))
        return cls(steps=steps, loss=loss, grad_norm=grad_norm, bad_step=jnp.full((), -1, jnp.int32))


def abstract(state: TrainState, layout: jax.sharding.Sharding) -> TrainState:
    """Shapes, dtypes and target layout of a state, for restoring onto any number of devices."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=layout), state)


def abstract_variables(model: Any, size: int, layout: jax.sharding.Sharding) -> dict[str, Any]:
    """Shapes, dtypes and target layout of a module's variables, for frames of `size` pixels."""

    def create() -> Any:
        frames, face = jnp.zeros((1, 1, size, size, 3), jnp.uint8), jnp.ones((1, 1), bool)
        return model.init(jax.random.key(0), frames, face, train=False)

    variables = {"batch_stats": {}} | dict(jax.eval_shape(create))
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=layout), variables
    )
