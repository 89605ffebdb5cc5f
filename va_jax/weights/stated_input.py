"""The input mean and deviation that a config beside a weights file states."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from va_jax.types import InputError


class StatedInput(NamedTuple):
    values: dict[str, np.ndarray]  # our path -> float32 [3], of RGB in [0, 1]
    origin: dict[str, str]  # our path -> file and key
    size: int  # px; 0 where none is stated


def by_timm(path: pathlib.Path) -> StatedInput | None:
    """timm's config.json: `pretrained_cfg`, or in its first versions the same keys on top.

    None where the file is absent or another program's.
    """
    config = _read(path)
    config = config.get("pretrained_cfg", config if "architecture" in config else None)
    if not isinstance(config, dict) or "mean" not in config:
        return None
    size = config.get("input_size")
    return _stated(path, config, "mean", "std", size[-1] if isinstance(size, list) and size else 0)


def by_transformers(path: pathlib.Path) -> StatedInput | None:
    """transformers' preprocessor_config.json; None where the file is absent or states no mean."""
    config = _read(path)
    if "image_mean" not in config:
        return None
    size = config.get("size")
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    return _stated(path, config, "image_mean", "image_std", size)


def _read(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON ({error}); repair or remove it") from error
    return config if isinstance(config, dict) else {}


def _stated(
    path: pathlib.Path, config: dict[str, Any], mean_key: str, std_key: str, size: Any
) -> StatedInput:
    values, origin = {}, {}
    for key, name in ((mean_key, "mean"), (std_key, "std")):
        numbers = config.get(key)
        three = isinstance(numbers, list) and len(numbers) == 3
        legal = three and all(isinstance(n, int | float) and abs(n) < np.inf for n in numbers)
        if not legal or (name == "std" and min(numbers) <= 0):
            what = "three numbers" if name == "mean" else "three numbers above 0"
            raise InputError(f"{path}: {key}={numbers!r} must be {what}; repair or remove the file")
        values[f"batch_stats/input/{name}"] = np.asarray(numbers, np.float32)
        origin[f"batch_stats/input/{name}"] = f"{path.name}: {key}"
    return StatedInput(values, origin, size if isinstance(size, int) else 0)
