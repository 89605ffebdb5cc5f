"""The training and evaluation steps of a config, compiled but not run.

The compiler plans the memory and how the devices exchange data, so it shows whether a network fits
devices that are not at hand. This does not require a data set.
"""

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from va_jax.config import Config
from va_jax.evaluation.predictors import make_predictor
from va_jax.io import Table
from va_jax.models import forms, set_heads
from va_jax.models.build import build_model
from va_jax.models.regressor import Regressor
from va_jax.train import hlo, optim, sharding, workdir
from va_jax.train.devices import Devices
from va_jax.train.failures import OUT_OF_MEMORY
from va_jax.train.hlo import Collective
from va_jax.train.memory import GIB
from va_jax.train.state import Tally, TrainState, abstract, abstract_variables, initial_variables
from va_jax.train.step import make_step
from va_jax.types import DIMS, InputError


class Lowerable(NamedTuple):
    """A jitted step and the shapes of its arguments; the last three fields name parts of them."""

    step: Any
    arguments: tuple[Any, ...]
    variables: Any
    optimiser: Any
    batch: Any


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler reports about a step, for a single device; all sizes are in bytes."""

    parameters: int  # with the batch-norm statistics
    optimiser: int  # with the moving average
    batch: int
    temporaries: int  # activations, gradients, working space
    peak: int  # at the fullest moment, including the program
    flops: float  # two per multiply-add; the body of a loop counts once
    collectives: Sequence[Collective]
    compile_s: float


def compile_steps(config: Config, devices: Devices) -> dict[str, Compiled]:
    """Compile the "training" step and the "evaluation" step of a config.

    Frames have `data.size` pixels per side, and the dimensions are `types.DIMS`.

    Raises:
        InputError: the config does not suit these devices, or a step needs more memory than a
            device has. The message names the keys to change.
    """
    _check(config, len(devices.devices))
    with devices.forms():
        config = workdir.with_dtype(config)
    model = build_model(config.model, DIMS, set_heads.sets_with_heads(config))
    mesh = sharding.make_mesh(devices.devices)
    compiled = {}
    for name, make in (("training", training_step), ("evaluation", evaluation_step)):
        try:
            with devices.forms():
                compiled[name] = compile_step(make(config, model, config.data.size, mesh))
        except jax.errors.JaxRuntimeError as error:
            if not OUT_OF_MEMORY.search(str(error)):
                raise
            needed = hlo.memory_used(error)
            raise InputError(_too_large(name, config, devices, needed)) from error
        if devices.memory is not None and compiled[name].peak > devices.memory:
            raise InputError(_too_large(name, config, devices, compiled[name].peak))
    return compiled


def training_step(config: Config, model: Regressor, size: int, mesh: Mesh) -> Lowerable:
    """Return the training step for frames of `size` pixels on the devices of a mesh."""
    tx = optim.make_tx(config.optim, config.train.steps)
    averaged = optim.is_averaged(config.optim)
    state = jax.eval_shape(
        lambda: TrainState.create(initial_variables(model, size, 0), tx, averaged)
    )
    axes = (config.train.batch_size, config.window.length)
    batch = model.inputs(*axes, size) | {
        "target": jax.ShapeDtypeStruct((*axes, len(model.dims)), jnp.float32),
        "mask": jax.ShapeDtypeStruct(axes, jnp.bool_),
    }
    if config.loss.rater_weight:
        batch["weight"] = batch["target"]
    state, tally = abstract((state, jax.eval_shape(Tally.zero)), sharding.replicated(mesh))
    batch = _divided(batch, mesh)
    return Lowerable(
        make_step(config, model, tx),
        (state, tally, batch),
        variables=(state.params, state.batch_stats),
        optimiser=(state.opt_state, state.average),
        batch=batch,
    )


def evaluation_step(config: Config, model: Regressor, size: int, mesh: Mesh) -> Lowerable:
    """Return the evaluation step for frames of `size` pixels on the devices of a mesh."""
    model = build_model(config.model, model.dims)  # evaluates one data set at a time
    predictor = make_predictor(model, mesh, config.eval)
    variables = abstract_variables(model, size, sharding.replicated(mesh))
    inputs = model.inputs(config.eval.batch_size, predictor.read_length, size)
    starts = jax.ShapeDtypeStruct((config.eval.batch_size,), jnp.bool_)
    state = jax.eval_shape(predictor.zeros, variables, inputs)
    batch = _divided((inputs, starts, state), mesh)
    return Lowerable(predictor.step, (variables, *batch), variables, optimiser=(), batch=batch)


def compile_step(step: Lowerable, options: Mapping[str, Any] | None = None) -> Compiled:
    """Compile a step with the given compiler options."""
    start = time.perf_counter()
    lowered = step.step.lower(*step.arguments)
    compiled = lowered.compile(compiler_options=options)
    compile_s = time.perf_counter() - start
    plan = compiled.memory_analysis()
    temporaries = plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return Compiled(
        parameters=_bytes(step.variables),
        optimiser=_bytes(step.optimiser),
        batch=_bytes(step.batch),
        temporaries=temporaries,
        peak=plan.argument_size_in_bytes + temporaries + plan.generated_code_size_in_bytes,
        flops=_flops(step, lowered, compiled),
        collectives=hlo.collectives(compiled.as_text()),
        compile_s=compile_s,
    )


def _check(config: Config, devices: int) -> None:
    if not config.data.size:
        raise InputError(
            "data.size=0 stands for the frame size of the data set, which is not read here; set "
            "data.size, such as data.size=112"
        )
    if config.data.features:
        raise InputError(
            f"data.features={config.data.features!r}: only steps that read frames are compiled; "
            "remove this option"
        )
    check_batch_size(config)
    batch, pieces = config.train.batch_size, config.train.accumulate
    sharding.check_batch("train.batch_size", batch, pieces, devices)
    sharding.check_batch("eval.batch_size", config.eval.batch_size, 1, devices)


def check_batch_size(config: Config) -> None:
    """Raise InputError if the batch size is not decided before a run starts."""
    if not config.train.batch_size:
        raise InputError("train.batch_size=0 is decided when a run starts; set a batch size")


def _divided(tree: Any, mesh: Mesh) -> Any:
    return abstract(tree, NamedSharding(mesh, PartitionSpec("data")))


def _flops(step: Lowerable, lowered: Any, compiled: Any) -> float:
    """Return the FLOPs of each device, before optimisation where the compiler counts them then."""
    counted = lowered.cost_analysis()
    if counted is None:  # for a TPU that is elsewhere
        return compiled.cost_analysis()["flops"]
    return counted["flops"] / jax.tree.leaves(step.arguments)[0].sharding.num_devices


def _bytes(tree: Any) -> int:
    """Return the bytes that a tree of shapes takes on each device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _too_large(name: str, config: Config, devices: Devices, needed: int | None) -> str:
    """Return an error message for a step that does not fit, with the keys to change."""
    on_cpu = devices.backend == "cpu"
    size = "more memory" if needed is None else f"{needed / GIB:.2f} GiB"
    limit = ""
    if devices.memory is not None:
        memory = f"{devices.memory / GIB:.2f} GiB"
        limit = f"; {memory} is free for each" if on_cpu else f"; each has {memory}"
    section, length = ("train", "window.length") if name == "training" else ("eval", "eval.length")
    found, least = [], len(devices.devices)
    batch = getattr(config, section).batch_size
    if name == "training":
        least *= config.train.accumulate
    if batch > least:
        found.append(f"lower {section}.batch_size={batch} (the minimum is {least})")
    if name == "training" and batch > least and not on_cpu:
        found.append(f"raise train.accumulate={config.train.accumulate}")
    found += remedies(config, devices.backend, training=name == "training")
    listed = any_of([*found, f"lower {length}"])
    return f"the {name} step needs {size} on each of {devices.name}{limit}; {listed}"


def remedies(config: Config, backend: str, training: bool = True) -> list[str]:
    """Return changes with which a step takes less memory; on a CPU, none of them helps."""
    if backend == "cpu":
        return []
    found = ["set model.remat=True"] if training and not config.model.remat else []
    if config.model.compute_dtype == "float32":
        found.append("set model.compute_dtype='bfloat16'")
    return found


def any_of(words: Sequence[str]) -> str:
    """Return alternatives as text: "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def loop_note(config: Config) -> str:
    """Return a note for programs that take the pieces of a batch in a loop; "" for others."""
    pieces = config.train.accumulate
    if pieces == 1 or forms.chosen().pieces == "unrolled":
        return ""
    return (
        f"train.accumulate={pieces}: the pieces of a batch are taken in a loop, and the GFLOP and "
        "the exchanges in it are counted once"
    )


def table(compiled: Mapping[str, Compiled], devices: Devices) -> Table:
    """Return the compiler's figures for each step, per device, as a table."""
    steps = list(compiled.values())
    kinds = sorted({each.kind for step in steps for each in step.collectives})
    rows = [
        ["parameters and statistics, MiB", *(mib(step.parameters) for step in steps)],
        ["optimiser, MiB", *(mib(step.optimiser) for step in steps)],
        ["batch, MiB", *(mib(step.batch) for step in steps)],
        ["temporaries, MiB", *(mib(step.temporaries) for step in steps)],
        ["peak, MiB", *(mib(step.peak) for step in steps)],
    ]
    if devices.memory is not None:
        limit = devices.memory
        rows.append(["peak, % of the memory", *(f"{100 * s.peak / limit:.1f}" for s in steps)])
    rows.append(["GFLOP", *(f"{step.flops / 1e9:,.1f}" for step in steps)])
    for kind in kinds:
        found = [[each for each in step.collectives if each.kind == kind] for step in steps]
        rows.append([f"{kind}, number", *(str(len(each)) for each in found)])
        rows.append([f"{kind}, MiB", *(mib(sum(one.bytes for one in each)) for each in found)])
    if kinds:
        during = [sum(each.asynchronous for each in step.collectives) for step in steps]
        rows.append(["of these, asynchronous", *map(str, during)])
    rows.append(["compile time, s", *(f"{step.compile_s:.0f}" for step in steps)])
    return Table(["per device", *(f"{name} step" for name in compiled)], rows)


def to_json(compiled: Mapping[str, Compiled], devices: Devices) -> str:
    """Return the same facts as JSON, in bytes, FLOPs and seconds."""
    steps = {name: dataclasses.asdict(step) for name, step in compiled.items()}
    for name, step in compiled.items():
        steps[name]["collectives"] = [each._asdict() for each in step.collectives]
    facts = {"devices": devices.name, "memory": devices.memory, "steps": steps}
    return json.dumps(facts | {"jax": jax.__version__}, indent=1)


def mib(size: int) -> str:
    """Return a number of bytes as text, in MiB."""
    return f"{size / 2**20:,.1f}"
