"""The submission of the ABAW challenges: a text file with a row for every image of the split."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from va_jax.submit import predictions, values
from va_jax.submit.placing import placed
from va_jax.submit.predictions import Predictions
from va_jax.types import InputError

DIMS = ("valence", "arousal")
HEADER = f"image_location,{','.join(DIMS)}"
LOCATION = re.compile(r"(.+)/0*([1-9]\d{0,6})\.(?:jpg|jpeg|png)", re.IGNORECASE)


class Image(NamedTuple):
    """A row that the submission must have: image k of a track, from 1 on, is its frame k - 1."""

    location: str  # as it is written
    track: str  # as its trace is called
    frame: int
    line: int = 0  # of the template


def write(
    folder: pathlib.Path,
    out: pathlib.Path,
    template: pathlib.Path | None = None,
    rule: str = "hold",
    allow_missing: bool = False,
    processed: bool | None = None,
    overwrite: bool = False,
) -> str:
    """Writes the file `out` from the traces in `folder`; returns what was done, a line each.

    Its rows are those of `template`, in their order, else every frame of every trace. Frames
    without a face are filled by `rule` (see `values.fill`), and with `allow_missing` so are rows of
    the template that have no trace. The file is read back before it is put in its place.
    """
    _check_out(out, folder, template, overwrite)
    traces, columns = predictions.read_split(folder, DIMS, processed)
    images = _of_traces(traces) if template is None else read_template(template)
    missing = [each for each in images if not _has(traces, each)]
    if missing and not allow_missing:
        raise InputError(
            f"{template}: line {missing[0].line}: {missing[0].location!r} has no prediction in "
            f"{folder}, the first of {len(missing)} such rows of {len(images)}; evaluate the split "
            "that holds them, or fill them by --allow_missing"
        )
    last: dict[str, int] = {}
    for each in images:
        last[each.track] = max(each.frame, last.get(each.track, 0))
    filled = {track: _filled(traces.get(track), frame + 1, rule) for track, frame in last.items()}
    rows = np.stack([filled[each.track][each.frame] for each in images])
    rows, clipped = values.printable(rows)
    _put(out, images, rows)
    faceless = sum(not traces[each.track].face[each.frame] for each in images if _has(traces, each))
    lines = [
        f"columns: {', '.join(columns)}",
        f"rows: {len(images)} of {len(last)} tracks",
        f"rows without a face: {faceless}, {values.TOLD[rule]}",
        f"rows without a prediction: {len(missing)}",
        f"values clipped to [-1, 1]: {clipped}",
    ]
    unused = sorted(traces.keys() - last.keys())
    if unused:
        lines.append(f"tracks that the template does not name: {len(unused)}, such as {unused[0]}")
    lines += values.warnings(traces, last, rule)
    return "\n".join([*lines, str(out)])


def _check_out(
    out: pathlib.Path, folder: pathlib.Path, template: pathlib.Path | None, overwrite: bool
) -> None:
    if out.is_dir():
        raise InputError(f"--out={out} is a folder; name the file, such as {out}/predictions.txt")
    if out.exists() and not overwrite:
        raise InputError(f"--out={out} exists already; choose another name or --overwrite")
    if out.resolve().parent == folder.resolve():
        raise InputError(f"--out={out} would lie among the traces; choose another folder")
    if template is not None and out.resolve() == template.resolve():
        raise InputError(f"--out={out} is the template; choose another name")


def read_template(path: pathlib.Path) -> list[Image]:
    """The images that the first column of a csv names, with or without the organisers' header.

    Raises InputError, with file and line, for a row that names none, or one for a second time.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; save it as UTF-8") from error
    images: list[Image] = []
    seen: dict[tuple[str, int], int] = {}
    first = True
    for line, row in enumerate(text.splitlines(), 1):
        location = row.split(",")[0].strip()
        if not row.strip():
            continue
        header, first = first and location.lower() == HEADER.split(",")[0], False
        if header:
            continue
        match = LOCATION.fullmatch(location)
        if match is None:
            raise InputError(
                f"{path}: line {line}: {row.strip()!r} does not start with an image such as "
                "2-30-640x360/00001.jpg; correct it"
            )
        image = Image(location, match[1].replace("/", "__"), int(match[2]) - 1, line)
        earlier = seen.setdefault(image[1:3], line)
        if earlier != line:
            raise InputError(
                f"{path}: line {line}: {location!r} stands in line {earlier} too; remove one"
            )
        images.append(image)
    if not images:
        raise InputError(f"{path}: names no image; give the organisers' list")
    return images


def _of_traces(traces: dict[str, Predictions]) -> list[Image]:
    return [
        Image(f"{track}/{frame + 1:05d}.jpg", track, frame)
        for track, trace in traces.items()
        for frame in range(len(trace.face))
    ]


def _has(traces: dict[str, Predictions], image: Image) -> bool:
    return image.track in traces and image.frame < len(traces[image.track].face)


def _filled(trace: Predictions | None, frames: int, rule: str) -> np.ndarray:
    """Values of at least `frames` frames; all 0 without a trace."""
    if trace is None:
        return np.zeros((frames, len(DIMS)))
    more = max(frames - len(trace.face), 0)
    known = np.pad(trace.values, ((0, more), (0, 0)), constant_values=np.nan)
    return values.fill(known, np.pad(trace.face, (0, more)), rule)


def _put(out: pathlib.Path, images: Sequence[Image], rows: np.ndarray) -> None:
    lines = [
        ",".join([each.location, *values.cells(row)])
        for each, row in zip(images, rows, strict=True)
    ]
    with placed(out) as temporary:
        temporary.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
        _verify(temporary, out, images, rows)


def _verify(
    written: pathlib.Path, out: pathlib.Path, images: Sequence[Image], rows: np.ndarray
) -> None:
    """Raises InputError where a file does not say `rows` of `images`, each once and in order."""
    header, *lines, end = written.read_text(encoding="utf-8").split("\n")
    if header != HEADER or end or len(lines) != len(images):
        raise InputError(f"{out}: {len(lines)} rows would be written for {len(images)} images")
    if len({each.location for each in images}) != len(images):
        raise InputError(f"{out}: an image would stand in two rows; give each track its own name")
    for text, image, row in zip(lines, images, rows, strict=True):
        location, *numbers = text.split(",")
        if location != image.location or not values.same(numbers, row):
            raise InputError(
                f"{out}: the row {text!r} would not read back as it is meant; rename the track"
            )
