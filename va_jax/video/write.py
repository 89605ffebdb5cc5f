"""Pictures encoded as a video with the time stamps, and beside the sound, of another."""

import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from va_jax.types import InputError
from va_jax.video import read

FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
"""Ending of a file -> its container."""

SOUNDS = {
    ".mp4": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"},
    ".mkv": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus", "pcm_s16le", "vorbis"},
}
"""What players take in that container; any other sound becomes AAC."""

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""The first one that this build of FFmpeg has is taken."""

FINEST = Fraction(1, 10000)
"""Of a coarser time base of the source a part is taken: frames may be `LEAST_STEP_S` apart."""

MPEG4_TICK = Fraction(1, 60000)
"""The finest round tick of MPEG-4 part 2; it holds the times of all usual frame rates."""

BITS_PER_PIXEL = 0.25
"""Where the encoder has no constant quality (ours)."""

SOUND_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 88200, 96000)


class VideoWriter:
    """Writes `path`, whole or not at all, from pictures made of the frames of `source`.

    To be used in `with`; an error inside leaves nothing behind. The pictures keep the times given,
    to the tick of the source's time base (of a millisecond in .mkv). The first sound of the source
    goes along as far as the pictures do, in step with them as it is there: packet by packet where
    players take it in that container, else as AAC. An MP4 plays before all of it has arrived.
    Memory does not grow with the length.

    Raises InputError where the ending is not in `FORMATS`, and where writing fails.
    """

    def __init__(self, path: pathlib.Path, source: pathlib.Path):
        if path.suffix.lower() not in FORMATS:
            raise InputError(f"{path}: no video ends so; give it {' or '.join(FORMATS)}")
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._source = read.opened(source)
        self._shown = read.video_stream(self._source, source)
        self._out: Any = None  # opened by the first picture, which tells the size
        self._pictures: Any = None
        self._sound: _Sound | None = None
        self._last_tick: int | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, time_s: float, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """The next picture, at `time_s` from the start of the source's pictures.

        Sides must be even and the same for all pictures; times must increase.
        """
        try:
            if self._out is None:
                self._open(*image.shape[1::-1])
            if self._sound is not None:
                self._sound.advance(self._start + Fraction(time_s))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            tick = round((self._start + Fraction(time_s)) / self._tick)
            if self._last_tick is not None:
                tick = max(tick, self._last_tick + 1)
            frame.pts, frame.time_base, self._last_tick = tick, self._tick, tick
            self._out.mux(self._pictures.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def rest_of_sound(self) -> None:
        """What the source sounds after its last picture; not wanted where the source broke off."""
        if self._sound is not None:
            try:
                self._sound.advance(None)
            except (av.FFmpegError, OSError) as error:
                raise self._failed(error) from error

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if self._out is not None:
                if kind is None:
                    self._out.mux(self._pictures.encode())
                    if self._sound is not None:
                        self._sound.flush()
                self._out.close()
                if kind is None:
                    os.replace(self._temporary, self._path)
        except (av.FFmpegError, OSError) as error:
            if kind is None:
                raise self._failed(error) from error
        finally:
            self._source.close()
            self._temporary.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        suffix = self._path.suffix.lower()
        options = {"movflags": "faststart"} if suffix == ".mp4" else {}
        self._out = av.open(
            str(self._temporary), "w", format=FORMATS[suffix], container_options=options
        )
        name = next(name for name in ENCODERS if name in av.codecs_available)
        fps = self._shown.average_rate or Fraction(25)
        self._pictures = stream = self._out.add_stream(name, rate=fps)
        base = self._shown.time_base or FINEST
        self._tick = MPEG4_TICK if name == "mpeg4" else base / -(-base // FINEST)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._tick
        stream.codec_context.gop_size = max(1, round(2 * fps))  # seconds between places to jump to
        if name == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        else:
            stream.bit_rate = max(200_000, int(width * height * float(fps) * BITS_PER_PIXEL))
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = ColorRange.MPEG
        start = Fraction(0)
        if self._shown.start_time is not None:
            start = self._shown.start_time * self._shown.time_base
        zero = start
        if self._source.streams.audio:
            heard = self._source.streams.audio[0]
            if heard.start_time is not None and self._shown.start_time is not None:
                zero = min(zero, heard.start_time * heard.time_base)
            self._sound = _Sound(self._source, heard, self._out, SOUNDS[suffix], zero)
        self._start = start - zero

    def _failed(self, error: Exception) -> InputError:
        return InputError(
            f"{self._path}: cannot be written ({getattr(error, 'strerror', None) or error}); "
            "is there room on the disk?"
        )


class _Sound:
    """The packets of a stream of sound, moved to the clock of the output: `zero` is its start."""

    def __init__(self, source: Any, stream: Any, out: Any, taken: set[str], zero: Fraction):
        self._out, self._zero = out, zero
        self._copied = stream.codec.canonical_name in taken
        if self._copied:
            self._stream = out.add_stream_from_template(stream)
        else:
            rate = stream.rate if stream.rate in SOUND_RATES else SOUND_RATES[0]
            self._stream = out.add_stream("aac", rate=rate)
            self._stream.layout = "mono" if stream.channels == 1 else "stereo"
        self._packets = _whole(source.demux(stream))
        self._next = next(self._packets, None)

    def advance(self, until_s: Fraction | None) -> None:
        """Write what starts before that time of the output; None: all."""
        while (packet := self._next) is not None:
            time_s = packet.dts * packet.time_base - self._zero
            if until_s is not None and time_s >= until_s:
                return
            self._write(packet)
            self._next = next(self._packets, None)

    def flush(self) -> None:
        """The end of what is encoded; nothing where packets are copied."""
        if not self._copied:
            self._out.mux(self._stream.encode())

    def _write(self, packet: Any) -> None:
        if self._copied:
            shift = round(self._zero / packet.time_base)
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - shift
            packet.dts -= shift
            packet.stream = self._stream
            self._out.mux(packet)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:  # a broken packet is a gap, as players have it
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._zero / frame.time_base)
            self._out.mux(self._stream.encode(frame))


def _whole(packets: Iterator[Any]) -> Iterator[Any]:
    """The packets that have a time, up to where the file breaks."""
    try:
        for packet in packets:
            if packet.size and packet.dts is not None:
                yield packet
    except av.FFmpegError:
        return
