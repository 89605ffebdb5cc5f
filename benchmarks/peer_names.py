"""Map the tensors of a torch peer to the variables of the same network in va_jax."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}
NAMES = {
    r"layer(\d)_(\d)": r"layer\1.\2",
    "downsample_conv": "downsample.0",
    "downsample_bn": "downsample.1",
    "se_down": "conv4",
    "se_up": "conv5",
}
RECURRENT_LEAVES = {
    "input_kernel": "weight_ih",
    "recurrent_kernel": "weight_hh",
    "bias": "bias_ih",
    "b_hn": "bias_hh",
}


def to_ours(tree: Any, tensors: Mapping[str, Any]) -> Any:
    """Return `tree` filled with the tensors, or gradients, of a torch peer.

    Args:
        tree: the collections `params` and `batch_stats` of a whole network or of a backbone.
        tensors: the peer's tensors by name; the second bias of a recurrent layer must be 0.

    Raises:
        KeyError: a tensor is missing.
    """

    def fill(keys: tuple[Any, ...], leaf: Any) -> np.ndarray:
        path = tuple(key.key for key in keys)
        array = tensors[_name(path, tree["params"])].detach().cpu().numpy()
        if path[-1] == "b_hn":
            array = array[-len(leaf) :]
        if array.ndim > 1:  # OI, OIHW, OIDHW -> IO, HWIO, DHWIO
            array = array.transpose(*range(2, array.ndim), 1, 0)
        return array.reshape(leaf.shape).copy()  # one tap, or a 1x1 that is a dense layer here

    return jax.tree_util.tree_map_with_path(fill, tree)


def _name(path: tuple[str, ...], params: Mapping[str, Any]) -> str:
    """Return the peer's name of a variable, such as (params, layer1_0, conv1, kernel)."""
    collection, *modules, leaf = path
    if modules and modules[0] == "input":
        return leaf
    if modules[0].startswith("temporal"):
        layer = modules[1].removeprefix("layer_")
        return f"stacks.{modules[0]}.{RECURRENT_LEAVES[leaf]}_l{layer}"
    if modules[0].startswith("head_"):
        modules.insert(0, "heads")
    name = ".".join(modules)
    if match := re.search(r"(conv|bn)(\d)_(\d)$", name):  # in a VGG
        within = params.get("backbone", params)
        convs = sorted(key for key in within if key.startswith("conv"))
        place = convs.index(f"conv{match[2]}_{match[3]}")
        each = 3 if "bn1_1" in within else 2
        index = each * place + int(match[2]) - 1 + (match[1] == "bn")
        name = f"{name[: match.start()]}features.{index}"
    for ours, theirs in NAMES.items():
        name = re.sub(ours, theirs, name)
    return f"{name}.{LEAVES[collection, leaf]}"
