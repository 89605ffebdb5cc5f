"""What a network costs, told without running it: layers, parameters, FLOPs, training memory."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import Jaxpr, JaxprEqn, Literal, jaxprs_in_params
from va_jax.config import Config

from va_jax.data import sources
from va_jax.models.build import build_model
from va_jax.train import optim
from va_jax.types import DIMS, InputError

DEPTH = 2
"""Names in the path of a row's module: `backbone/layer1_0`, a whole residual block, is a row."""

Inputs = Mapping[str, jax.ShapeDtypeStruct]
"""What the network is called on, by name; `frames` is [batch, time, ...]."""

NOTES = """\
MFLOP: two a multiply-add of convolutions and matrix products, forward only.
activations: what the gradient keeps of a piece's forward pass, before the compiler,
which may keep less, for it computes cheap arrays again, or need more as working space.
"""


class Row(NamedTuple):
    """A module with all that is inside it; outputs and FLOPs are of the forward pass."""

    name: str  # path from the network
    output: tuple[int, ...]  # shape; () where it is not called as a whole
    parameters: int
    flops: float  # per frame


def summary(config: Config, depth: int = DEPTH) -> str:
    """The network and the training batch that `config` describes, as text for people.

    Side of the frames and dimensions are those of the data set where it is built. Else the side is
    `data.size`, for want of which an InputError is raised, and the dimensions are `schema.DIMS`.
    """
    try:
        facts = sources.metadata(named.data.dir, named.data.name)
    except InputError as absent:
        if not config.data.size:
            raise InputError(
                f"data.size=0 means the side stored in data.name={config.data.name!r}, which is "
                f"not built in data.dir={config.data.dir!r}; build it or set data.size"
            ) from absent
        facts = {"dims": DIMS}
    size = config.data.size or facts["crop"]["size"]
    return table(describe(config, tuple(facts["dims"]), size, depth))


def describe(
    config: Config, dims: tuple[str, ...], size: int, depth: int = DEPTH
) -> dict[str, Any]:
    """What `table` shows, for frames of `size` pixels, as plain numbers.

    `inputs` are types and shapes of one of the `pieces` that a training batch is computed in,
    `rows` are `Row`s as mappings, `bytes` those of a training step, with one piece's activations.
    """
    model = build_model(config.model, dims)
    windows = config.train.batch_size // config.train.accumulate
    inputs = model.inputs(windows, config.window.length, size)
    variables = abstract_variables(model, inputs)
    params = variables["params"]
    tx = optim.make_tx(config.optim, config.train.steps)
    frozen = not config.optim.rates.backbone
    found = rows(model, variables, inputs, depth)
    return {
        "pieces": config.train.accumulate,
        "inputs": {name: {"dtype": x.dtype.name, "shape": x.shape} for name, x in inputs.items()},
        "rows": [row._asdict() for row in found],
        "parameters": sum(row.parameters for row in found),
        "flops": sum(row.flops for row in found),
        "bytes": {
            "parameters": _bytes(params),
            "gradients": _bytes(params),
            "optimiser": _bytes(jax.eval_shape(tx.init, params)),
            "activations": activation_bytes(model, variables, inputs, freeze_backbone=frozen),
        },
    }


def table(description: Mapping[str, Any]) -> str:
    """A description as text of fixed width."""
    shapes = [f"{k} {x['dtype']} {_by(x['shape'])}" for k, x in description["inputs"].items()]
    lines = [f"batch in pieces: {description['pieces']}, each {', '.join(shapes)}", ""]
    lines.append(f"{'layer':<28}{'output':<22}{'parameters':>14}{'MFLOP/frame':>14}")
    for row in (*description["rows"], {"name": "total", "output": ()} | description):
        cells = f"{row['name']:<28}{_by(row['output']):<22}"
        lines.append(f"{cells}{row['parameters']:>14,}{row['flops'] / 1e6:>14,.2f}")
    lines += ["", f"{'memory of a training step':<64}{'MiB':>14}"]
    for name, size in description["bytes"].items():
        place = "split over the devices" if name == "activations" else "on every device"
        lines.append(f"{name + ', ' + place:<64}{size / 2**20:>14,.1f}")
    total = sum(description["bytes"].values())
    lines.append(f"{'total on a single device':<64}{total / 2**20:>14,.1f}")
    return "\n".join(line.rstrip() for line in lines) + "\n\n" + NOTES


def abstract_variables(model: Any, inputs: Inputs) -> dict[str, Any]:
    """Shapes and types of the variables of a module."""
    return jax.eval_shape(lambda rng, x: model.init(rng, **x, train=False), _key(), dict(inputs))


def rows(model: Any, variables: Mapping[str, Any], inputs: Inputs, depth: int = DEPTH) -> list[Row]:
    """The modules with parameters or FLOPs, in the order of their first equation.

    Modules further down than `depth` are part of the one at `depth`; what is in no module but the
    network itself makes the row `(other)`. So rows sum to the whole.
    """

    def forward(variables: Any, inputs: Any) -> Any:
        captured = {"capture_intermediates": True, "mutable": ["intermediates"]}
        return model.apply(variables, **inputs, train=False, **captured)[1]["intermediates"]

    program, outputs = jax.make_jaxpr(forward, return_shape=True)(dict(variables), dict(inputs))
    flops, parameters = Counter(), Counter()
    for scope, count in flops_by_scope(program.jaxpr).items():
        flops[_module(scope, variables["params"])[:depth]] += count
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        parameters[tuple(key.key for key in path[:-1])[:depth]] += leaf.size
    frames = math.prod(inputs["frames"].shape[:2])
    return [
        Row(
            "/".join(path) or "(other)",
            _output(outputs, path) if path else (),
            parameters[path],
            flops[path] / frames,
        )
        for path in flops | parameters  # a union of counters drops what has neither
    ]


def flops_by_scope(program: Jaxpr, scope: str = "") -> Counter[str]:
    """FLOPs of a program by name scope, in the order of first equations, scopes without any too.

    The body of a scan counts as often as it runs, that of a while loop once, for its number of
    turns is not known; of a conditional the most expensive branch counts.
    """
    counts = Counter()
    for eqn in program.eqns:
        here = f"{scope}/{eqn.source_info.name_stack}"
        counts[here] += _flops(eqn)
        inner = [flops_by_scope(part, here) for part in jaxprs_in_params(eqn.params)]
        if eqn.primitive.name == "cond":
            inner = [max(inner, key=Counter.total)]
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for part in inner:
            counts.update({place: times * count for place, count in part.items()})
    return counts


def activation_bytes(
    model: Any, variables: Mapping[str, Any], inputs: Inputs, *, freeze_backbone: bool = False
) -> int:
    """Bytes that the forward pass in training keeps for the gradient by the parameters.

    That is every array in the function that `jax.vjp` returns, once, a reshaped one being the same
    array. Parameters, statistics and inputs do not count, for they are there anyway, nor do arrays
    that depend on none of these, such as zeros: no compiler stores them. What a block under remat
    computes again in the backward pass, one block at a time, comes on top.
    """

    def pull(variables: Any, inputs: Any, rng: jax.Array) -> Any:
        def forward(params: Any) -> jax.Array:
            (pred, _), _ = model.apply(
                {**variables, "params": params},
                **inputs,
                train=True,
                freeze_backbone=freeze_backbone,
                mutable=["batch_stats"],
                rngs={"dropout": rng},
            )
            return pred

        return jax.vjp(forward, variables["params"])[1]

    program = jax.make_jaxpr(pull)(dict(variables), dict(inputs), _key()).jaxpr
    original, constant = {}, set()
    for eqn in program.eqns:
        if constant.issuperset(x for x in eqn.invars if not isinstance(x, Literal)):
            constant.update(eqn.outvars)
        elif eqn.primitive.name == "reshape":
            original[eqn.outvars[0]] = original.get(eqn.invars[0], eqn.invars[0])
    kept = {original.get(x, x) for x in program.outvars if not isinstance(x, Literal)}
    return _bytes([x.aval for x in kept - {*program.invars, *program.constvars} - constant])


def _flops(eqn: JaxprEqn) -> int:
    """Two a multiply-add, those with padding included, as published counts do.

    The zeros that a transposed convolution puts between its inputs are left out.
    """
    if eqn.primitive.name == "dot_general":
        contracted = eqn.params["dimension_numbers"][0][0]
        each = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
        return 2 * eqn.outvars[0].aval.size * each
    if eqn.primitive.name == "conv_general_dilated":
        kernel = eqn.invars[1].aval  # holds the inputs of one feature group
        each = kernel.size // kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
        return 2 * eqn.outvars[0].aval.size * each // math.prod(eqn.params["lhs_dilation"])
    return 0


def _module(scope: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Path of the module that a name scope lies in: the parts of it that lead down `params`."""
    path = ()
    for part in scope.split("/"):
        name = part.partition(".")[0]  # `backbone.method`, where it is not __call__
        if isinstance(params.get(name), Mapping):
            path, params = (*path, name), params[name]
    return path


def _output(outputs: Any, path: tuple[str, ...]) -> tuple[int, ...]:
    """Shape of the first array that the module at `path` returned."""
    for name in (*path, "__call__"):
        outputs = outputs.get(name, {})
    return next((leaf.shape for leaf in jax.tree.leaves(outputs)), ())


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))
