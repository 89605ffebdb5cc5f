"""The overlay: time stamps, sound, and where boxes, values, traces and the note are drawn."""

import contextlib
import dataclasses
import itertools
import pathlib
import resource
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import ImageColor

from va_jax.predict import overlay
from va_jax.predict.overlay import COLOURS, Drawing
from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.types import DIMS, InputError
from va_jax.video import write
from va_jax.video.read import read_frames
from va_jax.video.write import open_writer

RATE = 16000
BLUE = ImageColor.getrgb(COLOURS[0])


def sound(seconds: float, click_s: float) -> np.ndarray:
    """Silence with a short loud tone that begins at `click_s`."""
    out = np.zeros((1, round(seconds * RATE)), np.int16)
    start = round(click_s * RATE)
    tone = 2e4 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 10) / RATE)
    out[0, start : start + len(tone)] = tone.astype(np.int16)
    return out


def write_clip(
    path: pathlib.Path, stamps_ms, size=(64, 48), rotation=0, codec="libx264", heard=None,
    heard_from_s=0.0,
) -> list[float]:  # fmt: skip
    """A grey clip with those times; `heard` is the codec of a sound with a click after 0.3 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        if codec == "libx264":
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        if heard:
            track = container.add_stream(heard, rate=RATE)
            track.layout = "mono"
        packets = []
        for count, stamp in enumerate(stamps_ms):
            image = np.full((*size[::-1], 3), 90, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            if codec != "libx264":
                frame.pts, frame.time_base = count, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode()
        if heard:
            seconds = max(1.2, stamps_ms[-1] / 1000) if codec == "libx264" else 1.2
            samples = sound(seconds, 0.3)
            for start in range(0, samples.shape[1], 640):
                part = np.ascontiguousarray(samples[:, start : start + 640])
                frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = round(heard_from_s * RATE) + start
                packets += track.encode(frame)
            packets += track.encode()
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return [time_s for time_s, _ in read_frames(path)]


def result(
    source, time_s, boxes=((10, 8, 30, 28),), dims=DIMS, shown=None, size=(64, 48)
) -> VideoResult:
    """Tracks with constant boxes and values 0.5, -0.5, 0.5, ..."""
    frames = len(time_s)
    values = np.tile(np.resize([0.5, -0.5], len(dims)), (frames, 1)).astype(np.float32)
    seen = np.ones(frames, bool) if shown is None else np.array(shown)
    tracks = [
        TrackResult(
            n,
            seen,
            np.tile(np.array(box, np.float32), (frames, 1)),
            seen.astype(np.float32),
            values,
        )
        for n, box in enumerate(boxes)
    ]
    return VideoResult(source, np.array(time_s, np.float64), tracks, dims, *size)


def overlaid(tmp_path, source, time_s, name="out.mp4", size=(64, 48)) -> pathlib.Path:
    overlay.write(tmp_path / name, result(source, time_s, size=size))
    return tmp_path / name


def packets(path: pathlib.Path) -> list[tuple[float, bytes]]:
    """Of the sound: time from the start of the pictures, and content."""
    with av.open(str(path)) as container:
        start = container.streams.video[0].start_time * container.streams.video[0].time_base
        return [
            (float(packet.pts * packet.time_base - start), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def click_s(path: pathlib.Path) -> float:
    """When the tone is heard, from the start of the pictures."""
    with av.open(str(path)) as container:
        start = container.streams.video[0].start_time * container.streams.video[0].time_base
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64)).max(0)
            if frame.format.name.startswith("s16"):
                samples = samples / 2**15
            loud = np.flatnonzero(samples > 0.2)
            if len(loud):
                return float(frame.pts * frame.time_base - start) + loud[0] / frame.sample_rate
    raise AssertionError("silent")


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("variable.mp4", {"stamps_ms": [0, 40, 47, 140, 141, 300, 900]}),
        ("late.mkv", {"stamps_ms": [5000, 5033, 5067, 5100]}),
        ("coarse.avi", {"stamps_ms": range(6), "codec": "mpeg4"}),
        ("odd.mp4", {"stamps_ms": [0, 40, 80], "size": (67, 49)}),
        ("turned.mp4", {"stamps_ms": [0, 40, 80], "size": (64, 36), "rotation": 90}),
        ("stream.ts", {"stamps_ms": [0, 40, 80], "heard": "aac"}),
    ],
)
def test_every_frame_keeps_the_time_it_has_in_the_source(tmp_path, name, look):
    times_s = write_clip(tmp_path / name, **look)
    frames = list(read_frames(overlaid(tmp_path, tmp_path / name, times_s)))
    np.testing.assert_allclose([time_s for time_s, _ in frames], times_s, atol=1e-9)


def test_a_turned_video_stands_upright_above_the_panel(tmp_path):
    times_s = write_clip(tmp_path / "in.mp4", [0, 40], size=(96, 48), rotation=90)
    (_, image), *_ = read_frames(overlaid(tmp_path, tmp_path / "in.mp4", times_s, size=(48, 96)))
    picture = image[: 96 * 5, : 48 * 5]  # 480 pixels are the least for the longer side
    assert np.median(np.abs(picture.astype(int) - 90)) < 4
    assert image[-1].mean() < 40


@pytest.mark.parametrize(
    ("name", "codec"), [("in.mp4", "aac"), ("in.ts", "aac"), ("in.mkv", "flac")]
)
def test_sound_that_players_take_is_copied_packet_by_packet_and_in_step(tmp_path, name, codec):
    times_s = write_clip(tmp_path / name, range(100, 1200, 40), heard=codec, heard_from_s=0.05)
    out = overlaid(tmp_path, tmp_path / name, times_s)
    before, after = packets(tmp_path / name), packets(out)
    if name.endswith(".ts"):  # there each packet begins with a header of 7 bytes
        before = [(time_s, content[7:]) for time_s, content in before]
    assert [content for _, content in after] == [content for _, content in before]
    np.testing.assert_allclose([t for t, _ in after], [t for t, _ in before], atol=1.1e-3)


def test_sound_continues_after_the_last_picture_of_a_variable_frame_rate(tmp_path):
    stamps_ms = [0, 40, 47, 140, 141, 300, 350]
    times_s = write_clip(tmp_path / "in.mkv", stamps_ms, size=(67, 49), heard="aac")
    out = overlaid(tmp_path, tmp_path / "in.mkv", times_s, "out.mkv")
    np.testing.assert_allclose([time_s for time_s, _ in read_frames(out)], times_s, atol=1e-6)
    assert packets(out)[-1][0] > 1.1
    assert packets(out) == packets(tmp_path / "in.mkv")


def test_other_sound_becomes_aac_and_stays_in_step(tmp_path):
    times_s = write_clip(tmp_path / "in.mkv", range(0, 1200, 40), heard="pcm_s16le")
    out = overlaid(tmp_path, tmp_path / "in.mkv", times_s)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec.canonical_name == "aac"
    assert click_s(tmp_path / "in.mkv") == pytest.approx(0.3, abs=1e-3)
    assert click_s(out) == pytest.approx(0.3, abs=0.01)


def test_sound_that_begins_before_the_pictures_stays_in_step(tmp_path):
    times_s = write_clip(tmp_path / "in.mkv", range(200, 1200, 40), heard="pcm_s16le")
    for name in ("out.mp4", "out.mkv"):
        out = overlaid(tmp_path, tmp_path / "in.mkv", times_s, name)
        assert click_s(out) == pytest.approx(0.1, abs=0.01)


def test_an_mp4_has_its_index_before_its_content(tmp_path):
    times_s = write_clip(tmp_path / "in.mp4", [0, 40])
    content = overlaid(tmp_path, tmp_path / "in.mp4", times_s).read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_colours_come_back_as_they_were(tmp_path):
    write_clip(tmp_path / "in.mp4", [0, 40])
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (200, 40, 40), (40, 200, 40), (40, 40, 200)
    with open_writer(tmp_path / "out.mp4", tmp_path / "in.mp4") as writer:
        writer.write(0.0, image)
    ((_, seen),) = read_frames(tmp_path / "out.mp4")
    np.testing.assert_allclose(seen[32, [16, 48, 80]], image[32, [16, 48, 80]], atol=6)


@pytest.mark.parametrize("encoder", write.ENCODERS)
def test_any_encoder_keeps_the_times(tmp_path, monkeypatch, encoder):
    if encoder not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {encoder}")
    monkeypatch.setattr(write, "ENCODERS", (encoder,))
    times_s = write_clip(tmp_path / "in.mp4", [0, 40, 47, 140, 300])
    frames = list(read_frames(overlaid(tmp_path, tmp_path / "in.mp4", times_s)))
    np.testing.assert_allclose([time_s for time_s, _ in frames], times_s, atol=1 / 60000)


def cut(path: pathlib.Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_a_source_that_breaks_off_gives_the_frames_before(tmp_path):
    write_clip(tmp_path / "in.mkv", range(0, 3000, 40), heard="pcm_s16le")
    cut(tmp_path / "in.mkv", 0.5)
    times_s = []
    with contextlib.suppress(InputError):
        times_s.extend(time_s for time_s, _ in read_frames(tmp_path / "in.mkv"))
    assert 20 < len(times_s) < 50
    frames = list(read_frames(overlaid(tmp_path, tmp_path / "in.mkv", times_s)))
    np.testing.assert_allclose([time_s for time_s, _ in frames], times_s, atol=1e-9)
    assert packets(tmp_path / "out.mp4")[-1][0] == pytest.approx(times_s[-1], abs=0.5)


def test_a_failure_midway_keeps_the_old_file(tmp_path, monkeypatch):
    times_s = write_clip(tmp_path / "in.mp4", range(0, 400, 40))
    (tmp_path / "out.mp4").write_text("old")
    monkeypatch.setattr(Drawing, "draw", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        overlay.write(tmp_path / "out.mp4", result(tmp_path / "in.mp4", times_s))
    assert (tmp_path / "out.mp4").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_image_gives_an_image_without_a_panel(tmp_path):
    image = np.full((480, 640, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), image)
    predicted = result(tmp_path / "in.png", [0.0], boxes=[(100, 200, 300, 400)], size=(640, 480))
    overlay.write(tmp_path / "out.png", predicted)
    seen = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_COLOR_RGB)
    assert seen.shape == image.shape
    np.testing.assert_array_equal(seen[300, 100], BLUE)


PICTURE = np.full((480, 640, 3), 255, np.uint8)


def drawn(predicted: VideoResult, frame: int = 0) -> np.ndarray:
    """The frame of a result for a white picture, which is drawn on."""
    large = dataclasses.replace(predicted, width=640, height=480)
    return Drawing(large).draw(PICTURE, frame)


def test_the_box_is_where_the_face_is_and_in_the_colour_of_its_track():
    boxes = [(100, 150, 200, 260), (400, 150, 520, 260)]
    image = drawn(result("", [0, 0.04], boxes))
    for (x1, y1, x2, y2), name in zip(boxes, COLOURS, strict=False):
        colour = ImageColor.getrgb(name)
        for x, y in ((x1, 200), (x2, 200), (150 + x1 - 100, y1), (x1 + 50, y2)):
            np.testing.assert_array_equal(image[y, x], colour)
        assert (image[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8] == 255).all()


def test_nothing_is_drawn_on_the_picture_where_a_face_is_not_shown():
    predicted = result("", [0, 0.04, 0.08], [(100, 150, 200, 260)], shown=[True, False, True])
    assert (drawn(predicted, 1)[:480] == PICTURE).all()
    assert not (drawn(predicted, 2)[:480] == PICTURE).all()


def test_the_label_shows_the_values_of_the_frame_above_the_face():
    predicted = result("", [0, 0.04, 0.08], [(100, 150, 200, 260)])
    predicted.tracks[0].values[2] = 0.25
    first, second, other = (drawn(predicted, frame)[:480] for frame in range(3))
    np.testing.assert_array_equal(first, second)
    y, x = np.nonzero((other != first).any(-1))
    assert 0 < len(x) < 3000
    assert y.max() < 150
    assert x.min() > 100


def test_a_label_is_whole_wherever_the_box_is():
    """Far outside, so that the label is all that is seen of a track."""
    areas = set()
    for x, y in itertools.product((-900, 250, 1500), repeat=2):
        if (x, y) != (250, 250):
            image = drawn(result("", [0, 0.04], [(x, y, x + 60, y + 60)]))[:480]
            areas.add(int((image != 255).any(-1).sum()))
    assert len(areas) == 1
    assert areas.pop() > 1000


def coloured(image: np.ndarray, colour) -> np.ndarray:
    return (np.abs(image.astype(int) - colour) < 12).all(-1)


def test_traces_have_gaps_where_a_face_is_not_shown_and_reach_back_ten_seconds():
    time_s = np.arange(401) / 20  # 20 s
    shown = np.ones(401, bool)
    shown[301:341] = False  # 15.05 to 17 s, the second half of what is seen at the end
    predicted = result("", time_s, [(100, 150, 200, 260)], shown=shown)
    panel = drawn(predicted, 400)[480:]
    plane = panel.shape[1] - panel.shape[0]  # the plane is right of this
    columns = np.flatnonzero(coloured(panel[:, :plane], BLUE).any(0))
    (gap,) = np.flatnonzero(np.diff(columns) > 3)
    length = columns[-1] - columns[0]
    assert (columns[gap] - columns[0]) / length == pytest.approx(0.5, abs=0.02)
    assert (columns[gap + 1] - columns[0]) / length == pytest.approx(0.705, abs=0.02)


def test_the_point_lies_in_the_plane_at_its_values_and_is_gone_without_a_face():
    predicted = result("", [0, 0.04, 0.08], shown=[True, True, False])
    panel = drawn(predicted, 1)[480:]
    side = panel.shape[0]
    y, x = np.nonzero(coloured(panel[:, -side:], BLUE))
    other = result("", [0, 0.04, 0.08])
    other.tracks[0].values[:] = -other.tracks[0].values
    y_opposite, x_opposite = np.nonzero(coloured(drawn(other, 1)[480:][:, -side:], BLUE))
    assert x.mean() > x_opposite.mean() + 0.25 * side  # valence 0.5 is right of -0.5
    assert y.mean() > y_opposite.mean() + 0.25 * side  # arousal -0.5 is below 0.5
    assert not coloured(drawn(predicted, 2)[480:][:, -side:], BLUE).any()


def test_values_beyond_the_range_stay_within_the_panel():
    predicted = result("", [0, 0.04])
    predicted.tracks[0].values[:] = 3.0
    picture = drawn(predicted, 1)[:40]
    np.testing.assert_array_equal(picture[:, 320:], PICTURE[:40, 320:])


@pytest.mark.parametrize("size", [(16, 12), (160, 120), (181, 321), (90, 1200), (1000, 20)])
@pytest.mark.parametrize("dims", [("arousal",), ("a", "b", "c", "d", "e", "f", "g"), DIMS])
def test_any_size_and_any_dimensions_can_be_drawn(size, dims):
    predicted = result(
        "", [0, 0.04, 0.08], dims=dims, boxes=[(1, 1, 9, 9), (5, 2, 14, 11)], size=size
    )
    drawing = Drawing(predicted)
    image = drawing.draw(np.zeros((*size[::-1], 3), np.uint8), 2)
    assert image.shape == (*drawing.size[::-1], 3)
    assert not any(side % 2 for side in drawing.size)


def test_a_source_without_faces_is_written_too(tmp_path):
    times_s = write_clip(tmp_path / "in.mp4", [0, 40])
    overlay.write(tmp_path / "out.mp4", result(tmp_path / "in.mp4", times_s, boxes=()))
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    for frames in (200, 1400):
        times_s = write_clip(tmp_path / f"{frames}.mp4", range(0, 40 * frames, 40), heard="aac")
        overlaid(tmp_path, tmp_path / f"{frames}.mp4", times_s, f"out{frames}.mp4")
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if frames == 200:
            before_mib = peak_mib
    assert peak_mib - before_mib < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smile", "no_face"])
def test_real_clips_keep_their_times_and_their_sound(tmp_path, media, name):
    times_s = [time_s for time_s, _ in read_frames(media / f"{name}.mp4", 64)]
    out = overlaid(tmp_path, media / f"{name}.mp4", times_s)
    np.testing.assert_allclose([time_s for time_s, _ in read_frames(out, 64)], times_s, atol=1e-9)
    assert packets(out) == packets(media / f"{name}.mp4")


@pytest.mark.parametrize("times_s", [[0, 0.04], [0]])
def test_a_note_is_written_below_the_picture_and_covers_nothing(times_s):
    plain = result("", times_s, [(100, 150, 200, 260)])
    noted = dataclasses.replace(plain, note="values are not meaningful")
    without, image = drawn(plain), drawn(noted)
    added = image.shape[0] - without.shape[0]
    np.testing.assert_array_equal(image[:480], without[:480])
    np.testing.assert_array_equal(image[480 + added :], without[480:])
    assert coloured(image[480 : 480 + added], ImageColor.getrgb(overlay.WARNING)).sum() > 50
