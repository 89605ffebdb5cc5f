"""Write a submission for the ABAW challenges: a text file with a row for every image."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from va_jax import io
from va_jax.submit.predictions import FILL_RULES, Predictions, fill, read_predictions
from va_jax.types import DIMS, LABEL_RANGE, InputError

HEADER = ("image_location", *DIMS)
LOCATION = re.compile(r"(.+)/0*([1-9]\d{0,6})\.(?:jpg|jpeg|png)", re.IGNORECASE)


class Image(NamedTuple):
    """A row of the submission: image k of a track, counted from 1, is its frame k - 1."""

    location: str  # as written in the file
    track: str
    frame: int
    line: int = 0  # line number in the template


@dataclasses.dataclass(frozen=True)
class SubmissionOptions:
    """Options for writing a submission."""

    template: pathlib.Path | None = None  # csv file that lists the images; None: all frames
    fill: str = "hold"  # one of `FILL_RULES`, the rule for frames without a face
    allow_missing: bool = False  # also fill images in the template that have no prediction
    processed: bool | None = None  # None: post-processed predictions if there are any
    overwrite: bool = False


def write_submission(
    folder: pathlib.Path, out: pathlib.Path, options: SubmissionOptions | None = None
) -> str:
    """Write a submission to `out` from the traces in a folder, which are called TRACK.csv.

    Returns:
        A summary: a line for each count, and any warnings.
    """
    options = options or SubmissionOptions()
    if out.is_dir() or (out.exists() and not options.overwrite):
        raise InputError(f"--out={out} already exists; choose a different file or pass --overwrite")
    template = options.template
    if template is not None and out.resolve() == template.resolve():
        raise InputError(f"--out={out} is the template itself; choose a different file")
    traces, columns = read_predictions(folder, DIMS, options.processed)
    images = _list_frames(traces) if template is None else _read_template(template)
    missing = [image for image in images if not _has(traces, image)]
    if missing and not options.allow_missing:
        raise InputError(
            f"{template}: line {missing[0].line}: {missing[0].location!r} has no prediction in "
            f"{folder} (the first of {len(missing)} such rows out of {len(images)}); evaluate "
            "the split with these images, or pass --allow_missing to fill these rows"
        )
    frames: dict[str, int] = {}  # number of frames in every track
    for image in images:
        frames[image.track] = max(image.frame + 1, frames.get(image.track, 0))
    filled = {name: _fill(traces.get(name), count, options.fill) for name, count in frames.items()}
    values = np.stack([filled[image.track][image.frame] for image in images])
    _write_rows(out, images, values)
    faceless = sum(
        not traces[image.track].face[image.frame] for image in images if _has(traces, image)
    )
    outside = (values < LABEL_RANGE[0]) | (values > LABEL_RANGE[1])
    lines = [
        f"columns: {', '.join(columns)}",
        f"rows: {len(images)} from {len(frames)} tracks",
        f"rows without a face: {faceless}, {FILL_RULES[options.fill]}",
        f"rows without a prediction: {len(missing)}",
        f"values clipped to [-1, 1]: {int(outside.sum())}",
    ]
    zero = [name for name, values in filled.items() if not values.any()]
    for text, names in (
        ("tracks that are not in the template", sorted(traces.keys() - frames.keys())),
        ("warning: all rows are 0, because there is no face or no trace", zero),
    ):
        if names:
            lines.append(f"{text}: {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}")
    return "\n".join([*lines, str(out)])


def _read_template(path: pathlib.Path) -> list[Image]:
    """Return the images listed in the first column of a csv file, which may have a header."""
    lines = [(line, text.split(",")[0].strip()) for line, text in io.read_lines(path)]
    if lines[0][1].lower() == HEADER[0]:
        lines = lines[1:]
    if not lines:
        raise InputError(f"{path}: the file lists no images; use the organisers' list of images")
    images: list[Image] = []
    seen: dict[tuple[str, int], int] = {}
    for line, location in lines:
        match = LOCATION.fullmatch(location)
        if match is None:
            raise InputError(
                f"{path}: line {line}: {location!r} is not the location of an image, such as "
                "2-30-640x360/00001.jpg; correct the line"
            )
        image = Image(location, match[1], int(match[2]) - 1, line)
        earlier = seen.setdefault((image.track, image.frame), line)
        if earlier != line:
            raise InputError(
                f"{path}: line {line}: {location!r} is also on line {earlier}; remove one of "
                "the lines"
            )
        images.append(image)
    return images


def _list_frames(traces: Mapping[str, Predictions]) -> list[Image]:
    """Return all frames as images; refuse a track name that a submission cannot contain."""
    for track in traces:
        if set(track) & set(',"\n\r'):
            raise InputError(
                f"track {track!r}: its name contains a comma, a quote or a line break, which the "
                "challenge's format does not allow; rename the file"
            )
    return [
        Image(f"{track}/{frame + 1:05d}.jpg", track, frame)
        for track, trace in traces.items()
        for frame in range(len(trace.face))
    ]


def _has(traces: Mapping[str, Predictions], image: Image) -> bool:
    return image.track in traces and image.frame < len(traces[image.track].face)


def _fill(trace: Predictions | None, frames: int, rule: str) -> np.ndarray:
    """Return the values for at least `frames` frames; all are 0 if there is no trace."""
    if trace is None:
        return np.zeros((frames, len(DIMS)))
    more = max(frames - len(trace.face), 0)
    values = np.pad(trace.values, ((0, more), (0, 0)), constant_values=np.nan)
    return fill(Predictions(values, np.pad(trace.face, (0, more))), rule)


def _write_rows(out: pathlib.Path, images: Sequence[Image], values: np.ndarray) -> None:
    clipped = np.round(np.clip(values, *LABEL_RANGE), 6) + 0.0  # + 0.0 turns -0 into 0
    rows = [
        [image.location, *(f"{value:.6f}" for value in row)]
        for image, row in zip(images, clipped.tolist(), strict=True)
    ]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        io.write_csv(out, HEADER, rows)
    except OSError as error:
        raise InputError(
            f"--out={out} cannot be written: {error.strerror}; choose a different path"
        ) from error
