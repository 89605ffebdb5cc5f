"""The preview shows the stored frames and the exact input of the first training steps."""

import importlib
import pathlib

import numpy as np
import pytest

from tests import fakes
from tests.data.pipeline_test import AUGMENT, config_of
from va_jax.config import Window, parse
from va_jax.data import preview
from va_jax.data.pipeline import TrainingData
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOW = Window(length=20, hop=10, stride=2)
SIZE = 12


def first(source, count=4, seed=3):
    return preview.first_samples(source, config_of(AUGMENT, seed, WINDOW, SIZE), count)


def tiny_config(data_dir, **overrides):
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    config.data.dir = str(data_dir)
    config.update_from_flattened_dict(overrides)
    return parse(config)


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
    batch = next(TrainingData(source, config_of(AUGMENT, 3, WINDOW, SIZE)).batches(0, 1))
    found = first(source)
    assert sorted(found[0].augmented) == ["face", "frames", "landmarks", "mask", "target"]
    for key, values in batch.items():
        np.testing.assert_array_equal(np.stack([sample.augmented[key] for sample in found]), values)
    assert all(sample.augmented["frames"].shape == (20, SIZE, SIZE, 3) for sample in found)


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
        np.testing.assert_array_equal(sample.augmented["mask"], [state == "" for state in expected])
        assert sample.share == expected.count("") / 20


def test_a_window_is_described_by_its_frames_share_and_mean_labels():
    source = fakes.source(lengths=(30,), unlabelled={(0, 4)}, faceless={(0, 6), (0, 8)})
    by_first = {sample.numbers[0]: sample for sample in first(source, 9)}
    target = source.labels(0).target
    mean = np.delete(target[0:30:2], [2, 3, 4], axis=0).mean(0)
    assert preview.describe(by_first[0], source.dims) == (
        "t0: frames 0 to 28 in steps of 2, 60% valid, "
        f"mean valence {mean[0]:+.2f}, arousal {mean[1]:+.2f}"
    )
    hidden = fakes.source(lengths=(30,), faceless={(0, frame) for frame in range(30)})
    assert preview.describe(first(hidden)[0], hidden.dims).endswith(", 0% valid")


def test_time_continues_after_the_last_frame():
    sample = first(fakes.source(lengths=(30,)))[0]
    np.testing.assert_allclose(sample.time_s, sample.numbers / 25, rtol=1e-6)


def test_a_seed_shows_the_same_again_and_another_seed_other_windows():
    source = fakes.source()
    one, again, other = first(source), first(source), first(source, seed=4)
    for x, y in zip(one, again, strict=True):
        assert (x.track, x.change) == (y.track, y.change)
        np.testing.assert_array_equal(x.augmented["frames"], y.augmented["frames"])
    assert [x.change for x in one] != [x.change for x in other]
    assert [x.numbers[0] for x in one] != [x.numbers[0] for x in other]


def test_all_windows_are_shown_if_there_are_fewer_than_requested():
    source = fakes.source(lengths=(30,))
    assert sorted(sample.numbers[0] for sample in first(source, 50)) == [0]


@pytest.mark.parametrize(
    ("length", "places"), [(20, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]), (3, [0, 1, 2]), (1, [0])]
)
def test_the_frames_shown_are_the_middles_of_equal_parts(length, places):
    assert preview.shown_columns(length) == places


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("sheet.jpg", {}, r"sheet.jpg.*Use .png"),
        ("absent/sheet.png", {}, r"\S*absent is not a folder"),
        ("there.png", {}, r"there.png.* --overwrite"),
        ("sheet.png", {"data.name": "nothing"}, r"'nothing': not found in .*va_jax build"),
        ("sheet.png", {"data.train": "val"}, r"no split 'val', only dev, test, train"),
        ("sheet.png", {"window.length": 999, "window.remainder": "drop"}, r"window.length=999"),
    ],
)
def test_an_impossible_preview_is_refused_and_nothing_is_written(
    tmp_path, tiny_data, name, overrides, message
):
    (tmp_path / "there.png").write_text("kept")
    with pytest.raises(InputError, match=message):
        preview.write_preview(tiny_config(tiny_data, **overrides), 2, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert (tmp_path / "there.png").read_text() == "kept"


def test_landmarks_that_cannot_be_mirrored_are_not_drawn_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(preview.sources, "stored_landmarks", lambda *_: 7)
    monkeypatch.setattr(preview.sources, "open_split", lambda *a: fakes.source(landmarks=a[3]))
    lines = preview.write_preview(tiny_config("."), 1, tmp_path / "sheet.png")
    assert "set of 7" in lines[-1]
    config = tiny_config(".", **{"augment.flip": False})
    lines = preview.write_preview(config, 1, tmp_path / "sheet.png", overwrite=True)
    assert len(lines) == 1
