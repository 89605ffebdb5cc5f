"""Post-processing as fitted: the steps of every dimension, applied, in words and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from va_jax.evaluation.filters import median_filtered, moved
from va_jax.evaluation.lags import LagCurve
from va_jax.types import InputError

NAME = "postprocess.json"
"""The file of a chain, in the folder of the checkpoint it was fitted for and in exports."""

STEPS = {
    "median": ("window_s",),
    "centre": ("bias",),
    "scale": ("factor", "about"),
    "lag": ("lag_s",),
}
"""Every step and its constants; x + bias, about + factor (x - about), x(t + lag_s)."""

REMEDY = "restore the file, or fit it again by --mode=eval"
KINDS = {bool: "true or false", dict: "a mapping", float: "a number", list: "a list", str: "text"}


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of one dimension, as fitted: kept, or tried in vain."""

    name: str
    constants: Mapping[str, float]
    kept: bool
    ccc_before: float  # pooled, on dev
    ccc_after: float  # with this step, whether kept or not

    def apply(
        self, column: Float[np.ndarray, " frames"], time_s: Float[np.ndarray, " frames"]
    ) -> Float[np.ndarray, " frames"]:
        values = self.constants
        if self.name == "median":
            return median_filtered(column, time_s, values["window_s"])
        if self.name == "centre":
            return column + np.float32(values["bias"])
        if self.name == "scale":
            about = np.float32(values["about"])
            return about + np.float32(values["factor"]) * (column - about)
        return moved(column, time_s, values["lag_s"])

    def text(self) -> str:
        values = self.constants
        if self.name == "median":
            return f"median over {_short(values['window_s'], 'g')} s"
        if self.name == "centre":
            sign = "-" if values["bias"] < 0 else "+"
            return f"{sign} {_short(abs(values['bias']), '.3f')}"
        if self.name == "scale":
            about = f" about {_short(values['about'], '.3f')}" if values["about"] else ""
            return f"x {_short(values['factor'], '.2f')}{about}"
        way = "later" if values["lag_s"] < 0 else "earlier"
        return f"moved {_short(abs(values['lag_s']), '.2f')} s {way}"


@dataclasses.dataclass(frozen=True)
class Chain:
    """Per dimension the steps in their order, and the lag curve of the raw dev predictions.

    True where any step was kept; otherwise `apply` gives back what it is given.
    """

    steps: Mapping[str, tuple[Step, ...]]
    curves: Mapping[str, LagCurve]  # without an entry where dev has no labels

    def __bool__(self) -> bool:
        return any(step.kept for steps in self.steps.values() for step in steps)

    def apply(
        self,
        pred: Float[np.ndarray, "frames dims"],
        time_s: Float[np.ndarray, " frames"],
        dims: Sequence[str],
    ) -> Float[np.ndarray, "frames dims"]:
        """`pred` of a whole track, named by `dims`, through the steps that were kept.

        The values are not clipped to the range of labels. Raises an InputError for a dimension
        that the chain was not fitted for.
        """
        columns = []
        for dim, column in zip(dims, pred.T, strict=True):
            if dim not in self.steps:
                raise InputError(
                    f"post-processing was fitted for {', '.join(self.steps)}, not for {dim!r}; "
                    "fit it on a set with these dimensions, or go without"
                )
            for step in self.steps[dim]:
                column = step.apply(column, time_s) if step.kept else column
            columns.append(column)
        return np.stack(columns, -1)

    def words(self) -> dict[str, str]:
        """For people, a line per dimension: the steps that were kept, and what they gained."""
        lines = {}
        for dim, steps in self.steps.items():
            kept = [step for step in steps if step.kept]
            lines[dim] = ", ".join(step.text() for step in kept) or "as predicted"
            if steps:
                lines[dim] += f": dev CCC {_short(steps[0].ccc_before, '.3f')}"
            if kept:
                lines[dim] += f" -> {_short(kept[-1].ccc_after, '.3f')}"
        return lines

    def to_json(self) -> dict[str, Any]:
        """Per dimension `steps` and `lag_curve`, as plain dicts, lists and numbers."""
        result = {}
        for dim, steps in self.steps.items():
            result[dim] = {"steps": [dataclasses.asdict(step) for step in steps]}
            if dim in self.curves:
                curve = dataclasses.asdict(self.curves[dim])
                result[dim]["lag_curve"] = curve | {
                    key: list(curve[key]) for key in ("lags_s", "ccc")
                }
        return result

    @classmethod
    def from_json(cls, tree: Any, source: str) -> "Chain":
        """The chain that `to_json` wrote; what is no such thing is an InputError that names it.

        `source` is what the message calls the whole: the file and the key in it.
        """
        if not isinstance(tree, dict) or not tree:
            raise InputError(f"{source} names no dimension; {REMEDY}")
        steps, curves = {}, {}
        for dim, found in tree.items():
            where = f"{source}.{dim}"
            listed = _at(found, where, list, "steps")
            steps[dim] = tuple(_step(x, f"{where}.steps[{i}]") for i, x in enumerate(listed))
            if "lag_curve" in found:
                curves[dim] = _curve(found["lag_curve"], f"{where}.lag_curve")
        return cls(steps, curves)


def _short(value: float, form: str) -> str:
    """A number without the zero before its point."""
    text = f"{value:{form}}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def _step(tree: Any, where: str) -> Step:
    name = _at(tree, where, str, "name")
    if name not in STEPS:
        raise InputError(f"{where}.name={name!r} is not one of {', '.join(STEPS)}; {REMEDY}")
    found, inside = _at(tree, where, dict, "constants"), f"{where}.constants"
    return Step(
        name,
        {key: _at(found, inside, float, key) for key in STEPS[name]},
        _at(tree, where, bool, "kept"),
        _at(tree, where, float, "ccc_before"),
        _at(tree, where, float, "ccc_after"),
    )


def _curve(tree: Any, where: str) -> LagCurve:
    lags_s, ccc = _numbers(tree, where, "lags_s"), _numbers(tree, where, "ccc")
    if len(lags_s) != len(ccc):
        raise InputError(f"{where} has {len(lags_s)} lags_s and {len(ccc)} ccc; {REMEDY}")
    best = (_at(tree, where, float, key) for key in ("best_lag_s", "best_ccc"))
    return LagCurve(lags_s, ccc, *best)


def _numbers(tree: Any, where: str, key: str) -> tuple[float, ...]:
    listed = dict(enumerate(_at(tree, where, list, key)))
    return tuple(_at(listed, f"{where}.{key}", float, number) for number in listed)


def _at(tree: Any, where: str, kind: type, key: str | int) -> Any:
    """The entry of `tree`, which messages call `where`; an InputError where it is not a `kind`."""
    if not isinstance(tree, dict):
        raise InputError(f"{where}={tree!r} is not {KINDS[dict]}; {REMEDY}")
    if key not in tree:
        raise InputError(f"{where}.{key} is missing; {REMEDY}")
    value = tree[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise InputError(f"{where}.{key}={value!r} is not {KINDS[kind]}; {REMEDY}")
    return value
