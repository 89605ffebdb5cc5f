"""Every codec, container and image format gives one row per frame, or is refused in one line."""

import pathlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.predict.predicting import COLOURS, FakeModel, predictor, quiet
from va_jax.predict.inputs import Image, Video
from va_jax.predict.results import VideoResult
from va_jax.types import InputError

FRAMES = 6
BOX = (40, 20, 120, 100)


def picture(width: int = 208, height: int = 128) -> np.ndarray:
    """A red square on black."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = BOX
    image[y1:y2, x1:x2] = COLOURS[0]
    return image


def encode(
    path: pathlib.Path, codec: str, pixels: str = "yuv420p", container: str | None = None,
    frames: int = FRAMES, size: tuple[int, int] = (208, 128), options: dict[str, str] | None = None,
) -> pathlib.Path:  # fmt: skip
    """A still video of 25 frames a second; `options` are those of the container."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    with av.open(str(path), "w", format=container, container_options=options or {}) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(*size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def predict(pictures: Video | Image) -> VideoResult:
    return predictor(FakeModel()).predict(pictures, quiet())[0]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {"codec": "libx264"}),
        ("odd.mp4", {"codec": "libx264", "pixels": "yuv444p", "size": (209, 129)}),
        ("ten bits.mp4", {"codec": "libx264", "pixels": "yuv420p10le"}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("no length.mkv", {"codec": "libx264", "options": {"live": "1"}}),
        ("a.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}),
        ("a.mpg", {"codec": "mpeg2video"}),
        ("a.mov", {"codec": "prores_ks", "pixels": "yuv422p10le"}),
        ("hevc.mp4", {"codec": "libx265"}),
        ("ünï ☃ [x] *.ts", {"codec": "mpeg2video"}),
    ],
)
def test_any_codec_and_container_gives_a_row_for_every_frame(tmp_path, name, how):
    result = predict(Video(encode(tmp_path / name, **how)))
    np.testing.assert_allclose(result.time_s, np.arange(FRAMES) / 25, atol=2e-3)
    (track,) = result.tracks
    assert track.shown.all()
    np.testing.assert_allclose(track.boxes, np.tile(BOX, (FRAMES, 1)), atol=3)
    np.testing.assert_allclose(track.values, np.tile([1, 0], (FRAMES, 1)), atol=0.1)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_of_one_or_two_frames_has_its_face(tmp_path, frames):
    result = predict(Video(encode(tmp_path / "a.mp4", "libx264", frames=frames)))
    assert result.tracks[0].shown.tolist() == [True] * frames


def test_frames_that_change_their_size_are_scaled_to_the_first_one(tmp_path):
    large = encode(tmp_path / "1.h264", "libx264", container="h264").read_bytes()
    twice = encode(tmp_path / "2.h264", "libx264", container="h264", size=(416, 256)).read_bytes()
    (tmp_path / "a.h264").write_bytes(large + twice)
    result = predict(Video(tmp_path / "a.h264"))
    assert (len(result.time_s), result.width, result.height) == (2 * FRAMES, 208, 128)
    np.testing.assert_allclose(result.tracks[0].boxes[0], BOX, atol=3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "16.png"])
def test_an_image_of_any_format_is_one_frame(tmp_path, name):
    content = picture()[..., ::-1]
    cv2.imwrite(str(tmp_path / name), content.astype(np.uint16) * 257 if "16" in name else content)
    (track,) = predict(Image(tmp_path / name)).tracks
    np.testing.assert_allclose(track.boxes, [BOX], atol=3)
    np.testing.assert_allclose(track.values, [[1, 0]], atol=0.1)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images_are_read_as_colours(tmp_path, channels):
    content = np.full((32, 48, channels), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), content)
    ((_, image),) = Image(tmp_path / "a.png")
    assert image.shape == (32, 48, 3)
    assert (image == 200).all()


def test_files_with_a_wrong_suffix_are_refused(tmp_path):
    sound, image = tmp_path / "sound.mp4", tmp_path / "image.mp4"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(InputError, match=r"sound.mp4: has no video stream"):
        Video(sound)
    cv2.imwrite(str(tmp_path / "a.jpg"), picture())
    (tmp_path / "a.jpg").rename(image)
    with pytest.raises(InputError, match=r"image.mp4: not a video"):
        Video(image)
    encode(tmp_path / "a.mp4", "libx264").rename(tmp_path / "video.png")
    with pytest.raises(InputError, match=r"video.png: not a readable image"):
        Image(tmp_path / "video.png")


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_half_of_a_short_video_is_reported_as_broken_off(tmp_path, name):
    path = encode(tmp_path / name, "mjpeg", "yuvj420p", frames=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = Video(path)
    assert 10 < len(predict(video).time_s) < 25
    assert "last good time" in str(video.broken)
