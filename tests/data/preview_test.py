"""The sheet of windows: what it shows is what is stored and what training gets; its command."""

import importlib
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests import fakes
from tests.data.pipeline_test import AUGMENT
from va_jax.data import preview, samples
from va_jax.data.pipeline import TrainingData
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOW = {"length": 20, "hop": 10, "stride": 2, "remainder": "pad"}
SIZE = 12


def first(source, count=4, seed=3):
    return samples.first(source, WINDOW, AUGMENT, SIZE, count, seed)


def config_of(data_dir, **overrides):
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    config.data.dir = str(data_dir)
    config.update_from_flattened_dict(overrides)
    return config


def test_the_frames_before_augmentation_are_the_stored_ones():
    source = fakes.source(landmarks=5)
    for sample in first(source):
        inside = sample.numbers < sample.track.frames
        numbers = sample.numbers[inside]
        images = np.empty((len(numbers), 16, 16, 3), np.uint8)
        labels = source.read(source.tracks.index(sample.track), numbers, images)
        np.testing.assert_array_equal(sample.stored["frames"][inside], images)
        assert not sample.stored["frames"][~inside].any()
        expected = 2 * labels.landmarks - 1
        np.testing.assert_allclose(sample.stored["landmarks"][inside], expected, atol=1e-6)
        np.testing.assert_array_equal(sample.target[inside], labels.target)
        np.testing.assert_array_equal(sample.time_s[inside], labels.time_s)


def test_the_frames_after_augmentation_are_those_of_the_first_training_batch():
    source = fakes.source(landmarks=5, faceless={(0, 7)}, unlabelled={(1, 9)})
    batch = next(TrainingData(source, WINDOW, AUGMENT, SIZE, 4, 3).batches(0, 1))
    found = first(source)
    assert sorted(found[0].fed) == ["face", "frames", "landmarks", "mask", "target"]
    for key, values in batch.items():
        np.testing.assert_array_equal(np.stack([sample.fed[key] for sample in found]), values)
    assert all(sample.fed["frames"].shape == (20, SIZE, SIZE, 3) for sample in found)


def test_a_frame_is_marked_by_why_it_does_not_count():
    faceless = {(track, frame) for track in range(3) for frame in range(10, 20)}
    unlabelled = {(track, frame) for track in range(3) for frame in range(16, 30)}
    source = fakes.source(faceless=faceless, unlabelled=unlabelled)
    everything = first(source, 99)
    assert any(sample.numbers[-1] >= sample.track.frames for sample in everything)
    for sample in everything:
        expected = [
            "past the end" if number >= sample.track.frames
            else "no label" if 16 <= number < 30
            else "no face" if 10 <= number < 16
            else ""
            for number in sample.numbers.tolist()
        ]  # fmt: skip
        assert sample.states == expected
        np.testing.assert_array_equal(sample.fed["mask"], [state == "" for state in expected])
        assert sample.share == expected.count("") / 20


def test_a_window_is_told_with_its_frames_share_and_mean_labels():
    source = fakes.source(lengths=(30,), unlabelled={(0, 4)}, faceless={(0, 6), (0, 8)})
    by_first = {sample.numbers[0]: sample for sample in first(source, 9)}
    target = source.labels(0).target
    mean = np.delete(target[0:30:2], [2, 3, 4], axis=0).mean(0)
    assert samples.describe(by_first[0], source.dims) == (
        f"t0: frames 0 to 28 by 2, 60% count: mean valence {mean[0]:+.2f}, arousal {mean[1]:+.2f}"
    )
    hidden = fakes.source(lengths=(30,), faceless={(0, frame) for frame in range(30)})
    assert samples.describe(first(hidden)[0], hidden.dims).endswith(", 0% count")


def test_time_goes_on_behind_the_last_frame():
    sample = first(fakes.source(lengths=(30,)))[0]
    np.testing.assert_allclose(sample.time_s, sample.numbers / 25, rtol=1e-6)


def test_a_seed_shows_the_same_again_and_another_seed_other_windows():
    source = fakes.source()
    one, again, other = first(source), first(source), first(source, seed=4)
    for x, y in zip(one, again, strict=True):
        assert (x.track, x.change) == (y.track, y.change)
        np.testing.assert_array_equal(x.fed["frames"], y.fed["frames"])
    assert [x.change for x in one] != [x.change for x in other]
    assert [x.numbers[0] for x in one] != [x.numbers[0] for x in other]


def test_every_window_is_shown_where_there_are_fewer_than_asked_for():
    source = fakes.source(lengths=(30,))
    assert sorted(sample.numbers[0] for sample in first(source, 50)) == [0]


@pytest.mark.parametrize(
    ("length", "places"), [(20, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]), (3, [0, 1, 2]), (1, [0])]
)
def test_the_frames_shown_are_the_middles_of_equal_parts(length, places):
    assert preview.pictured(length) == places


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("sheet.jpg", {}, r"sheet.jpg is no .png"),
        ("absent/sheet.png", {}, r"the folder \S*absent does not exist"),
        ("there.png", {}, r"there.png exists already; .* --overwrite"),
        ("sheet.png", {"data.name": "nothing"}, r"'nothing': not found in .*tfds_builders.build"),
        ("sheet.png", {"data.train": "val"}, r"no split 'val', it has dev, test, train"),
        ("sheet.png", {"window.length": 999, "window.remainder": "drop"}, r"is longer than track"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    tmp_path, tiny_data, name, overrides, message
):
    (tmp_path / "there.png").write_text("kept")
    with pytest.raises(InputError, match=message):
        preview.sheet(config_of(tiny_data, **overrides), 2, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert (tmp_path / "there.png").read_text() == "kept"


def test_landmarks_that_cannot_be_mirrored_are_left_out_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(preview.sources, "stored_landmarks", lambda *_: 7)
    monkeypatch.setattr(preview.sources, "open_split", lambda *a: fakes.source(landmarks=a[3]))
    text = preview.sheet(config_of("."), 1, tmp_path / "sheet.png")
    assert "not drawn: 7 landmarks" in text
    config = config_of(".", **{"augment.flip": False})
    text = preview.sheet(config, 1, tmp_path / "sheet.png", overwrite=True)
    assert "not drawn" not in text


def command(*flags):
    line = [sys.executable, "-m", "va_jax.browse", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_draws_a_training_config_with_what_flags_put_in(tmp_path, tiny_data):
    path = tmp_path / "sheet.png"
    done = command(
        "--config=configs/quickstart.py:tiny", str(tiny_data), "synthetic_faces/tiny",
        "--windows=2", "--length=12", "--split=dev", f"--out={path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *windows, last = done.stdout.splitlines()
    assert last == str(path)
    assert len(windows) == 2
    assert all(" by 2, " in line and ": mean valence" in line for line in windows)
    height, width, _ = cv2.imread(str(path)).shape
    assert 1200 < width < 1600
    assert 900 < height < 1300
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]


def test_a_mistake_in_the_command_is_one_line_and_an_exit_code(tmp_path):
    done = command(str(tmp_path), "aff_wild", f"--out={tmp_path}/sheet.png", "--noflip")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: data.name='aff_wild': not found in data.dir=")
    assert len(done.stderr.strip().splitlines()) == 1
