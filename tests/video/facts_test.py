"""The facts that are read without decoding a video agree with its decoded frames."""

import numpy as np
import pytest

from tests.tfds_builders.layouts import picture, write_video
from tests.video.read_test import write_clip
from va_jax.types import InputError
from va_jax.video.facts import mean_fps, read_key_frames, read_timeline
from va_jax.video.read import read_frames


def test_the_timeline_has_the_times_of_the_decoded_frames(tmp_path):
    write_clip(tmp_path / "uneven.mp4", [0, 40, 47, 140, 141, 300, 900])
    write_video(tmp_path / "even.avi", 30, fps=30)
    for name in ("uneven.mp4", "even.avi"):
        decoded = [time_s for time_s, _ in read_frames(tmp_path / name)]
        np.testing.assert_allclose(read_timeline(tmp_path / name).time_s, decoded, atol=1e-9)


def test_real_clips_have_their_known_frames_and_constant_rates(media):
    for name, frames in (("smile.mp4", 72), ("tears_to_laughter.mp4", 472), ("no_face.mp4", 95)):
        facts = read_timeline(media / name)
        assert len(facts.time_s) == frames
        assert not facts.variable
        assert facts.cut_off_s is None


def test_the_mean_rate_counts_the_periods_between_frames():
    assert mean_fps([0.0, 0.1, 0.2, 0.5]) == 6
    assert mean_fps(np.arange(72) / 30) == 30
    assert mean_fps(np.float32([0, 0.04])) == pytest.approx(25)
    assert mean_fps([1.0]) is None
    assert mean_fps([1.0, 1.0]) is None


def test_the_rate_is_the_mean_and_unknown_for_a_single_frame(tmp_path):
    assert read_timeline(write_video(tmp_path / "a.mp4", 10, fps=20)).fps == 20
    assert read_timeline(write_video(tmp_path / "b.mp4", 1)).fps is None


@pytest.mark.parametrize(
    ("steps_ms", "variable"),
    [
        ([40] * 30, False),
        ([33, 33, 34] * 10, False),
        ([40] * 29 + [80], False),
        ([20, 60] * 15, True),
    ],
)
def test_a_rate_varies_when_many_frame_periods_differ(tmp_path, steps_ms, variable):
    write_clip(tmp_path / "a.mp4", [0, *np.cumsum(steps_ms).tolist()])
    assert read_timeline(tmp_path / "a.mp4").variable == variable


def test_an_avi_that_was_cut_off_has_the_length_in_its_header(tmp_path):
    path = write_video(tmp_path / "a.avi", 0, numbers=np.arange(150) % 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert read_timeline(path).cut_off_s == 6
    with pytest.raises(
        InputError, match=r"a\.avi: the file is truncated after .* header says 6\.000 s"
    ):
        list(read_frames(path))


def test_key_frames_are_frames_of_the_video_and_come_once(tmp_path):
    path = write_video(tmp_path / "a.mp4", 0, numbers=np.arange(50))
    images = list(read_key_frames(path, 4))
    numbers = [round(image[..., 0].mean() / 4) for image in images]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 1
    for number, image in zip(numbers, images, strict=True):
        assert np.abs(image.astype(float) - picture(number, 64, 48)).mean() < 5
    assert next(read_key_frames(path, 1, max_side=32)).shape == (24, 32, 3)


def test_a_file_that_is_not_a_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 99)
    for call in (read_timeline, lambda path: list(read_key_frames(path, 2))):
        with pytest.raises(InputError, match=r"a\.mp4: not a readable video"):
            call(tmp_path / "a.mp4")
