"""Interpret the header of a label or trace csv file: find the time column and the value columns."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

from va_jax.types import InputError

Unit = Literal["s", "ms", "frame"]
UNITS: tuple[Unit, ...] = get_args(Unit)
_OR_UNITS = f"{', '.join(UNITS[:-1])} or {UNITS[-1]}"
_LIST_THEM = "list the columns to read with columns=TARGET:NAME,..."

SECONDS = frozenset({"s", "sec", "secs", "second", "seconds"})
MILLISECONDS = frozenset({"ms", "msec", "msecs", "millis", "millisecond", "milliseconds"})
TIMES = frozenset({"time", "times", "stamp", "stamps", "t", "ts"})
FRAMES = frozenset({"frame", "frames"})
BESIDE_TIME = frozenset({"in", "video", "media", "frame", "elapsed"})
BESIDE_FRAME = frozenset({"number", "no", "nr", "num", "idx", "index", "id", "video"})

ROLES = re.compile(
    r"""
    std|stdev|stddev|sd|sem?|var|variance|conf|confidence|ci|lower|upper|low|high  # statistics
    |spread|stderr|min|max|range|means?|m|median|med|mode|average|avg|sum|n|count|num|prob|weight|error|err
    |targets?|truth|gt|gold|goldstandard|gs|ewe|fused|labels?|annotations?  # versions
    |pred|preds|predicted|predictions?|estimated?|output|processed|raw|smooth|smoothed|filtered
    |norm|normed|normali[sz]ed|z|zscore|scaled|interp|interpolated|diff|delta|lag|shifted
    |valid|validity|invalid|mask|flag|quality|missing|id|idx|index|class|category|bin  # properties
    |frame|times?|timestamp|s|ms|start|end|onset|offset|duration
    """,
    re.VERBOSE,
)
"""Words that distinguish a statistic, a version or a property of a target from one of its
raters."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The meaning of each column in a header."""

    time: int  # index of the column that identifies the rows
    unit: Unit | None  # None: the name states no unit; compare the values with the video
    raters: dict[str, tuple[int, ...]]  # {dimension: indices of its columns}, in the order of dims
    ignored: tuple[str, ...]  # names of the other columns


def understand(
    header: Sequence[str],
    dims: Sequence[str],
    *,
    time_column: str = "",
    time_unit: str = "",
    columns: Sequence[str] = (),
) -> Columns:
    """Return the meaning of each column, or refuse a header that is ambiguous.

    Names are split into words at blanks, punctuation, digits and capitals, and case is ignored:
    `valence 1`, `Valence_1`, `valence1` and `valence(1)` are the same.

    **Time.** A column is the time if its name consists of words for time (`time`, `timestamp`,
    `t`), for a unit (`msec`, `milliseconds`) or for both (`time_s`, `Time (s)`, `time in seconds`,
    `time_ms`), or if it names a frame number (`frame`, `frame_number`, `video_frame`,
    `FrameIndex`). The unit of `time` or `timestamp` is None: the caller compares the values with
    the video. Seconds take precedence over milliseconds; times without a unit come next, and frame
    numbers last. No other column is read as the time, not even an index (`id`, `index` or an empty
    name).

    **Raters.** A target is read from the column `TARGET`, or else from all columns `TARGET_RATER`
    or `RATER_TARGET`; if two targets match, the longer name wins. A column is ignored if its
    remaining words include a statistic or a role (see ROLES), as in `valence_std`,
    `valence_confidence` or `mean_valence`. This holds even if the column is the only one for its
    target: a file that has only `valence_mean` is refused unless `columns` names that column. A
    header with both `TARGET` and `TARGET_RATER` is refused too, since `TARGET` may be the fusion of
    the raters or a further rater.

    All other columns are ignored and listed in `ignored`.

    Args:
        header: Names of the columns.
        dims: Names of the targets.
        time_column: Name of the time column, or its position, counted from 1; "" to find it by
            name.
        time_unit: Unit of the time, from UNITS; "" to take it from the column's name.
        columns: The only columns to read as targets, each given by its name, by its position
            (counted from 1), or as `TARGET:NAME` if the name does not contain the target; empty to
            find the columns by name.

    Raises:
        InputError: The header is not understood or is ambiguous. The message lists the header, the
            candidates and the argument that settles the question, but not the file.
    """
    if time_unit not in ("", *UNITS):
        raise InputError(f"time_unit={time_unit} is not one of {', '.join(UNITS)}")
    time, unit = _find_time(header, time_column, time_unit)
    raters = _chosen(header, dims, columns) if columns else _find_raters(header, dims, time)
    for dim, found in raters.items():
        if time in found:
            raise InputError(
                f"column {header[time]!r} cannot be both the time and {dim}; correct time_column "
                "or columns"
            )
    used = {time, *(column for found in raters.values() for column in found)}
    ignored = tuple(name for column, name in enumerate(header) if column not in used)
    return Columns(time, unit, raters, ignored)


def unit_of(name: str) -> Unit | Literal[""] | None:
    """Return the unit that a column's name implies: None for a time without a unit, "" if no time.

    >>> unit_of("Time (ms)"), unit_of("frame_number"), unit_of("timestamp"), unit_of("index")
    ('ms', 'frame', None, '')
    """
    words = set(_words(re.sub(r"(?i)(frame|time|video)(?=[a-z]{2})", r"\1 ", name)))
    if words <= FRAMES | BESIDE_FRAME and words & FRAMES:
        return "frame"
    units = words & (SECONDS | MILLISECONDS)
    if not words <= TIMES | BESIDE_TIME | units or len(units) > 1:
        return ""
    if not words & TIMES and not units - {"s"}:
        return ""
    if not units:
        return None
    return "s" if units <= SECONDS else "ms"


def _words(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words and numbers.

    `P1_meanValence2` becomes p1, mean, valence and 2.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W\d_]{2,}|[^\W\d_]?\d+|[^\W\d_]", spaced.casefold()))


def _find_time(header: Sequence[str], time_column: str, time_unit: str) -> tuple[int, Unit | None]:
    chosen = cast(Unit, time_unit) if time_unit else None
    if time_column:
        column = _find(header, time_column, "time_column")
        unit = chosen or unit_of(header[column])
        if unit == "":
            raise InputError(
                f"the name of column {header[column]!r} does not contain the unit; set time_unit "
                f"to {_OR_UNITS}"
            )
        return column, unit
    units = {column: unit_of(name) for column, name in enumerate(header)}
    for unit in (chosen, None) if chosen else ("s", "ms", None, "frame"):
        found = [column for column, each in units.items() if each == unit]
        if len(found) > 1:
            names = ", ".join(repr(header[column]) for column in found)
            raise InputError(
                f"{len(found)} columns may be the time: {names} {_listed(header)}; set "
                "time_column to one of them"
            )
        if found:
            return found[0], chosen or unit
    unit = f" with the unit {chosen}" if chosen else ""
    raise InputError(
        f"no column has the name of a time{unit}, such as time_s, time_ms or frame "
        f"{_listed(header)}; set time_column to its name or its position, counted from 1, and "
        f"time_unit to {_OR_UNITS}"
    )


class _Match(NamedTuple):
    """A target in the name of a column."""

    dim: str
    rest: tuple[str, ...]  # the other words of the name
    clear: bool = True  # the target is at the start or the end, as a separate word

    @property
    def has_role(self) -> bool:
        return any(ROLES.fullmatch(word) for word in self.rest)


def _matches(name: str, dims: Sequence[str]) -> list[_Match]:
    """Return the longest target in a name, or several of the same length."""
    words, plain = _words(name), "".join(_words(name))
    found = []
    for dim in dims:
        own = _words(dim)
        glued = "".join(own)
        if name.casefold() == dim.casefold() or (own and words == own):
            return [_Match(dim, ())]
        starts = [n for n in range(len(words)) if own and words[n : n + len(own)] == own]
        if starts:
            rest = words[: starts[0]] + words[starts[0] + len(own) :]
            inside = 0 < starts[0] < len(words) - len(own)
            found.append(_Match(dim, rest, clear=not inside))
        elif len(glued) > 3 and (plain.startswith(glued) or plain.endswith(glued)):
            found.append(_Match(dim, (plain.replace(glued, "", 1),), clear=False))
    longest = max((len(_words(each.dim)) for each in found), default=0)
    return [each for each in found if len(_words(each.dim)) == longest]


def _find_raters(
    header: Sequence[str], dims: Sequence[str], time: int
) -> dict[str, tuple[int, ...]]:
    alone: dict[str, list[int]] = {dim: [] for dim in dims}
    rated: dict[str, list[int]] = {dim: [] for dim in dims}
    roles: dict[str, list[str]] = {dim: [] for dim in dims}
    for column, name in enumerate(header):
        matches = [] if column == time else _matches(name, dims)
        if any(each.has_role for each in matches):
            roles[matches[0].dim].append(name)
        elif len(matches) > 1 or (matches and not matches[0].clear):
            what = " or ".join(each.dim for each in matches)
            raise InputError(
                f"cannot tell whether column {name!r} contains {what} {_listed(header)}; "
                f"{_LIST_THEM}"
            )
        elif matches:
            (alone if not matches[0].rest else rated)[matches[0].dim].append(column)
    for dim in dims:
        if not alone[dim] and not rated[dim]:
            names = ", ".join(roles[dim])
            aside = f" except {names}, which may be a statistic or another version" if names else ""
            raise InputError(
                f"there is no column for {dim!r}{aside} {_listed(header)}; rename a column, or "
                f"{_LIST_THEM}"
            )
        if len(alone[dim]) + bool(rated[dim]) > 1:
            names = ", ".join(header[column] for column in alone[dim] + rated[dim])
            raise InputError(
                f"columns {names} may be raters of {dim!r}, or one of them may be the fusion of "
                f"the others {_listed(header)}; {_LIST_THEM}"
            )
    return {dim: tuple(alone[dim] or rated[dim]) for dim in dims}


def _chosen(
    header: Sequence[str], dims: Sequence[str], columns: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    raters: dict[str, list[int]] = {dim: [] for dim in dims}
    by_name = {dim.casefold(): dim for dim in dims}
    for each in columns:
        before, _, after = each.partition(":")
        dim = by_name.get(before.strip().casefold()) if after else None
        column = _find(header, after if dim else each, "columns")
        matches = [dim] if dim else [each.dim for each in _matches(header[column], dims)]
        if len(matches) != 1:
            raise InputError(
                f"columns={','.join(columns)}: cannot tell whether {each!r} is "
                f"{' or '.join(dims)}; write {' or '.join(f'{dim}:{each}' for dim in dims)}"
            )
        raters[matches[0]].append(column)
    for dim, found in raters.items():
        if not found or len(set(found)) < len(found):
            problem = "lists a column twice" if found else "lists no column"
            raise InputError(
                f"columns={','.join(columns)} {problem} for {dim!r}; correct the option"
            )
    return {dim: tuple(found) for dim, found in raters.items()}


def _find(header: Sequence[str], name: str, option: str) -> int:
    """Return the index of a column, given by its name (in any case) or its position from 1."""
    found = [n for n, each in enumerate(header) if each.casefold() == name.strip().casefold()]
    if not found and name.strip().isdecimal() and 1 <= int(name) <= len(header):
        return int(name) - 1
    if len(found) != 1:
        problem = "more than one column has this name" if found else "there is no such column"
        raise InputError(
            f"{option}={name}: {problem} {_listed(header)}; use a different name, or the "
            "position of the column, counted from 1"
        )
    return found[0]


def _listed(header: Sequence[str]) -> str:
    return f"(columns: {', '.join(name or repr(name) for name in header)})"
