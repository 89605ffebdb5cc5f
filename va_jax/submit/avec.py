"""The submission of the AVEC challenges: a csv for each recording, on the grid of its labels."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from va_jax.submit import predictions, values
from va_jax.submit.placing import placed
from va_jax.submit.predictions import Predictions
from va_jax.types import InputError

COLUMNS = ("name", "timestamp")
"""Those before the dimensions."""

LOWEST_STEP_S = 0.001
"""Ours: a file of an hour has then 3.6 million rows."""

ROUNDING_S = 1e-4
"""Times of traces are rounded to this."""


def write(
    folder: pathlib.Path,
    out: pathlib.Path,
    dims: Sequence[str] = ("arousal", "valence"),
    step_s: float = 0.1,
    rows: int = 0,
    template: pathlib.Path | None = None,
    header: bool = True,
    offset_s: float = 0.0,
    rule: str = "hold",
    allow_missing: bool = False,
    processed: bool | None = None,
    overwrite: bool = False,
) -> str:
    """Writes the folder `out` from the traces in `folder`; returns what was done, a line each.

    Frames without a face are filled by `rule` (see `values.fill`); then each dimension is
    interpolated linearly between the times of frames, to which `offset_s` is added, and held beyond
    the first and the last. The grid has a row every `step_s` from 0 to the last frame, or `rows` of
    them, or exactly the rows of `template`, a folder of csvs with names and timestamps; recordings
    that only the template has are refused, or with `allow_missing` 0. All files are read back
    before they are put in their place.
    """
    _check(out, folder, template, dims, rows, overwrite)
    for flag, value, low in (("step_s", step_s, LOWEST_STEP_S), ("offset_s", offset_s, -np.inf)):
        if not (value >= low and np.isfinite(value)):
            raise InputError(f"--{flag}={value} is no such time; give seconds, such as 0.04")
    traces, columns = predictions.read_split(folder, dims, processed)
    if template is None:
        grids = {name: _grid(trace, step_s, rows, offset_s) for name, trace in traces.items()}
    else:
        grids = read_template(template)
    missing = [name for name in grids if name not in traces]
    if missing and not allow_missing:
        raise InputError(
            f"{template / missing[0]}.csv: has no trace in {folder}, the first of {len(missing)} "
            f"such recordings of {len(grids)}; evaluate the split that holds them, or write 0 for "
            "them by --allow_missing"
        )
    files, clipped, faceless, outside = {}, 0, 0, 0
    for name, grid in grids.items():
        if name not in traces:
            files[name] = np.zeros((len(grid), len(dims)))
            continue
        trace, time_s = traces[name], np.array([float(text) for text in grid])
        frames_s = trace.time_s + offset_s
        filled = values.fill(trace.values, trace.face, rule)
        on_grid = [np.interp(time_s, frames_s, filled[:, i]) for i in range(len(dims))]
        files[name], over = values.printable(np.stack(on_grid, 1))
        clipped += over
        faceless += int((~trace.face).sum())
        beyond = (time_s < frames_s[0] - ROUNDING_S) | (time_s > frames_s[-1] + ROUNDING_S)
        outside += int(beyond.sum())
    _put(out, dims, header, grids, files)
    lines = [
        f"columns: {', '.join(columns)}",
        f"rows: {sum(map(len, grids.values()))} of {len(grids)} recordings",
        f"frames without a face: {faceless}, {values.TOLD[rule]}",
        f"rows before the first frame or after the last, held: {outside}",
        f"recordings without a prediction: {len(missing)}",
        f"values clipped to [-1, 1]: {clipped}",
    ]
    unused = sorted(traces.keys() - grids.keys())
    if unused:
        lines.append(f"tracks that the template does not name: {len(unused)}, such as {unused[0]}")
    lines += values.warnings(traces, grids, rule)
    return "\n".join([*lines, str(out)])


def _check(
    out: pathlib.Path,
    folder: pathlib.Path,
    template: pathlib.Path | None,
    dims: Sequence[str],
    rows: int,
    overwrite: bool,
) -> None:
    if out.exists():
        if not overwrite:
            raise InputError(f"--out={out} exists already; choose another folder or --overwrite")
        if not out.is_dir():
            raise InputError(f"--out={out} is a file; name a folder")
        for taken in (folder, template):
            if taken is not None and out.resolve() == taken.resolve():
                raise InputError(f"--out={out} is what is read; choose another folder")
        for path in sorted(out.iterdir()):
            if path.suffix != ".csv":
                raise InputError(
                    f"--out={out} holds {path.name}, so is no submission to replace; choose another"
                )
    if not dims or len(set(dims)) < len(dims):
        raise InputError(f"--dims={','.join(dims)}: name each dimension once")
    if rows and template is not None:
        raise InputError(f"--rows={rows} and --template={template}: give one of them")


def _grid(trace: Predictions, step_s: float, rows: int, offset_s: float) -> list[str]:
    last_s = trace.time_s[-1] + offset_s
    count = rows or int(max(last_s, 0) / step_s + ROUNDING_S / step_s) + 1
    return [f"{step_s * i:.6f}" for i in range(count)]


def read_template(folder: pathlib.Path) -> dict[str, list[str]]:
    """{recording: its timestamps as they are written} of the csvs in a folder, by name.

    A file has the columns name and timestamp, first where it has no header; others are ignored.
    Raises InputError, with file and line, where it has not, where times do not rise, or where a row
    names another recording than the file.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise InputError(f"{folder}: holds no csv; name the folder of the organisers' files")
    return {path.stem: _timestamps(path) for path in paths}


def _timestamps(path: pathlib.Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; save it as UTF-8") from error
    rows = [
        (line, [cell.strip(" \t'\"") for cell in row.split(";")])
        for line, row in enumerate(text.splitlines(), 1)
        if row.strip()
    ]
    name, timestamp = 0, 1
    if rows and set(COLUMNS) <= set(rows[0][1]):
        name, timestamp = map(rows.pop(0)[1].index, COLUMNS)
    if not rows:
        raise InputError(f"{path}: has no row; replace or remove it")
    times: list[str] = []
    for line, cells in rows:
        text = ";".join(cells)
        if len(cells) <= max(name, timestamp) or values.finite(cells[timestamp]) is None:
            raise InputError(
                f"{path}: line {line}: {text!r} has no timestamp; expected {';'.join(COLUMNS)}"
            )
        if cells[name] != path.stem:
            raise InputError(
                f"{path}: line {line}: is a row of {cells[name]!r}; give the file its own name"
            )
        if times and float(cells[timestamp]) <= float(times[-1]):
            how = "repeats" if float(cells[timestamp]) == float(times[-1]) else "goes back from"
            raise InputError(
                f"{path}: line {line}: timestamp {cells[timestamp]} {how} {times[-1]}; correct it"
            )
        times.append(cells[timestamp])
    return times


def _put(
    out: pathlib.Path,
    dims: Sequence[str],
    header: bool,
    grids: Mapping[str, Sequence[str]],
    files: Mapping[str, np.ndarray],
) -> None:
    head = [";".join([*COLUMNS, *dims])] if header else []
    with placed(out) as temporary:
        temporary.mkdir()
        for name, numbers in files.items():
            rows = zip(grids[name], numbers, strict=True)
            lines = [";".join([f"'{name}'", time, *values.cells(row)]) for time, row in rows]
            path = temporary / f"{name}.csv"
            path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
            _verify(path, out / path.name, head, grids[name], numbers)


def _verify(
    written: pathlib.Path,
    out: pathlib.Path,
    head: list[str],
    grid: Sequence[str],
    numbers: np.ndarray,
) -> None:
    """Raises InputError where a file does not say the rows of `grid`, each once and in order."""
    *lines, end = written.read_text(encoding="utf-8").split("\n")
    if lines[: len(head)] != head or end or len(lines) != len(head) + len(grid):
        raise InputError(f"{out}: {len(lines)} lines would be written for {len(grid)} rows")
    for text, time, row in zip(lines[len(head) :], grid, numbers, strict=True):
        name, when, *rest = text.split(";")
        if name != f"'{out.stem}'" or when != time or not values.same(rest, row):
            raise InputError(
                f"{out}: the row {text!r} would not read back as it is meant; rename the recording"
            )
    if len(set(grid)) != len(grid):
        raise InputError(f"{out}: two rows would have the same timestamp; correct the grid")
