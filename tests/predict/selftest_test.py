"""The self-test passes here, and fails if a number differs from the published one."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from va_jax.export import metadata
from va_jax.predict import inputs, selftest
from va_jax.types import InputError

TABLE = [{"frame": str(number), "x": f"{number / 10}"} for number in range(4)]


def wrong(folder: pathlib.Path) -> dict[str, str | None]:
    """The first frame that differs, by the name of the column."""
    found = {each.name: each.frame for each in selftest.compare(folder)}
    return {name: frame for name, frame in found.items() if frame is not None}


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(selftest.PUBLISHED, tmp_path / "published")


@pytest.mark.slow
def test_this_installation_gives_the_published_numbers():
    done = subprocess.run(
        [sys.executable, "-m", "va_jax", "selftest"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "this installation reproduces the published numbers"


@pytest.mark.slow
def test_a_changed_parameter_is_found(copy):
    path = copy / "model" / "model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    name = "params/head_arousal/kernel"
    path.write_bytes(safetensors.numpy.save(arrays | {name: arrays[name] * np.float32(1.002)}))
    facts = json.loads((copy / "model" / "passport.json").read_text())
    metadata.write_with_digests(copy / "model", facts)
    assert wrong(copy).keys() == {"arousal of given crops"}


@pytest.mark.slow
def test_swapped_channels_are_found(copy, monkeypatch):
    read = inputs.read_frames
    swapped = lambda *given: ((time_s, image[..., ::-1].copy()) for time_s, image in read(*given))  # noqa: E731
    for module in (inputs, selftest):
        monkeypatch.setattr(module, "read_frames", swapped)
    assert wrong(copy).keys() >= {"valence of given crops", "arousal of given crops"}


@pytest.mark.slow
def test_another_published_value_and_a_missing_row_are_found(copy):
    path = copy / "expected.csv"
    lines = path.read_text().splitlines()
    cells = lines[6].split(",")
    assert cells[1] == "5"
    cells[4] = f"{float(cells[4]) + 0.5}"
    path.write_text("\n".join([*lines[:6], ",".join(cells), *lines[7:]]) + "\n")
    assert wrong(copy)["x"] == "5"
    path.write_text("\n".join(lines[:-1]) + "\n")
    assert wrong(copy)["frame"] == wrong(copy)["valence of given crops"] == "59"


def test_a_column_has_its_largest_difference_and_the_first_frame_above_the_limit():
    found = [
        row | {"x": f"{float(row['x']) + more}"}
        for row, more in zip(TABLE, (0, 0.3, 0.5, 0), strict=True)
    ]
    column = selftest.compare_column("x", TABLE, found, 0.2)
    assert (column.frame, column.problem) == ("1", "got 0.4, expected 0.1")
    assert column.difference == pytest.approx(0.5)
    assert selftest.compare_column("x", TABLE, found, 0.6).frame is None


@pytest.mark.parametrize("cell", ["", "nan", None])
def test_an_empty_cell_a_missing_row_and_nan_differ(cell):
    found = TABLE[:3] if cell is None else [*TABLE[:3], TABLE[3] | {"x": cell}]
    assert selftest.compare_column("x", TABLE, found, 1e9).frame == "3"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/expected.csv: ")):
        list(selftest.compare(tmp_path))


def test_the_files_name_no_folder_of_the_machine_that_made_them():
    for path in selftest.PUBLISHED.rglob("*"):
        if path.is_file():
            assert not re.search(rb"/(home|tmp|root|work|Users)/", path.read_bytes()), path
