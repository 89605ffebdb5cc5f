"""Convert the LSTM and GRU layers of torch and Keras to ours, where several arrays become one.

Our columns are torch's rows, in torch's order of gates: i, f, g, o of the LSTM, r, z, n of the GRU.
We keep the sum of the biases of the input and of the recurrent product, except for the GRU's n,
where the reset gate stands between them.
"""

import re
from collections.abc import Callable

import numpy as np

from va_jax.types import InputError

TORCH = re.compile(r"(?:.*\.)?(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")
"""torch.nn.LSTM and GRU: `lstm.weight_ih_l0`, `lstm.bias_hh_l1_reverse`."""

KERAS = re.compile(r"((?:.*/)?)(kernel|recurrent_kernel|bias|cell/vars/[012])(?::0)?")
"""keras.layers.LSTM and GRU: `lstm_1/lstm_cell/kernel:0`, in Keras 3 `layers/lstm/cell/vars/0`."""

KERAS_3 = {"cell/vars/0": "kernel", "cell/vars/1": "recurrent_kernel", "cell/vars/2": "bias"}

Parts = dict[str, tuple[str, np.ndarray]]  # role in the layer -> name and array there
Values = dict[str, np.ndarray]  # our path or name -> array
Origin = dict[str, str]  # our path -> name there


def from_torch(arrays: dict[str, np.ndarray], where: str) -> tuple[Values, Origin]:
    """Convert the layers of torch's documentation: gates i, f, g, o or r, z, n; two biases.

    Args:
        arrays: name -> array; every name matches TORCH.
        where: the file, for messages.

    Returns:
        Our arrays by path, and the names each came from.

    Raises:
        InputError: an array is missing, has an impossible shape, or belongs to a second stack.
    """
    layers: dict[str, Parts] = {}
    for name, array in arrays.items():
        part, side, number, reverse = _groups(TORCH, name)
        parts = layers.setdefault(f"layer_{number}{reverse}", {})
        if f"{part}_{side}" in parts:
            raise InputError(
                f"{where}: '{parts[f'{part}_{side}'][0]}' and '{name}' are both of layer {number}; "
                "add the names of all stacks but one to init.leave_out"
            )
        parts[f"{part}_{side}"] = (name, array)
    return _stack(layers, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), _torch_layer, where)


def from_keras(arrays: dict[str, np.ndarray], where: str) -> tuple[Values, Origin]:
    """Convert the layers of Keras' documentation: gates i, f, c, o or z, r, h.

    The LSTM has one bias, the GRU with reset_after=True two, [2, 3 x units]. A GRU with
    reset_after=False has the reset gate before the recurrent product, which ours cannot have.
    Layers follow the natural order of their names; a `backward_` layer is the reverse half of its
    `forward_` layer.

    Args:
        arrays: name -> array; every name matches KERAS.
        where: the file, for messages.

    Returns:
        Our arrays by path, and the names each came from.

    Raises:
        InputError: an array is missing or has an impossible shape, or is of a GRU with
            reset_after=False.
    """
    named: dict[tuple[str, bool], Parts] = {}
    for name, array in arrays.items():
        layer, part = _groups(KERAS, name)
        layer = re.sub(r"/(?:lstm|gru)_cell(?:_\d+)?/$", "/", f"/{layer}")
        key = layer.replace("/backward_", "/forward_"), "/backward_" in layer
        named.setdefault(key, {})[KERAS_3.get(part, part)] = (name, array)
    order = sorted({layer for layer, _ in named}, key=_natural)
    layers = {
        f"layer_{order.index(layer)}{'_reverse' * reverse}": parts
        for (layer, reverse), parts in named.items()
    }
    return _stack(layers, ("kernel", "recurrent_kernel", "bias"), _keras_layer, where)


def _stack(
    layers: dict[str, Parts],
    roles: tuple[str, ...],
    convert: Callable[..., Values],
    where: str,
) -> tuple[Values, Origin]:
    """Convert all layers; `convert` receives the arrays of one in the order of `roles`."""
    values: Values = {}
    origin: Origin = {}
    for layer, parts in sorted(layers.items()):
        missing = [role for role in roles if role not in parts]
        if missing:
            name = next(iter(parts.values()))[0]
            raise InputError(f"{where}: {missing[0]} is missing beside '{name}'; add it")
        names = [parts[role][0] for role in roles]
        try:
            arrays = convert(*(parts[role][1] for role in roles))
        except ValueError as error:
            shapes = ", ".join(f"'{parts[r][0]}' {parts[r][1].shape}" for r in roles)
            raise InputError(f"{where}: {error}; found {shapes}") from error
        biases = " + ".join(names[2:])
        origins = dict(zip(arrays, (*names[:2], biases, names[-1]), strict=False))
        values |= {f"params/recurrent/{layer}/{name}": array for name, array in arrays.items()}
        origin |= {f"params/recurrent/{layer}/{name}": text for name, text in origins.items()}
    _check_stack(values, origin, where)
    return values, origin


def _torch_layer(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, recurrent_bias: np.ndarray
) -> Values:
    return _layer(kernel.T, recurrent.T, bias, recurrent_bias)


def _keras_layer(kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Values:
    units = _units(kernel, recurrent)
    if recurrent.shape[1] == 4 * units:
        return _layer(kernel, recurrent, bias, np.zeros_like(bias))
    if bias.shape == (3 * units,):
        raise ValueError(
            "a GRU with reset_after=False is not supported; train it with reset_after=True"
        )
    _check_shape("bias", bias, (2, 3 * units))
    return _layer(*(_swap_first_gates(array, units) for array in (kernel, recurrent, *bias)))


def _layer(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, recurrent_bias: np.ndarray
) -> Values:
    """Return our layer from matrices [in, gates x units] and two biases, gates in our order."""
    units = _units(kernel, recurrent)
    for array in (bias, recurrent_bias):
        _check_shape("bias", array, recurrent.shape[1:])
    arrays = {"input_kernel": kernel, "recurrent_kernel": recurrent}
    if recurrent.shape[1] == 4 * units:
        return arrays | {"bias": bias + recurrent_bias}
    both = (bias + recurrent_bias)[: 2 * units]
    return arrays | {
        "bias": np.concatenate([both, bias[2 * units :]]),
        "b_hn": recurrent_bias[2 * units :],
    }


def _swap_first_gates(array: np.ndarray, units: int) -> np.ndarray:
    """Return columns z, r, h in the order r, z, n."""
    z, r, h = np.split(array, (units, 2 * units), axis=-1)
    return np.concatenate([r, z, h], -1)


def _units(kernel: np.ndarray, recurrent: np.ndarray) -> int:
    """Return the units of a layer whose columns hold three or four gates."""
    if recurrent.ndim != 2 or recurrent.shape[1] not in (3 * len(recurrent), 4 * len(recurrent)):
        raise ValueError("expected an LSTM's four or a GRU's three gates of `units` each")
    if kernel.ndim != 2:
        raise ValueError("expected a matrix for the input")
    _check_shape("input kernel", kernel, (kernel.shape[0], recurrent.shape[1]))
    return len(recurrent)


def _check_shape(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"expected a {what} of {shape}")


def _check_stack(values: Values, origin: Origin, where: str) -> None:
    """Refuse layers that do not fit the one below, or differ in kind or width."""
    first = values.get("params/recurrent/layer_0/recurrent_kernel")
    if first is None:
        raise InputError(
            f"{where}: the layer below '{next(iter(origin.values()))}' is missing; add it"
        )
    directions = 2 if "params/recurrent/layer_0_reverse/bias" in values else 1
    for path, array in values.items():
        if path.endswith("/recurrent_kernel"):
            expected = first.shape
        elif path.endswith("/input_kernel") and "/layer_0" not in path:
            expected = (directions * len(first), first.shape[1])
        else:
            continue
        if array.shape != expected:
            raise InputError(
                f"{where}: '{origin[path]}' has shape {array.shape} in our layout, expected "
                f"{expected}; add the names of another stack to init.leave_out"
            )


def _groups(pattern: re.Pattern[str], name: str) -> tuple[str, ...]:
    """Return the groups of a name that matches; "" for a group without a match."""
    match = pattern.fullmatch(name)
    assert match, name
    return match.groups("")


def _natural(name: str) -> list[str | int]:
    """Return a sort key that puts gru_2 before gru_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


RECURRENT = {"torch_rnn": (TORCH, from_torch), "keras_rnn": (KERAS, from_keras)}
"""Value of init.format -> the names it has, and the function that converts its arrays."""
