"""A folder of difficult videos in one command: each is right or has its line, and none changes."""

import csv
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from va_jax.predict.selftest import PUBLISHED
from va_jax.video.read import read_frames

FRAMES = 10
EVEN = np.arange(FRAMES) * 0.04
UNEVEN = np.array([0, 0.04, 0.12, 0.13, 0.2, 0.36, 0.4, 0.6, 0.61, 0.7])
MPEG = {"codec": "mpeg2video"}


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Frames of the published clip that show a face, RGB."""
    return [image for _, image in read_frames(PUBLISHED / "clip.mp4")][:FRAMES]


def encode(
    path: pathlib.Path,
    images: list[np.ndarray],
    times_s: np.ndarray = EVEN,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int = 0,
    **options: str,
) -> None:
    """Write frames; `options` are those of the encoder."""
    tick = Fraction(1, 100)
    if path.suffix == ".avi" or codec in ("mpeg4", "mpeg2video"):
        tick = Fraction(1, 25)
    with av.open(os.fsencode(path).decode(errors="surrogateescape"), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.options = pixels, options
        stream.time_base = stream.codec_context.time_base = tick
        if rotation:
            stream.set_display_rotation(rotation)
        for image, time_s in zip(images, times_s, strict=False):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round(time_s / tick), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def sound_only(path: pathlib.Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        samples = np.zeros((2, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


def huge_png() -> bytes:
    """A PNG file of 60000 x 60000 black pixels; its data end early."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9999)))


RIGHT: dict[str, tuple[Callable, np.ndarray]] = {
    "plain.mp4": (encode, EVEN),
    "b_frames.avi": (lambda p, x: encode(p, x, codec="mpeg4", bf="2"), EVEN),
    "b_frames_x264.avi": (lambda p, x: encode(p, x, bf="2"), EVEN),
    "b_frames.mp4": (lambda p, x: encode(p, x, bf="3"), EVEN),
    "slow.mp4": (lambda p, x: encode(p, x, np.arange(FRAMES) * 2.0), np.arange(FRAMES) * 2.0),
    "uneven.mkv": (lambda p, x: encode(p, x, UNEVEN, bf="0"), UNEVEN),
    "P01-10:30.mp4": (encode, EVEN),
    "x" * 245 + ".mp4": (encode, EVEN),
    "UPPER.MP4": (encode, EVEN),
    "-dash.mp4": (encode, EVEN),
    "100%d.mp4": (encode, EVEN),
    "=1+1.mp4": (encode, EVEN),
    "Zoë 日本 ☃.mp4": (encode, EVEN),
    "two\nlines.mp4": (encode, EVEN),
    "odd.mp4": (lambda p, x: encode(p, [y[:-1, :-1] for y in x], pixels="yuv444p"), EVEN),
    "turned.mp4": (lambda p, x: encode(p, [np.rot90(y, -1) for y in x], rotation=90), EVEN),
    "one.mp4": (lambda p, x: encode(p, x[:1]), EVEN[:1]),
    "grey.mkv": (lambda p, x: encode(p, x, codec="ffv1", pixels="gray"), EVEN),
    "ten_bits.mp4": (lambda p, x: encode(p, x, pixels="yuv420p10le"), EVEN),
    "labelled.mp4": (encode, EVEN),
    "same.mov": (encode, EVEN),
    "same.mp4": (encode, EVEN),
    "deep/a/b.mpg": (lambda p, x: encode(p, x, **MPEG), EVEN),
}
"""Videos to predict: how each is written, and the times of its frames."""

LINES: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    os.fsdecode(b"n\xff.mp4"): (lambda path: path.write_bytes(b"any"), "UTF-8"),
    "y" * 252 + ".ts": (lambda path: path.write_bytes(b"any"), "too long"),
    "dangling.mp4": (lambda path: path.symlink_to("nowhere"), "nowhere"),
    "empty.mp4": (pathlib.Path.touch, "empty.mp4"),
    "text.mp4": (lambda path: path.write_text("no video\n" * 99), "text.mp4"),
    "noise.mp4": (lambda path: path.write_bytes(bytes(range(256)) * 9), "noise.mp4"),
    "sound.mp4": (sound_only, "no video stream"),
    "picture.mp4": (lambda path: path.write_bytes(huge_png()), "picture.mp4"),
    "huge.png": (lambda path: path.write_bytes(huge_png()), "huge.png"),
    "pipe.mp4": (os.mkfifo, "regular"),
}
"""Files that cannot be predicted: how each is written, and a word of its line."""


def hashes(folder: pathlib.Path) -> dict[str, str]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif path.is_file():
            status = path.stat()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = f"{content} {status.st_mtime_ns} {status.st_mode}"
        else:
            found[str(path)] = ""
    return found


@pytest.fixture(scope="module")
def predicted(tmp_path_factory, faces):
    """The folder, what the command printed, and its results."""
    top = tmp_path_factory.mktemp("difficult")
    clips = top / "clips"
    for name, (write, _) in RIGHT.items():
        (clips / name).parent.mkdir(parents=True, exist_ok=True)
        write(clips / name, faces)
    for name, (write, _) in LINES.items():
        write(clips / name)
    (clips / "labelled.csv").write_text("time_s,valence\n0,0.1\n")
    encode(clips / "restart.ts", faces, **MPEG)
    (clips / "restart.ts").write_bytes(2 * (clips / "restart.ts").read_bytes())
    encode(clips / "cut.mkv", [image for image in faces for _ in range(20)], np.arange(200) * 0.04)
    data = (clips / "cut.mkv").read_bytes()
    (clips / "cut.mkv").write_bytes(data[: len(data) // 2])
    encode(clips / "nobody.mp4", [np.zeros((96, 128, 3), np.uint8)] * FRAMES)
    encode(clips / ".hidden.mp4", faces)
    (top / "far").mkdir()
    encode(top / "far" / "c.mp4", faces)
    (clips / "linked").symlink_to(top / "far")
    (clips / "link.mp4").symlink_to("plain.mp4")
    (clips / "loop").symlink_to(".")
    before = hashes(clips)
    done = subprocess.run(
        [sys.executable, "-m", "va_jax", "predict", str(PUBLISHED / "model"), "clips",
         "clips/huge.png", "--no-progress"],
        cwd=top, env=os.environ | {"PYTHONPATH": str(PUBLISHED.parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert hashes(clips) == before  # in it, also the csv of the user
    assert sorted(os.listdir(top)) == ["clips", "clips_predictions", "far"]
    assert done.returncode == 1, done.stderr
    return top / "clips_predictions", done.stderr.splitlines()


def table(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_of(folder: pathlib.Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a video, found by the column `source`."""
    for path in folder.rglob("*.csv"):
        rows = table(path)
        if path.name == "summary.csv":
            continue
        if rows[0]["source"] == f"clips/{name}":
            return rows
    raise AssertionError(f"no rows of {name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RIGHT, "linked/c.mp4"])
def test_a_video_has_a_row_for_every_frame_at_its_time_with_its_face(predicted, name):
    folder, lines = predicted
    rows, times_s = rows_of(folder, name), RIGHT.get(name, (encode, EVEN))[1]
    np.testing.assert_allclose([float(row["time_s"]) for row in rows], times_s, atol=2e-3)
    assert [row["valid"] for row in rows] == ["1"] * len(times_s)
    plain = rows_of(folder, "plain.mp4")
    for key in "xywh":
        assert float(rows[0][key]) == pytest.approx(float(plain[0][key]), abs=6)
    assert not [line for line in lines if line.startswith(f"error: clips/{name}:")]


@pytest.mark.slow
def test_two_joined_streams_are_one_after_the_other(predicted):
    folder, lines = predicted
    times_s = [float(row["time_s"]) for row in rows_of(folder, "restart.ts")]
    np.testing.assert_allclose(times_s, np.arange(2 * FRAMES) * 0.04, atol=5e-3)
    assert [line for line in lines if line.startswith("warning: clips/restart.ts: ")]


@pytest.mark.slow
def test_a_video_that_breaks_off_has_rows_up_to_there_and_one_without_a_face_has_empty_ones(
    predicted,
):
    folder, lines = predicted
    assert 20 < len(rows_of(folder, "cut.mkv")) < 180
    assert {row["valid"] for row in rows_of(folder, "nobody.mp4")} == {"0"}
    for name in ("cut.mkv", "nobody.mp4"):
        assert len([x for x in lines if x.startswith(f"error: clips/{name}: ")]) == 1


@pytest.mark.slow
def test_everything_else_is_one_line(predicted):
    _, lines = predicted
    errors = [line for line in lines if line.startswith("error: ")]
    for name, (_, word) in LINES.items():
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        shown = shown.replace("\\xff", "\\udcff")
        (line,) = (line for line in errors if line.startswith(f"error: clips/{shown}: "))
        assert word in line
    assert len(errors) == len(LINES) + 2
    kinds = {line.split(":")[0] for line in lines}
    assert kinds <= {"error", "warning", "note", "done", "skipped"}
    skipped = [line for line in lines if line.startswith("skipped: ")]
    assert skipped == [
        "skipped: clips/loop: the same folder as clips",
        "skipped: clips/link.mp4: the same file as clips/plain.mp4",
    ]


@pytest.mark.slow
def test_only_csv_files_and_one_side_file_were_written(predicted):
    folder, _ = predicted
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert len(names) == len(RIGHT) + 6
    assert [name for name in names if not name.endswith(".csv")] == ["predict.json"]
