"""Self-test: check that this installation reproduces the published numbers.

The package includes a small network, a drawn clip and the numbers for them: `expected.csv` is the
output of `va_jax predict`, and `values.csv` contains the network's values for crops at the boxes in
that output. The second file allows tight limits, because moving a box by a hundredth of a pixel
changes a value more than rounding in the network does.
"""

import importlib.metadata
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import simplejpeg

from va_jax import faces
from va_jax.export.model import Model, load
from va_jax.io import read_csv
from va_jax.predict import preprocessing, results
from va_jax.predict.inputs import Video
from va_jax.predict.predictor import Predictor, Progress
from va_jax.video.read import read_frames

PUBLISHED = pathlib.Path(__file__).parents[1] / "published"
VALUES = "values.csv"

COLUMN_LIMITS = {
    "frame": 0.0, "time_s": 0.0, "track": 0.0, "valid": 0.0,
    "x": 0.2, "y": 0.2, "w": 0.2, "h": 0.2,  # pixels
    "face_score": 0.002,
}  # fmt: skip
VALUE_LIMIT = 0.15
CROP_LIMIT = 1e-4
"""Largest allowed differences in `expected.csv`, its values, and `values.csv` (our choice).

A different version of JAX on the same machine moved boxes by 0.02 pixels and thus values by 0.03,
but changed the values for given crops by only 6e-7.
"""

Row = Mapping[str, str]


class Column(NamedTuple):
    """Difference between a column in a table and the published one."""

    name: str
    difference: float  # largest difference
    limit: float
    frame: str | None  # first frame above the limit
    problem: str  # the two values in that frame


def main() -> int:
    """Print the comparison; return 0 if the published numbers are reproduced, else 1."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("va_jax", "jax", "numpy"))
    print(*versions, jax.devices()[0].device_kind, sep=", ")
    with jax.default_matmul_precision("highest"):  # a GPU would use a lower precision
        columns = list(compare(PUBLISHED))
    for each in columns:
        print(f"{each.name:<24}{each.difference:>10.1e}, limit {each.limit:g}")
    wrong = [each for each in columns if each.frame is not None]
    for each in wrong:
        print(f"error: {each.name}: frame {each.frame}: {each.problem}", file=sys.stderr)
    if wrong:
        print("error: this installation does NOT reproduce the published numbers", file=sys.stderr)
        return 1
    print("this installation reproduces the published numbers")
    return 0


def compare(folder: pathlib.Path) -> Iterator[Column]:
    """Yield the difference of each column from the published numbers in `folder`."""
    expected, expected_values = read_rows(folder / "expected.csv"), read_rows(folder / VALUES)
    model, clip = load(folder / "model"), folder / "clip.mp4"
    crops, _ = preprocessing.from_metadata(model.metadata)
    # The published numbers are those of searching every frame, which `follow` would approximate.
    predictor = Predictor(model, crops, faces.Detector(min_face=preprocessing.MIN_FACE))
    result, _ = predictor.predict(Video(clip), Progress(clip.name, False))
    header = results.csv_header(model.dims)
    found = [dict(zip(header, cells, strict=True)) for cells in results.csv_rows(result)]
    for name, limit in (COLUMN_LIMITS | dict.fromkeys(model.dims, VALUE_LIMIT)).items():
        yield compare_column(name, expected, found, limit)
    values = values_at_boxes(model, crops, clip, expected)
    for dim in model.dims:
        column = compare_column(dim, expected_values, values, CROP_LIMIT)
        yield column._replace(name=f"{dim} of given crops")


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows in a published csv file; InputError if the package does not include it."""
    table = read_csv(path)
    return [dict(zip(table.header, cells, strict=True)) for _, cells in table.rows]


def compare_column(
    name: str, expected: Sequence[Row], found: Sequence[Row], limit: float
) -> Column:
    """Compare a column in two tables; a cell missing from one counts as infinitely different."""
    largest, frame, problem = 0.0, None, ""
    for number in range(max(len(expected), len(found))):
        published, here = (
            table[number][name] if number < len(table) else None for table in (expected, found)
        )
        difference = 0.0 if published == here else np.inf
        if published and here:
            difference = abs(float(published) - float(here))
        largest = max(largest, difference)
        if frame is None and not difference <= limit:  # NaN is wrong too
            frame = str(number)
            problem = f"got {here or 'no value'}, expected {published or 'no value'}"
    return Column(name, largest, limit, frame, problem)


def values_at_boxes(
    model: Model, crops: preprocessing.Preprocessing, clip: pathlib.Path, boxes: Sequence[Row]
) -> list[dict[str, str]]:
    """Return rows with the network's values for crops of the clip at the given boxes."""
    images, landmarks = read_frames(clip, preprocessing.MAX_SIDE), np.full((5, 2), np.nan, "f4")
    frames = np.zeros((len(boxes), model.size, model.size, 3), np.uint8)
    face = np.array([row["valid"] == "1" for row in boxes])
    for frame, row, (_, image) in zip(frames, boxes, images, strict=False):
        if row["valid"] == "1":
            x, y, w, h = (float(row[key]) for key in "xywh")
            box = np.array([x, y, x + w, y + h], np.float32)
            jpeg, _ = crops.crop(image, box, landmarks, True)
            simplejpeg.decode_jpeg(jpeg, colorspace="RGB", buffer=frame)
    return [
        dict(zip(("frame", *model.dims), (str(number), *results.value_cells(pred)), strict=True))
        for number, pred in enumerate(model(frames, face))
    ]
