"""Summary of a network: layers, parameters and FLOPs, and the memory of its training step.

Flax lists the layers. The compiler counts FLOPs (two per multiply-add, excluding padding) and plans
the memory of the step for the current device. The network is not run.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.linen import summary as flax_summary

from va_jax.config import Config
from va_jax.data import sources
from va_jax.io import Table
from va_jax.models import inflate
from va_jax.models.build import build_model, parameter_count
from va_jax.models.regressor import Regressor
from va_jax.train import optim
from va_jax.train.state import Tally, TrainState, initial_variables
from va_jax.train.step import make_step
from va_jax.types import DIMS, InputError

DEPTH = 2
"""Number of levels of nested modules in the table; with 2, a residual block takes one row."""

FAST_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiler options for a CPU: half the compile time with the same memory plan."""

CPU_NOTE = """
On a CPU, model.remat, bfloat16 and train.accumulate do not save memory. Run the summary on the
accelerator to see their effect."""


class Row(NamedTuple):
    """A module, including everything inside it."""

    name: str  # path in the network; "" for the whole network
    output: tuple[int, ...]  # shape for one frame
    parameters: int
    flops: float  # in the forward pass, per frame


class StepCost(NamedTuple):
    """Cost of one training step on a single device."""

    flops: float
    bytes: dict[str, int]


def summary(config: Config, depth: int = DEPTH) -> str:
    """Describe the network and the training step of a config as text.

    If the data set has not been built, the frames have `data.size` pixels per side, and the
    dimensions are `types.DIMS`.

    Raises:
        InputError: the data set has not been built and `data.size` is 0.
    """
    dims, size = _dims_and_size(config)
    model = build_model(config.model, dims)
    network, *layers = layer_rows(model, size, depth)
    rows = [*layers, network._replace(name="total")]
    cells = [
        [row.name, _times(row.output), f"{row.parameters:,}", f"{row.flops / 1e6:,.2f}"]
        for row in rows
    ]
    cost = step_cost(config, model, size)
    memory = [[name, f"{size / 2**20:,.1f}"] for name, size in cost.bytes.items()]
    memory.append(["total", f"{sum(cost.bytes.values()) / 2**20:,.1f}"])
    shapes = model.inputs(config.train.batch_size, config.window.length, size)
    batch = ", ".join(f"{name} {x.dtype} {_times(x.shape)}" for name, x in shapes.items())
    pieces = config.train.accumulate
    return "\n".join(
        [
            f"batch: {batch}" + (f", in {pieces} pieces" if pieces > 1 else ""),
            "",
            Table(["layer", "output per frame", "parameters", "MFLOP/frame"], cells).text(),
            "",
            f"training step on one device ({jax.default_backend()}): {cost.flops / 1e9:,.1f} GFLOP",
            Table(["memory", "MiB"], memory).text(),
            *([CPU_NOTE] if jax.default_backend() == "cpu" else []),
        ]
    )


def layer_rows(model: Regressor, size: int, depth: int = DEPTH) -> list[Row]:
    """Return rows for the network and its modules that have parameters, in call order.

    Args:
        model: the network.
        size: side of the frames in pixels.
        depth: number of levels of nested modules to include.
    """
    # Use one output of the backbone, since XLA counts the body of a scan only once.
    frames = inflate.time_stride(model.backbone.times())
    inputs = {
        name: jnp.zeros(x.shape, x.dtype) for name, x in model.inputs(1, frames, size).items()
    }
    tabulate = flax_summary._get_module_table(
        model, depth=depth, show_repeated=False, compute_flops=True, compute_vjp_flops=False
    )
    params = jax.eval_shape(lambda: initial_variables(model, size, 0))["params"]
    rows = []
    for found in tabulate(jax.random.key(0), **inputs, train=False):
        count = parameter_count(_subtree(params, found.path))
        if count:
            output = jax.tree.leaves(found.outputs)[0].shape[2:]
            rows.append(Row("/".join(found.path), output, count, found.flops / frames))
    return rows


def step_cost(config: Config, model: Regressor, size: int) -> StepCost:
    """Compile the training step and return its cost as reported by the compiler.

    Args:
        config: config of the run.
        model: its network.
        size: side of the frames in pixels.
    """
    tx = optim.make_tx(config.optim, config.train.steps)
    averaged = optim.is_averaged(config.optim)
    state: Any = jax.eval_shape(
        lambda: TrainState.create(initial_variables(model, size, 0), tx, averaged)
    )
    axes = (config.train.batch_size, config.window.length)
    batch = model.inputs(*axes, size) | {
        "target": jax.ShapeDtypeStruct((*axes, len(model.dims)), jnp.float32),
        "mask": jax.ShapeDtypeStruct(axes, jnp.bool_),
    }
    step: Any = make_step(config, model, tx)
    options = FAST_COMPILE if jax.default_backend() == "cpu" else None
    lowered = step.lower(state, jax.eval_shape(Tally.zero), batch)
    compiled = lowered.compile(compiler_options=options)
    plan = compiled.memory_analysis()
    new_outputs = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return StepCost(
        lowered.cost_analysis()["flops"],
        {
            "parameters and statistics": _bytes((state.params, state.batch_stats)),
            "optimiser": _bytes((state.opt_state, state.average)),
            "batch": _bytes(batch),
            "activations, gradients, working space": plan.temp_size_in_bytes + new_outputs,
        },
    )


def _dims_and_size(config: Config) -> tuple[tuple[str, ...], int]:
    try:
        facts = sources.metadata(config.data.dir, config.data.name)
    except InputError as error:
        if not config.data.size:
            raise InputError(
                f"data.size=0 stands for the frame size of data.name={config.data.name!r}, but "
                f"this data set has not been built in data.dir={config.data.dir!r}; build it, "
                "or set data.size"
            ) from error
        return DIMS, config.data.size
    return tuple(facts["dims"]), config.data.size or facts["crop"]["size"]


def _subtree(params: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        params = params.get(name, {})
    return params


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
