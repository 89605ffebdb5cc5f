"""`tfds build`, where it is installed, writes the same files as our command."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from tests.tfds_builders.layouts import build, write_crops, write_text

BUILDERS = pathlib.Path(__file__).resolve().parents[2] / "tfds_builders"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("tensorflow", "apache_beam", "mlcroissant"))),
        reason="`tfds build` needs the extra [build]",
    ),
]


def tfds_build(builder, *arguments):
    command = [pathlib.Path(sys.executable).with_name("tfds"), "build", builder, *arguments]
    return subprocess.run(command, cwd=BUILDERS.parent, capture_output=True, text=True)


def contents(directory):
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    info = json.loads(files.pop("dataset_info.json"))
    del info["moduleName"]  # by which path the builder was imported
    return files, info


def test_tfds_build_writes_the_same_files(tmp_path):
    source = tmp_path / "in"
    for name in ("anna", "bert"):
        write_crops(source / name, range(1, 41))
    write_text(source / "bert" / "00034.jpg", "damaged")
    write_text(source / "videos.csv", "video,labels,split\nanna,,train\nbert,,dev\n")
    expected, _ = build("video_folder/112", tmp_path / "expected", source)
    done = tfds_build(
        "tfds_builders/video_folder",
        "--config=112",
        f"--data_dir={tmp_path / 'data'}",
        f"--manual_dir={source}",
    )
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "data" / "video_folder" / "112" / "1.0.0") == contents(expected)


def test_tfds_build_stops_at_bad_input(tmp_path):
    done = tfds_build(
        "tfds_builders/video_folder", "--config=112", f"--data_dir={tmp_path / 'data'}"
    )
    assert done.returncode == 1
    assert "does not exist or is empty; it must contain the" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "data").rglob("1.0.0"))
