"""Times of difficult streams: B-frames in AVI, restarts, missing and repeated time stamps."""

import collections
import pathlib
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest

from va_jax.types import InputError
from va_jax.video.facts import read_timeline
from va_jax.video.read import probe, read_frames
from va_jax.video.times import Repairs, increasing_times
from va_jax.video.write import open_writer

WIDTH, HEIGHT, FPS, BITS = 128, 96, 25, 8


def paint(number: int) -> np.ndarray:
    """Return a picture with the bits of a number as bright and dark fields."""
    fields = [200 if number >> bit & 1 else 30 for bit in range(BITS)]
    row = np.repeat(np.array(fields, np.uint8), WIDTH // BITS)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def painted(image: np.ndarray) -> int:
    """Return the number in a picture."""
    fields = image[image.shape[0] // 2].mean(-1).reshape(BITS, -1).mean(1)
    return sum(int(field > 115) << bit for bit, field in enumerate(fields))


def encode(
    path: pathlib.Path,
    codec: str,
    numbers: list[int],
    options: dict[str, str] | None = None,
    sound_s: float = 0.0,
    start: int = 0,
) -> pathlib.Path:
    """Write one picture per number, shown at that multiple of the frame period plus `start`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.max_b_frames = int((options or {}).get("bf", 0))
        packets = []
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(paint(number), format="rgb24")
            frame.pts, frame.time_base = number + start, Fraction(1, FPS)
            packets += stream.encode(frame)
        packets += stream.encode()
        if sound_s:
            sound = container.add_stream("mp2", rate=48000)
            silence = np.zeros((1, 1152), np.int16)
            for block in range(round(sound_s * 48000 / 1152)):
                frame = av.AudioFrame.from_ndarray(silence, "s16", "mono")
                frame.rate, frame.pts = 48000, block * 1152
                packets += sound.encode(frame)
            packets += sound.encode()
        for packet in packets:
            container.mux(packet)
    return path


def read(path: pathlib.Path) -> tuple[np.ndarray, list[int]]:
    """Return the times and the painted numbers of all frames; the timeline has the same times."""
    frames = list(read_frames(path))
    times_s = np.array([time_s for time_s, _ in frames])
    np.testing.assert_allclose(read_timeline(path).time_s, times_s, atol=1e-9)
    return times_s, [painted(image) for _, image in frames]


CODECS = [
    ("libx264", {"bf": "2"}),
    ("libx264", {"x264-params": "bframes=8:b-pyramid=normal:b-adapt=0:ref=4"}),
    ("mpeg4", {"bf": "2"}),
    ("mpeg4", {}),
    pytest.param(
        "libxvid", {"bf": "2"},
        marks=pytest.mark.skipif("libxvid" not in av.codecs_available, reason="no libxvid"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["avi", "mkv", "ts", "mp4"])
@pytest.mark.parametrize(("codec", "options"), CODECS)
def test_a_frame_has_the_time_that_is_painted_into_it(tmp_path, suffix, codec, options):
    numbers = [*range(10), *range(13, 30)]
    path = encode(tmp_path / f"a.{suffix}", codec, numbers, options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        times_s, seen = read(path)
    assert seen == numbers
    np.testing.assert_allclose(times_s, np.array(numbers) / FPS, atol=1.1e-3)


def test_packed_b_frames_are_shown_one_period_apart(tmp_path):
    plain = encode(tmp_path / "plain.avi", "mpeg4", [*range(31)], {"bf": "1"})
    with av.open(str(plain)) as source, av.open(str(tmp_path / "packed.avi"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        parts = [bytes(each) for each in source.demux(source.streams.video[0]) if each.size]
        picture = b"\0\0\1\xb6"
        parts[0] = parts[0].replace(picture, b"\0\0\1\xb2DivX503b1393p" + picture, 1)
        placeholder = picture + b"\x50\x4f"  # a picture that is not coded
        pairs = zip(parts[1::2], parts[2::2], strict=True)
        chunks = [parts[0], *(each for one, two in pairs for each in (one + two, placeholder))]
        for index, chunk in enumerate(chunks):
            packet = av.Packet(chunk)
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base = Fraction(1, FPS)
            container.mux(packet)
    times_s, seen = read(tmp_path / "packed.avi")
    assert seen == [*range(31)]
    np.testing.assert_allclose(times_s, np.arange(31) / FPS, atol=1e-9)


def test_joined_streams_follow_one_another(tmp_path):
    one = encode(tmp_path / "one.ts", "libx264", [*range(30)], {"bf": "2"}, sound_s=1.2)
    two = encode(tmp_path / "two.ts", "libx264", [*range(40)], {"bf": "2"}, sound_s=1.6)
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    counts = collections.Counter()
    with pytest.warns(UserWarning, match=r"joined\.ts: .*restarts: 1"):
        frames = list(read_frames(path, tally=counts))
    assert counts["times_repaired"] == 1
    assert [painted(image) for _, image in frames] == [*range(30), *range(40)]
    times_s = [time_s for time_s, _ in frames]
    np.testing.assert_allclose(times_s, np.arange(70) / FPS, atol=1e-6)
    assert read_timeline(path).repairs.restarts == 1
    np.testing.assert_allclose(read_timeline(path).time_s, times_s, atol=1e-9)
    with open_writer(tmp_path / "seen.mp4", path) as writer:
        for time_s, image in frames:
            writer.write(time_s, image)
        writer.write_remaining_sound()
    with av.open(str(tmp_path / "seen.mp4")) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(2.8, abs=0.1)
    np.testing.assert_allclose(
        [t for t, _ in read_frames(tmp_path / "seen.mp4")], times_s, atol=1e-4
    )


def test_a_video_that_starts_after_its_sound_begins_at_0_and_keeps_the_offset(tmp_path):
    path = encode(tmp_path / "late.mkv", "libx264", [*range(20)], sound_s=1.5, start=13)
    counts = collections.Counter()
    with pytest.warns(UserWarning, match=r"late\.mkv: .* 0\.520 s after the sound"):
        times_s = [time_s for time_s, _ in read_frames(path, tally=counts)]
    np.testing.assert_allclose(times_s, np.arange(20) / FPS, atol=1e-3)
    assert counts["after_sound_ms"] == 520
    assert probe(path).after_sound_s == pytest.approx(0.52, abs=1e-3)
    assert read_timeline(path).after_sound_s == pytest.approx(0.52, abs=1e-3)


def test_a_stream_that_was_cut_begins_at_0_with_its_first_complete_picture(tmp_path):
    options = {"bf": "2", "g": "10"}
    whole = encode(tmp_path / "whole.ts", "libx264", [*range(40)], options).read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[len(whole) // 188 // 5 * 188 :])
    times_s, seen = read(tmp_path / "cut.ts")
    assert 0 < seen[0] < 30
    np.testing.assert_allclose(times_s, (np.array(seen) - seen[0]) / FPS, atol=1e-6)


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)])
def test_a_change_of_size_or_pixel_aspect_keeps_the_proportions(tmp_path, aspect):
    size = (64, 64) if aspect == 1 else (WIDTH, HEIGHT)
    first = encode(tmp_path / "one.ts", "mpeg2video", [*range(10)]).read_bytes()
    with av.open(str(tmp_path / "two.ts"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(10, 20):
            white = np.full((size[1], size[0], 3), 235, np.uint8)
            frame = av.VideoFrame.from_ndarray(white, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = tmp_path / "joined.ts"
    path.write_bytes(first + (tmp_path / "two.ts").read_bytes())
    counts = collections.Counter()
    with pytest.warns(UserWarning, match=r"joined\.ts: the frame size changes from 128x96 to"):
        images = [image for _, image in read_frames(path, tally=counts)]
    assert counts["frames_refitted"] in (10, 11)  # an aspect is known when its frame is sent
    assert {image.shape for image in images} == {(HEIGHT, WIDTH, 3)}
    bright = images[-1].mean(-1) > 128
    seen = bright.any(0).sum() / bright.any(1).sum()
    assert seen == pytest.approx(float(aspect * size[0] / size[1]), rel=0.03)


def milliseconds(*stamps: int | None) -> list[Fraction | None]:
    return [None if each is None else Fraction(each, 1000) for each in stamps]


@pytest.mark.parametrize(
    ("stamps", "expected", "repairs"),
    [
        ([0, 40, 80], [0, 40, 80], Repairs()),
        ([500, 540, 1000], [0, 40, 500], Repairs()),
        ([0, 40, 40, 120], [0, 40, 80, 120], Repairs(repeated=1)),
        ([0, 40, 40, 80], [0, 40, 60, 80], Repairs(repeated=1)),
        ([0, 80, 40, 120], [0, 40, 80, 120], Repairs(unsorted=1)),
        ([0, None, None, 120], [0, 40, 80, 120], Repairs(missing=2)),
        ([None, 40, 80, None], [0, 40, 80, 120], Repairs(missing=2)),
        ([None] * 4, [0, 40, 80, 120], Repairs(missing=4)),
        ([*range(0, 800, 40), 0, 40], [*range(0, 880, 40)], Repairs(restarts=1)),
        ([*range(0, 800, 50), 0, 40], [*range(0, 850, 50), 840], Repairs(restarts=1)),
    ],
)
def test_time_stamps_are_repaired_and_counted(stamps, expected, repairs):
    counted = Repairs()
    times_s = list(increasing_times(milliseconds(*stamps), 25.0, counted))
    np.testing.assert_allclose(times_s, np.array(expected) / 1000, atol=1e-9)
    assert counted == repairs


def test_any_time_stamps_give_increasing_times():
    rng = np.random.default_rng(0)
    for _ in range(50):
        stamps = [None if rng.random() < 0.2 else int(each) for each in rng.integers(0, 3000, 40)]
        times_s = list(increasing_times(milliseconds(*stamps), 25.0, Repairs()))
        assert len(times_s) == 40
        assert times_s[0] == 0
        assert (np.diff(times_s) > 0).all()


def test_neither_time_stamps_nor_a_rate_are_refused():
    with pytest.raises(InputError, match="neither time stamps nor a frame rate"):
        list(increasing_times([None, None], None, Repairs()))


@pytest.mark.parametrize("name", ["P01-10:30.mp4", "-y.mp4", "%03d.mp4", "a|b.mp4", "file:c.mp4"])
def test_any_file_name_can_be_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pathlib.Path(name).write_bytes(encode(tmp_path / "a.mp4", "mpeg4", [*range(5)]).read_bytes())
    times_s, seen = read(pathlib.Path(name))
    assert seen == [*range(5)]
    out = pathlib.Path(f"seen-{name}") if name.startswith("file") else pathlib.Path(name[:-1] + "v")
    out = out.with_suffix(".mkv")
    with open_writer(out, pathlib.Path(name)) as writer:
        for time_s in times_s:
            writer.write(time_s, paint(0))
    assert len(read_timeline(out).time_s) == 5
