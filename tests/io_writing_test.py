"""A file or folder appears whole or not at all, and killed processes leave nothing for long."""

import os
import pathlib
import subprocess
import sys

import pytest

from va_jax.io import replacing


def entries(folder: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["a.csv", "x" * 251 + ".csv", "\u00e9" * 125 + ".csv"])
def test_a_name_of_any_length_is_replaced_as_a_whole(tmp_path, name):
    for text in ("old", "new"):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text(text)
    assert entries(tmp_path) == {name: "new"}


def test_a_block_that_fails_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old")

    def write():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert entries(tmp_path) == {"a": "old"}


KILLED = """
import os, pathlib, sys
from va_jax.io import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.mkdir() if sys.argv[2] == "folder" else temporary.write_text("half")
    {}
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_behind_is_removed_by_the_next_one(tmp_path, kind):
    command = [sys.executable, "-c", KILLED.format(""), str(tmp_path / "a"), kind]
    assert subprocess.run(command, check=False).returncode == -9
    assert len(os.listdir(tmp_path)) == 1
    with replacing(tmp_path / "b") as temporary:
        temporary.write_text("whole")
        assert os.listdir(tmp_path) == [temporary.name]
    assert entries(tmp_path) == {"b": "whole"}


def test_a_folder_that_was_moved_away_by_a_killed_process_is_put_back(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    moved = "pathlib.Path(sys.argv[1]).rename(temporary.with_suffix('.old'))"
    command = [sys.executable, "-c", KILLED.format(moved), str(tmp_path / "a"), "folder"]
    assert subprocess.run(command, check=False).returncode == -9
    assert not (tmp_path / "a").exists()
    with replacing(tmp_path / "b") as temporary:
        temporary.touch()
    assert os.listdir(tmp_path / "a") == ["old"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
