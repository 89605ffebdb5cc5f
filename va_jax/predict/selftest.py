"""Does this installation give the published numbers? `python -m va_jax.selftest`.

A small network and a drawn clip come with the package, and what the network says of the clip:
`expected.csv` is what `va_jax.predict` wrote, `values.csv` what the network gives for crops at the
boxes printed there. The latter leaves no room: a hundredth of a pixel in a box weighs more than all
rounding of the network. What is wrong is named with its frame, and the exit code is 1.
"""

import csv
import importlib.metadata
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import simplejpeg
from absl import app, logging

from va_jax import faces
from va_jax.cli import flags
from va_jax.export.model import Model, load
from va_jax.predict import preprocessing, results
from va_jax.predict.inputs import Video
from va_jax.predict.predictor import Predictor, Progress
from va_jax.types import InputError
from va_jax.video.read import read_frames

PUBLISHED = pathlib.Path(__file__).parents[1] / "published"
VALUES = "values.csv"

EXACT = ("frame", "time_s", "track", "valid")
NEAR = {"x": 0.2, "y": 0.2, "w": 0.2, "h": 0.2, "face_score": 0.002}
SAID = 0.15
CROPPED = 1e-4
"""Largest differences, ours: pixels; of scores; of values of the clip; of values of given crops.

Another JAX on the same machine moved boxes by .02 and so values by .03; given crops by 6e-7.
"""

Row = Mapping[str, str]


class Column(NamedTuple):
    """The largest difference in a column to what was published, and the first frame above."""

    name: str
    difference: float
    limit: float
    frame: str | None
    words: str


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file it reads
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("va_jax", "jax", "numpy"))
    print(*versions, jax.devices()[0].device_kind, sep=", ")
    try:
        with jax.default_matmul_precision("highest"):  # a GPU would multiply in fewer bits
            columns = list(compared(PUBLISHED))
    except InputError as error:
        sys.exit(f"error: {error}")
    for each in columns:
        print(f"{each.name:<24}{each.difference:>10.1e}, at most {each.limit:g}")
    wrong = [each for each in columns if each.frame is not None]
    for each in wrong:
        print(f"{each.name}: frame {each.frame}: {each.words}", file=sys.stderr)
    if wrong:
        sys.exit("your installation does NOT give the published numbers")
    print("your installation gives the published numbers")


def compared(folder: pathlib.Path) -> Iterator[Column]:
    """Every column of what is said here beside what `folder` holds."""
    expected, crops = read(folder / "expected.csv"), read(folder / VALUES)
    model, clip = load(folder / "model"), folder / "clip.mp4"
    how, _ = preprocessing.from_metadata(model.passport)
    predictor = Predictor(model, how, faces.Detector(min_face=preprocessing.MIN_FACE))
    result, _ = predictor.predict(Video(clip), Progress(clip.name, False))
    head = results.csv_header(model.dims)
    found = [dict(zip(head, cells, strict=True)) for cells in results.csv_rows(result)]
    limits = dict.fromkeys(EXACT, 0.0) | NEAR | dict.fromkeys(model.dims, SAID)
    for name, limit in limits.items():
        yield column(name, expected, found, limit)
    found = cropped(model, how, clip, expected)
    for dim in model.dims:
        yield column(dim, crops, found, CROPPED, "of given crops")


def read(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a csv file; InputError where the package lacks it."""
    if not path.is_file():
        raise InputError(f"{path} is missing; install va_jax anew")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(
    name: str, expected: Sequence[Row], found: Sequence[Row], limit: float, of: str = ""
) -> Column:
    """One column of both tables; a row or a cell that only one has differs without bound."""
    worst, frame, words = 0.0, None, ""
    for number in range(max(len(expected), len(found))):
        there, here = (
            table[number][name] if number < len(table) else None for table in (expected, found)
        )
        difference = 0.0 if there == here else np.inf
        if there and here:
            difference = abs(float(there) - float(here))
        worst = max(worst, difference)
        if frame is None and not difference <= limit:  # nor NaN
            frame, words = str(number), f"{here or 'nothing'}, published is {there or 'nothing'}"
    return Column(f"{name} {of}".strip(), worst, limit, frame, words)


def cropped(
    model: Model, how: preprocessing.Preprocessing, clip: pathlib.Path, places: Sequence[Row]
) -> list[dict[str, str]]:
    """What the network gives for crops of the clip at the boxes in `places`, as rows."""
    shape, landmarks = (model.size, model.size, 3), np.full((5, 2), np.nan, np.float32)
    crops = np.zeros((len(places), *shape), np.uint8)
    shown = np.array([row["valid"] == "1" for row in places])
    pictures = (image for _, image in read_frames(clip, preprocessing.MAX_SIDE))
    for crop, row, face, image in zip(crops, places, shown, pictures, strict=False):
        if face:
            x, y, w, h = (float(row[key]) for key in "xywh")
            box = np.array([x, y, x + w, y + h], np.float32)
            data, _ = how.crop(image, box, landmarks, True)
            simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=crop)
    return [
        dict(zip(("frame", *model.dims), (str(number), *results.value_cells(values)), strict=True))
        for number, values in enumerate(model(crops, shown))
    ]


if __name__ == "__main__":
    app.run(main, flags_parser=flags.parse)
