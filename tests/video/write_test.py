"""Writing: the times of the source, whole files or none, and refusals in one line."""

import pathlib

import numpy as np
import pytest

from tests.video.read_test import write_clip
from va_jax.types import InputError
from va_jax.video import write
from va_jax.video.read import read_frames
from va_jax.video.write import open_writer

IMAGE = np.full((48, 64, 3), 90, np.uint8)


@pytest.mark.parametrize("suffix", write.FORMATS)
def test_frames_keep_the_times_and_the_size_that_are_given(tmp_path, suffix):
    stamps = [0, 40, 47, 140, 141, 300, 900]
    write_clip(tmp_path / "in.mp4", stamps)
    with open_writer(tmp_path / f"out{suffix}", tmp_path / "in.mp4") as writer:
        for stamp in stamps:
            writer.write(stamp / 1000, np.tile(IMAGE, (1, 2, 1)))
    frames = list(read_frames(tmp_path / f"out{suffix}"))
    np.testing.assert_allclose([time_s for time_s, _ in frames], np.array(stamps) / 1000, atol=1e-6)
    assert {image.shape for _, image in frames} == {(48, 128, 3)}


def write_one_and_fail(path: pathlib.Path, source: pathlib.Path) -> None:
    with open_writer(path, source) as writer:
        writer.write(0.0, IMAGE)
        raise RuntimeError


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    write_clip(tmp_path / "in.mp4", [0, 40])
    (tmp_path / "out.mp4").write_text("old")
    with pytest.raises(RuntimeError):
        write_one_and_fail(tmp_path / "out.mp4", tmp_path / "in.mp4")
    assert (tmp_path / "out.mp4").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unknown_suffix_and_a_missing_folder_or_source_are_refused(tmp_path):
    write_clip(tmp_path / "in.mp4", [0, 40])
    for out, source, pattern in (
        ("out.avi", "in.mp4", r"out\.avi.*\.mp4 or \.mkv"),
        ("out.mp4", "absent.mp4", r"absent\.mp4: no such file"),
        ("absent/out.mp4", "in.mp4", r"Cannot write .*absent/out\.mp4"),
    ):
        with (
            pytest.raises(InputError, match=pattern),
            open_writer(tmp_path / out, tmp_path / source) as writer,
        ):
            writer.write(0.0, IMAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
