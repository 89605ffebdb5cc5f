"""Convert LSTM and GRU layers from torch and Keras to ours, which combine several arrays into one.

Our columns are torch's rows, in torch's order of gates: i, f, g, o for the LSTM and r, z, n for the
GRU. We store the sum of the input bias and the recurrent bias, except for the GRU's gate n, where
the reset gate is applied between the two.
"""

import re
from collections.abc import Callable

import numpy as np

from va_jax.types import InputError, natural_key

TORCH = re.compile(r"(?:.*\.)?(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")
"""Names in torch.nn.LSTM and GRU: `lstm.weight_ih_l0`, `lstm.bias_hh_l1_reverse`."""

KERAS = re.compile(r"((?:.*/)?)(kernel|recurrent_kernel|bias|cell/vars/[012])(?::0)?")
"""Names in keras.layers.LSTM and GRU: `lstm_1/lstm_cell/kernel:0`, or in Keras 3
`layers/lstm/cell/vars/0`."""

KERAS_STATE = re.compile(r"optimizer(?:_weights)?/.*|(?:.*/)?seed_generator/.*")
"""Slots of the optimiser and states of random generators, which Keras stores with the layers."""

KERAS_3 = {"cell/vars/0": "kernel", "cell/vars/1": "recurrent_kernel", "cell/vars/2": "bias"}

Arrays = dict[str, np.ndarray]
Parts = dict[str, str]  # role in a layer -> name of the array
Origin = dict[str, str]  # our path -> name in the file


def from_torch(arrays: Arrays, where: str) -> tuple[Arrays, Origin]:
    """Convert layers as torch documents them: gates i, f, g, o or r, z, n, and two biases.

    Args:
        arrays: name -> array; every name matches TORCH.
        where: path to the file, for messages.

    Returns:
        Our arrays by path, and the names that each of them came from.
    """
    layers: dict[str, Parts] = {}
    for name in arrays:
        part, side, number, reverse = _groups(TORCH, name)
        parts = layers.setdefault(f"layer_{number}{reverse}", {})
        other = parts.setdefault(f"{part}_{side}", name)
        if other != name:
            raise InputError(
                f"{where}: '{other}' and '{name}' both belong to layer {number}; keep one stack, "
                "and add the array names of the other stacks to init.leave_out"
            )

    def convert(kernel: np.ndarray, recurrent: np.ndarray, *biases: np.ndarray) -> Arrays:
        return _layer(kernel.T, recurrent.T, *biases)

    roles = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    return _convert_layers(arrays, layers, roles, convert, where)


def from_keras(arrays: Arrays, where: str) -> tuple[Arrays, Origin]:
    """Convert layers as Keras documents them: gates i, f, c, o or z, r, h.

    The LSTM has one bias, and the GRU with reset_after=True has two, [2, 3 x units]. A GRU with
    reset_after=False applies its reset gate before the recurrent product, which ours cannot do.
    Layers follow the natural order of their names; a `backward_` layer is the reverse half of its
    `forward_` layer. The arguments and the result are those of `from_torch`.
    """
    named: dict[tuple[str, bool], Parts] = {}
    for name in arrays:
        layer, part = _groups(KERAS, name)
        layer = re.sub(r"/(?:lstm|gru)_cell(?:_\d+)?/$", "/", f"/{layer}")
        key = layer.replace("/backward_", "/forward_"), "/backward_" in layer
        named.setdefault(key, {})[KERAS_3.get(part, part)] = name
    order = sorted({layer for layer, _ in named}, key=natural_key)
    layers = {
        f"layer_{order.index(layer)}{'_reverse' * reverse}": parts
        for (layer, reverse), parts in named.items()
    }
    roles = "kernel", "recurrent_kernel", "bias"
    return _convert_layers(arrays, layers, roles, _keras_layer, where)


def _convert_layers(
    arrays: Arrays,
    layers: dict[str, Parts],
    roles: tuple[str, ...],
    convert: Callable[..., Arrays],
    where: str,
) -> tuple[Arrays, Origin]:
    """Convert all layers; `convert` receives the arrays of one layer in the order of `roles`."""
    values: Arrays = {}
    origin: Origin = {}
    for layer, parts in sorted(layers.items()):
        missing = [role for role in roles if role not in parts]
        if missing:
            name = next(iter(parts.values()))
            raise InputError(
                f"{where}: the layer of '{name}' has no {missing[0]}; add this array to the file"
            )
        names = [parts[role] for role in roles]
        try:
            ours = convert(*(arrays[name] for name in names))
        except ValueError as error:
            shapes = ", ".join(f"'{name}' {arrays[name].shape}" for name in names)
            raise InputError(f"{where}: {error}; found {shapes}") from error
        sources = (*names[:2], " + ".join(names[2:]), names[-1])
        for (name, array), source in zip(ours.items(), sources, strict=False):
            values[f"params/temporal/{layer}/{name}"] = array
            origin[f"params/temporal/{layer}/{name}"] = source
    return values, origin


def _keras_layer(kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Arrays:
    columns = 3 * len(recurrent)
    if recurrent.shape[-1] != columns:
        return _layer(kernel, recurrent, bias, np.zeros_like(bias))
    if bias.shape == (columns,):
        raise ValueError(
            "a GRU with reset_after=False is not supported; train it with reset_after=True"
        )

    def swap_gates(array: np.ndarray) -> np.ndarray:
        """Reorder the columns from z, r, h to r, z, n."""
        z, r, h = np.split(array, 3, axis=-1)
        return np.concatenate([r, z, h], -1)

    return _layer(swap_gates(kernel), swap_gates(recurrent), *swap_gates(bias))


def _layer(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, recurrent_bias: np.ndarray
) -> Arrays:
    """Build our layer from matrices [in, gates x units] and two biases, with gates in our order."""
    units, columns = recurrent.shape
    if columns not in (3 * units, 4 * units):
        raise ValueError("expected 4 x units (LSTM) or 3 x units (GRU) columns")
    if not kernel.shape[1:] == bias.shape == recurrent_bias.shape == (columns,):
        raise ValueError(f"expected kernels and biases with {columns} columns (gates x units)")
    arrays = {"input_kernel": kernel, "recurrent_kernel": recurrent}
    summed = bias + recurrent_bias
    if columns == 4 * units:
        return arrays | {"bias": summed}
    last = 2 * units  # where the columns of n begin
    bias = np.concatenate([summed[:last], bias[last:]])
    return arrays | {"bias": bias, "b_hn": recurrent_bias[last:]}


def _groups(pattern: re.Pattern[str], name: str) -> tuple[str, ...]:
    """Return the groups that match in a name; "" for a group that takes no part in the match."""
    match = pattern.fullmatch(name)
    assert match, name
    return match.groups("")


RECURRENT = {"torch_rnn": (TORCH, from_torch), "keras_rnn": (KERAS, from_keras)}
"""Value of init.format -> the pattern of its names, and the function that converts its arrays."""
