"""Decoding: presentation times, upright frames, sizes, and refusals in one line."""

import pathlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from va_jax.types import InputError
from va_jax.video.read import probe, read_frames

MILLISECOND = Fraction(1, 1000)


def write_clip(
    path: pathlib.Path,
    stamps_ms: list[int],
    size: tuple[int, int] = (64, 48),
    rotation: int = 0,
    mirrored: bool = False,
) -> None:
    """Write black frames with a red upper left and a green upper right corner."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.time_base = stream.codec_context.time_base = MILLISECOND
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for stamp in stamps_ms:
            image = np.zeros((height, width, 3), np.uint8)
            image[: height // 3, : width // 3] = 255, 0, 0
            image[: height // 3, -(width // 3) :] = 0, 255, 0
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = stamp, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def corners(image: np.ndarray) -> str:
    """Return the colours of upper left, upper right, lower left, lower right."""
    top, left = image.shape[0] // 8, image.shape[1] // 8
    picked = [image[y, x] for y in (top, -1 - top) for x in (left, -1 - left)]
    return "".join("k" if c.max() < 128 else "rg"[c[:2].argmax()] for c in picked)


def test_times_are_the_presentation_stamps_of_a_variable_rate(tmp_path):
    stamps = [0, 40, 47, 140, 141, 300, 900]
    write_clip(tmp_path / "vfr.mp4", stamps)
    times_s = [time_s for time_s, _ in read_frames(tmp_path / "vfr.mp4")]
    np.testing.assert_allclose(times_s, np.array(stamps) / 1000, atol=1e-9)


def test_the_length_in_its_tag_reveals_a_matroska_file_that_was_cut_off(tmp_path):
    write_clip(tmp_path / "a.mkv", list(range(0, 4000, 40)))
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"truncated after \d+ frames.*header says 4.000 s"):
        list(read_frames(tmp_path / "a.mkv"))


def test_times_count_from_the_start_of_the_stream(tmp_path):
    write_clip(tmp_path / "late.mkv", [5000, 5040, 5080])
    times_s = [time_s for time_s, _ in read_frames(tmp_path / "late.mkv")]
    np.testing.assert_allclose(times_s, [0, 0.04, 0.08], atol=1e-9)


def test_a_raw_stream_without_time_stamps_advances_by_frame_periods(tmp_path):
    with av.open(str(tmp_path / "raw.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(6):
            image = np.zeros((48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    times_s = [time_s for time_s, _ in read_frames(tmp_path / "raw.h264")]
    period_s = 1 / probe(tmp_path / "raw.h264").fps
    np.testing.assert_allclose(times_s, np.arange(6) * period_s, atol=1e-9)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "seen"),
    [
        (0, False, "rgkk"),
        (90, False, "gkrk"),  # a quarter turn against the clock
        (-90, False, "krkg"),
        (180, False, "kkgr"),
        (0, True, "grkk"),  # a front camera: mirrored, not upside down
        (90, True, "kgkr"),
    ],
)
def test_the_display_matrix_is_applied(tmp_path, rotation, mirrored, seen):
    write_clip(tmp_path / "turned.mp4", [0, 40], rotation=rotation, mirrored=mirrored)
    info = probe(tmp_path / "turned.mp4")
    images = [image for _, image in read_frames(tmp_path / "turned.mp4")]
    assert [corners(image) for image in images] == [seen, seen]
    assert images[0].shape == (info.height, info.width, 3)
    assert images[0].flags.c_contiguous


@pytest.mark.parametrize(
    ("max_side", "shape"),
    [(None, (49, 67, 3)), (100, (49, 67, 3)), (33, (24, 33, 3)), (10, (7, 10, 3))],
)
def test_max_side_shrinks_odd_sizes_and_never_enlarges(tmp_path, max_side, shape):
    write_clip(tmp_path / "odd.mp4", [0, 40], size=(67, 49))
    (_, image), *_ = read_frames(tmp_path / "odd.mp4", max_side)
    assert image.shape == shape
    assert corners(image)[:2] == "rg"


def test_probe_returns_size_rate_and_number_of_frames(tmp_path):
    write_clip(tmp_path / "clip.mp4", [40 * n for n in range(50)])
    info = probe(tmp_path / "clip.mp4")
    assert (info.width, info.height, info.frames) == (64, 48, 50)
    assert info.fps == pytest.approx(25, rel=0.01)


def test_real_clips_have_their_known_frames(media):
    for name, frames, fps in (("smile", 72, 30), ("tears_to_laughter", 472, 24000 / 1001)):
        info = probe(media / f"{name}.mp4")
        assert (info.width, info.height, info.frames) == (640, 360, frames)
        assert info.fps == pytest.approx(fps)
    times_s = [time_s for time_s, _ in read_frames(media / "smile.mp4", 64)]
    np.testing.assert_allclose(times_s, np.arange(72) / 30, atol=1e-6)


def audio_only(path: pathlib.Path) -> None:
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def still(path: pathlib.Path) -> None:
    path.write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no such file"),
        (lambda path: path.write_text("frame,valence\n1,0.5\n" * 50), "not a readable video"),
        (lambda path: path.touch(), "not a readable video"),
        (audio_only, "no video stream"),
        (still, "not a video"),
    ],
    ids=["missing", "folder", "text", "empty", "audio", "still"],
)
def test_a_file_that_is_not_a_video_is_refused_in_one_line(tmp_path, make, reason):
    path = tmp_path / "clip.mp4"
    make(path)
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(InputError, match=reason) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def collect_times(path: pathlib.Path, times_s: list[float]) -> None:
    for time_s, _ in read_frames(path, 32):
        times_s.append(time_s)


@pytest.mark.parametrize("overwritten", [False, True])
def test_a_file_broken_in_the_middle_is_refused_with_the_last_good_time(
    tmp_path, media, overwritten
):
    data = (media / "tears_to_laughter.mp4").read_bytes()
    middle = len(data) // 2
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    rest = noise + data[middle + len(noise) :] if overwritten else b""
    (tmp_path / "broken.mp4").write_bytes(data[:middle] + rest)
    times_s = []
    with pytest.raises(InputError, match=r"broken\.mp4: [^\n]+$") as caught:
        collect_times(tmp_path / "broken.mp4", times_s)
    expected = f"after {len(times_s)} frames (last good time {times_s[-1]:.3f} s"
    assert expected in str(caught.value)
    assert 200 < len(times_s) < 240


def test_a_header_without_frames_is_refused(tmp_path):
    with av.open(str(tmp_path / "hollow.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(InputError, match=r"hollow\.avi: (has no frame|not a readable video)"):
            read(tmp_path / "hollow.avi")


def test_max_side_must_be_positive(tmp_path):
    write_clip(tmp_path / "clip.mp4", [0])
    with pytest.raises(InputError, match="max_side=0"):
        next(read_frames(tmp_path / "clip.mp4", 0))
