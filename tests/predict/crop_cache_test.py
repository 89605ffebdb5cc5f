"""Crops come back from the cache as they were added, and nothing is left on the disk."""

import errno
import os
import tempfile

import numpy as np
import pytest
import simplejpeg

from va_jax.predict.crop_cache import CropCache
from va_jax.types import InputError
from va_jax.video import jpeg

DIMS = ("valence", "arousal")


def crop(track: int, number: int) -> bytes:
    return jpeg.encode(np.full((16, 16, 3), [60 * track, number, 0], np.uint8))


def filled(lengths=(70, 33), points=0) -> CropCache:
    """Tracks whose frames come in turn, as long as each lasts; every third lacks a face."""
    cache = CropCache(len(lengths), points)
    for number in range(max(lengths)):
        for track, length in enumerate(lengths):
            if number < length:
                landmarks = np.full((points, 2), track + number / 100, np.float32)
                cache.add(track, crop(track, number), number % 3 > 0, number / 25, landmarks)
    return cache


def test_crops_of_tracks_that_came_in_turn_are_read_by_track_and_number():
    cache = filled()
    source = cache.source("clip", DIMS, 16, 25.0)
    assert [track.frames for track in source.tracks] == [70, 33]
    for track, numbers in ((0, [0, 31, 32, 69]), (1, [5, 32])):
        expected = [crop(track, number) for number in numbers]
        assert source.jpegs(track, np.array(numbers)) == expected
        images = np.empty((len(numbers), 16, 16, 3), np.uint8)
        labels = source.read(track, np.array(numbers), images)
        decoded = [simplejpeg.decode_jpeg(each) for each in expected]
        np.testing.assert_array_equal(images, decoded)
        np.testing.assert_allclose(labels.time_s, np.array(numbers) / 25, rtol=1e-6)


def test_every_frame_keeps_its_facts_and_has_no_label():
    cache = filled(points=5)
    labels = cache.source("clip", DIMS, 16, 25.0).labels(1)
    assert labels.face.tolist() == [number % 3 > 0 for number in range(33)]
    assert labels.target.shape == (33, 2)
    assert np.isnan(labels.target).all()
    np.testing.assert_allclose(labels.landmarks[:, 4, 1], 1 + np.arange(33) / 100, rtol=1e-6)


def test_only_requested_crops_are_read():
    read = []
    cache = filled()
    source = cache.source("clip", DIMS, 16, 25.0, lambda: read.append(1))
    source.labels(0)
    assert not read
    source.jpegs(0, np.array([1, 40]))
    assert len(read) == 2


def test_no_file_is_visible_at_any_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = filled()
    cache.source("clip", DIMS, 16, 25.0)
    assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_an_error_that_names_the_folder(monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    cache = CropCache(1)
    monkeypatch.setattr(cache, "_file", Full())
    with pytest.raises(InputError, match=r"No space left on device.*TMPDIR"):
        cache.add(0, b"x", True, 0.0)
