"""Fitted post-processing: apply its steps, describe them, and store them as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from va_jax.config import Data
from va_jax.evaluation.filters import median_filter, shift
from va_jax.evaluation.lags import LagCurve
from va_jax.types import InputError, file_name

NAME = "postprocess.json"
"""Name of the file with fitted post-processing, in a checkpoint's folder and in exports."""


def file_of(data: Data, name: str) -> str:
    """Return the name of the file with the post-processing for data set `name` of a run."""
    return NAME if len(data.names) == 1 else f"postprocess.{file_name(name)}.json"


STEPS = {
    "median": ("window_s",),
    "centre": ("bias",),
    "scale": ("factor", "about"),
    "lag": ("lag_s",),
}
"""Constants of each step. The steps compute the median over window_s, x + bias,
about + factor (x - about), and x(t + lag_s)."""

REMEDY = "restore the file, or fit the post-processing again with `va_jax evaluate RUN`"
KINDS = {bool: "true or false", dict: "an object", float: "a number", list: "a list", str: "text"}


@dataclasses.dataclass(frozen=True)
class Step:
    """A fitted step for one dimension, whether or not it was kept."""

    name: str
    constants: Mapping[str, float]
    kept: bool
    ccc_before: float  # pooled, on dev
    ccc_after: float  # with this step, even if it was not kept

    def apply(
        self, column: Float[np.ndarray, " frames"], time_s: Float[np.ndarray, " frames"]
    ) -> Float[np.ndarray, " frames"]:
        """Apply this step to a track's predictions in one dimension."""
        constants = self.constants
        if self.name == "median":
            return median_filter(column, time_s, constants["window_s"])
        if self.name == "centre":
            return column + np.float32(constants["bias"])
        if self.name == "scale":
            about = np.float32(constants["about"])
            return about + np.float32(constants["factor"]) * (column - about)
        return shift(column, time_s, constants["lag_s"])

    def describe(self) -> str:
        """Describe the step and its constants in words."""
        constants = self.constants
        if self.name == "median":
            return f"median over {constants['window_s']:g} s"
        if self.name == "centre":
            return f"{'-' if constants['bias'] < 0 else '+'} {abs(constants['bias']):.3f}"
        if self.name == "scale":
            about = f" about {constants['about']:.3f}" if constants["about"] else ""
            return f"x {constants['factor']:.2f}{about}"
        direction = "later" if constants["lag_s"] < 0 else "earlier"
        return f"moved {abs(constants['lag_s']):.2f} s {direction}"


@dataclasses.dataclass(frozen=True)
class PostProcessing:
    """Fitted steps for every dimension, in order, and lag curves of the raw dev predictions.

    An instance is true if any step was kept; otherwise, `apply` changes nothing.
    """

    steps: Mapping[str, tuple[Step, ...]]
    curves: Mapping[str, LagCurve]  # empty if dev has no labels

    def __bool__(self) -> bool:
        return any(step.kept for steps in self.steps.values() for step in steps)

    def apply(
        self,
        pred: Float[np.ndarray, "frames dims"],
        time_s: Float[np.ndarray, " frames"],
        dims: Sequence[str],
    ) -> Float[np.ndarray, "frames dims"]:
        """Apply all steps that were kept to the predictions for a whole track.

        Values are not clipped to the range of the labels.

        Args:
            pred: raw predictions.
            time_s: times of the frames in seconds.
            dims: names of the dimensions in the columns.

        Raises:
            InputError: nothing was fitted for one of the dimensions.
        """
        columns = []
        for dim, column in zip(dims, pred.T, strict=True):
            if dim not in self.steps:
                raise InputError(
                    f"Cannot post-process {dim!r}: the steps were fitted for "
                    f"{', '.join(self.steps)}. Fit them on a data set with this dimension, or use "
                    "raw predictions."
                )
            for step in self.steps[dim]:
                column = step.apply(column, time_s) if step.kept else column
            columns.append(column)
        return np.stack(columns, -1)

    def describe(self) -> dict[str, str]:
        """Return a line for every dimension: the steps that were kept and the change in dev CCC."""
        lines = {}
        for dim, steps in self.steps.items():
            kept = [step for step in steps if step.kept]
            lines[dim] = ", ".join(step.describe() for step in kept) or "as predicted"
            if steps:
                lines[dim] += f": dev CCC {steps[0].ccc_before:.3f}"
            if kept:
                lines[dim] += f" -> {kept[-1].ccc_after:.3f}"
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return `steps` and `lag_curve` for every dimension as plain dicts, lists and numbers."""
        tree = {}
        for dim, steps in self.steps.items():
            tree[dim] = {"steps": [dataclasses.asdict(step) for step in steps]}
            if dim in self.curves:
                curve = dataclasses.asdict(self.curves[dim])
                tree[dim]["lag_curve"] = curve | {
                    key: list(curve[key]) for key in ("lags_s", "ccc")
                }
        return tree

    @classmethod
    def from_json(cls, tree: Any, source: str) -> "PostProcessing":
        """Rebuild post-processing from the output of `to_json`.

        Args:
            tree: parsed JSON.
            source: name of the file, and the key within it if there is one, for messages.

        Raises:
            InputError: the tree is damaged; the message names the key.
        """
        steps, curves = {}, {}
        for dim in _checked(tree, dict, source):
            place, found = f"{source}.{dim}", _get(tree, dim, dict, source)
            listed = _get(found, "steps", list, place)
            steps[dim] = tuple(_step(each, f"{place}.steps[{i}]") for i, each in enumerate(listed))
            if "lag_curve" in found:
                curves[dim] = _curve(found["lag_curve"], f"{place}.lag_curve")
        return cls(steps, curves)


def _step(tree: Any, place: str) -> Step:
    name = _get(tree, "name", str, place)
    if name not in STEPS:
        raise _damaged(f"{place}.name", name, f"one of {', '.join(STEPS)}")
    constants = _get(tree, "constants", dict, place)
    return Step(
        name,
        {key: _get(constants, key, float, f"{place}.constants") for key in STEPS[name]},
        _get(tree, "kept", bool, place),
        _get(tree, "ccc_before", float, place),
        _get(tree, "ccc_after", float, place),
    )


def _curve(tree: Any, place: str) -> LagCurve:
    lags_s, ccc = (
        tuple(
            _checked(value, float, f"{place}.{key}[{i}]")
            for i, value in enumerate(_get(tree, key, list, place))
        )
        for key in ("lags_s", "ccc")
    )
    if len(lags_s) != len(ccc):
        raise InputError(
            f"{place}.ccc has {len(ccc)} numbers, but lags_s has {len(lags_s)}; {REMEDY}"
        )
    best = (_get(tree, key, float, place) for key in ("best_lag_s", "best_ccc"))
    return LagCurve(lags_s, ccc, *best)


def _get(tree: Any, key: str, kind: type, place: str) -> Any:
    return _checked(_checked(tree, dict, place).get(key), kind, f"{place}.{key}")


def _checked(value: Any, kind: type, place: str) -> Any:
    """Return `value` if it has the type `kind`; numbers must be finite and become floats."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise _damaged(place, value, KINDS[kind])
    return value


def _damaged(place: str, value: Any, wanted: str) -> InputError:
    found = "missing" if value is None else f"{value!r}, not {wanted}"
    return InputError(f"{place} is {found}; {REMEDY}")
