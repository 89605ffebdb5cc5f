"""torch's and Keras' LSTM and GRU layers turned into ours, several arrays into one.

Our columns are torch's rows, in torch's order of gates: i, f, g, o of the LSTM, r, z, n of the GRU.
Of the biases at the input and at the recurrent product we keep the sum, but for the GRU's n: there
the reset gate stands between them.
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
Values, Origin = dict[str, np.ndarray], dict[str, str]


def from_torch(arrays: dict[str, np.ndarray], where: str) -> tuple[Values, Origin]:
    """Our arrays and where each came from; every name must match TORCH.

    The layers of torch's documentation: gates i, f, g, o or r, z, n; two biases.
    """
    layers: dict[str, Parts] = {}
    for name, array in arrays.items():
        part, side, number, reverse = TORCH.fullmatch(name).groups()
        parts = layers.setdefault(f"layer_{number}{reverse or ''}", {})
        if f"{part}_{side}" in parts:
            raise InputError(
                f"{where}: '{parts[f'{part}_{side}'][0]}' and '{name}' are both layer {number}; "
                "name the arrays of all but one stack in leave_out"
            )
        parts[f"{part}_{side}"] = (name, array)
    return _stack(layers, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), _torch_layer, where)


def from_keras(arrays: dict[str, np.ndarray], where: str) -> tuple[Values, Origin]:
    """Our arrays and where each came from; every name must match KERAS.

    The layers of Keras' documentation: gates i, f, c, o or z, r, h; the LSTM has one bias, the GRU
    with reset_after=True two, [2, 3 x units]. With reset_after=False the reset gate comes before
    the recurrent product, which our GRU does not have: InputError. Layers stand in the natural
    order of their names; a `backward_` layer is the reverse half of its `forward_` one.
    """
    named: dict[tuple[str, bool], Parts] = {}
    for name, array in arrays.items():
        layer, part = KERAS.fullmatch(name).groups()
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
    ours: Callable[..., Values],
    where: str,
) -> tuple[Values, Origin]:
    """All layers through `ours`, which is handed the arrays in the order of `roles`."""
    values, origin = {}, {}
    for layer, parts in sorted(layers.items()):
        missing = [role for role in roles if role not in parts]
        if missing:
            name = next(iter(parts.values()))[0]
            raise InputError(f"{where}: beside '{name}' there is no {missing[0]}; add it")
        names = [parts[role][0] for role in roles]
        try:
            arrays = ours(*(parts[role][1] for role in roles))
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
            "a GRU with reset_after=False, which cannot be represented here; train with "
            "reset_after=True"
        )
    _check_shape("bias", bias, (2, 3 * units))
    return _layer(*(_swap_first_gates(array, units) for array in (kernel, recurrent, *bias)))


def _layer(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, recurrent_bias: np.ndarray
) -> Values:
    """Our layer from matrices [in, gates x units] and two biases, gates in our order."""
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
    """Columns z, r, h -> r, z, n."""
    z, r, h = np.split(array, (units, 2 * units), axis=-1)
    return np.concatenate([r, z, h], -1)


def _units(kernel: np.ndarray, recurrent: np.ndarray) -> int:
    """Of a layer whose columns hold three or four gates."""
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
    """Each layer is fed by the one below, and all are of one kind and one width."""
    first = values.get("params/recurrent/layer_0/recurrent_kernel")
    if first is None:
        raise InputError(f"{where}: {next(iter(origin.values()))} has no layer below it; add it")
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
                f"{expected} above the layer below; name the arrays of another stack in leave_out"
            )


def _natural(name: str) -> list[str | int]:
    """A key by which gru_2 comes before gru_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


RECURRENT = {"torch_rnn": (TORCH, from_torch), "keras_rnn": (KERAS, from_keras)}
"""Name of a source -> the names it has, and what turns its arrays into ours."""
