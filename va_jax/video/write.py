"""Write a video with the time stamps and audio of its source video."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from va_jax.io import replacing
from va_jax.types import InputError
from va_jax.video.container import (
    file_url,
    find_video_stream,
    open_video,
    reason_of,
    start_time,
    to_fraction,
)
from va_jax.video.read import probe

FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
"""File extension -> container format."""

COPIED_SOUND = {
    ".mp4": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"},
    ".mkv": {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus", "pcm_s16le", "vorbis"},
}
"""Audio codecs that players accept in each container; other audio is re-encoded as AAC."""

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""Encoders in order of preference; not every FFmpeg build includes all of them."""

MAX_TICK = Fraction(1, 10000)
"""Coarsest time base; a coarser one is divided, since frames may be `times.MIN_STEP_S` apart."""

MPEG4_TICK = Fraction(1, 60000)
"""Finest round tick that MPEG-4 part 2 allows; it can represent all common frame rates."""

BITS_PER_PIXEL = 0.25
"""Bit rate per pixel for encoders that do not support constant quality (our choice)."""

KEY_FRAME_S = 2
"""Time between key frames, in seconds."""

AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 88200, 96000)


@contextlib.contextmanager
def open_writer(path: pathlib.Path, source: pathlib.Path) -> Iterator["VideoWriter"]:
    """Yield a writer for frames that correspond to `source`; `path` appears if the block succeeds.

    If the block fails, nothing is left behind. Frame times are exact to the tick of the source's
    time base, or to the millisecond in .mkv. The first audio stream of the source stays in sync up
    to the last frame: it is copied packet by packet if players accept it in the container, and
    otherwise re-encoded as AAC. An MP4 can start playing before it is fully downloaded. Memory use
    does not depend on the length of the video.

    Raises:
        InputError: the extension of `path` is not in `FORMATS`, `source` is not a video, or writing
            fails.
    """
    if path.suffix.lower() not in FORMATS:
        endings = " or ".join(FORMATS)
        raise InputError(f"Cannot write '{path}': unsupported extension. Use {endings}.")
    with open_video(source) as container, replacing(path) as temporary:
        stream, start = find_video_stream(container, source), probe(source).start
        writer = VideoWriter(path, temporary, container, stream, start)
        try:
            yield writer
        except BaseException:
            with contextlib.suppress(FFmpegError, OSError):
                writer.close()
            raise
        writer.finish()


@dataclasses.dataclass(frozen=True)
class _Output:
    """The output file and its streams, opened with the first frame."""

    container: OutputContainer
    frames: VideoStream
    tick: Fraction  # seconds
    start: Fraction  # start time of the frames, in seconds
    sound: "_Sound | None"


class VideoWriter:
    """The writer yielded by `open_writer`."""

    def __init__(
        self,
        path: pathlib.Path,
        temporary: pathlib.Path,
        source: InputContainer,
        stream: VideoStream,
        start: Fraction,
    ):
        self._path, self._temporary = path, temporary
        self._source, self._stream, self._start = source, stream, start
        self._output: _Output | None = None
        self._last_tick = -1

    def write(self, time_s: float, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Write the next frame.

        Args:
            time_s: time since the first frame of the source; must increase.
            image: RGB image; all images must have the same, even width and height.
        """
        with self._naming_path():
            output = self._output = self._output or self._open(image.shape[1], image.shape[0])
            time = output.start + Fraction(time_s)
            if output.sound is not None:
                output.sound.write_until(time)
            frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            self._last_tick = max(round(time / output.tick), self._last_tick + 1)
            frame.pts, frame.time_base = self._last_tick, output.tick
            output.container.mux(output.frames.encode(frame))

    def write_remaining_sound(self) -> None:
        """Write the audio after the last frame; do not call this if the source breaks off."""
        if self._output is not None and self._output.sound is not None:
            with self._naming_path():
                self._output.sound.write_until(None)

    def finish(self) -> None:
        """Flush the encoders and close the file."""
        if self._output is not None:
            with self._naming_path():
                self._output.container.mux(self._output.frames.encode())
                if self._output.sound is not None:
                    self._output.sound.flush()
                self._output.container.close()

    def close(self) -> None:
        """Close the file without flushing the encoders."""
        if self._output is not None:
            self._output.container.close()

    @contextlib.contextmanager
    def _naming_path(self) -> Iterator[None]:
        try:
            yield
        except (FFmpegError, OSError) as error:
            raise InputError(
                f"Cannot write {self._path}: {reason_of(error)}. Check the free disk space."
            ) from error

    def _open(self, width: int, height: int) -> _Output:
        suffix = self._path.suffix.lower()
        options = {"movflags": "faststart"} if suffix == ".mp4" else {}
        container = av.open(
            file_url(self._temporary), "w", format=FORMATS[suffix], container_options=options
        )
        frames, tick = _add_video_stream(container, width, height, self._stream)
        zero, sound = self._start, None  # time in the source at which the output starts
        if self._source.streams.audio:
            heard = self._source.streams.audio[0]
            heard_start = start_time(heard)
            if heard_start is not None:
                zero = min(zero, heard_start)
            sound = _Sound(self._source, heard, container, COPIED_SOUND[suffix], zero)
        return _Output(container, frames, tick, self._start - zero, sound)


def _add_video_stream(
    container: OutputContainer, width: int, height: int, source: VideoStream
) -> tuple[VideoStream, Fraction]:
    """Add a stream with the frame rate of `source`; return the stream and its tick in seconds."""
    name: Any = next(name for name in ENCODERS if name in av.codecs_available)
    fps = to_fraction(source.average_rate or Fraction(25))
    stream: VideoStream = container.add_stream(name, rate=fps)
    base = to_fraction(source.time_base or MAX_TICK)
    tick = MPEG4_TICK if name == "mpeg4" else base / -(-base // MAX_TICK)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = tick
    stream.codec_context.gop_size = max(1, round(KEY_FRAME_S * fps))
    if name == "libx264":
        stream.options = {"crf": "20", "preset": "veryfast"}
    else:
        stream.bit_rate = max(200_000, int(width * height * float(fps) * BITS_PER_PIXEL))
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = ColorRange.MPEG
    return stream, tick


class _Sound:
    """Packets from an audio stream, shifted to the output's clock, which starts at `zero`."""

    def __init__(
        self,
        source: InputContainer,
        stream: AudioStream,
        container: OutputContainer,
        copied: set[str],
        zero: Fraction,
    ):
        self._container, self._zero = container, zero
        self._copied = stream.codec.canonical_name in copied
        if self._copied:
            self._stream = container.add_stream_from_template(stream)
        else:
            rate = stream.rate if stream.rate in AAC_RATES else AAC_RATES[0]
            self._stream = container.add_stream("aac", rate=rate)
            self._stream.layout = "mono" if stream.channels == 1 else "stereo"
        self._packets = _timed_packets(source, stream)
        self._next = next(self._packets, None)

    def write_until(self, time: Fraction | None) -> None:
        """Write the packets that start before an output time in seconds, or all if it is None."""
        while (packet := self._next) is not None:
            if time is not None and packet.dts * packet.time_base - self._zero >= time:
                return
            self._write(packet)
            self._next = next(self._packets, None)

    def flush(self) -> None:
        """Flush the encoder."""
        if not self._copied:
            self._container.mux(self._stream.encode())

    def _write(self, packet: Packet) -> None:
        if self._copied:
            assert packet.dts is not None  # see _timed_packets
            shift = round(self._zero / packet.time_base)
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - shift
            packet.dts -= shift
            packet.stream = self._stream
            self._container.mux(packet)
            return
        try:
            frames = packet.decode()
        except FFmpegError:  # skip a broken packet, as players do
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._zero / frame.time_base)
            self._container.mux(self._stream.encode(frame))


def _timed_packets(source: InputContainer, stream: AudioStream) -> Iterator[Any]:
    """Yield the packets that have a time, up to the point at which the file is broken.

    If the times start again, the packets follow the earlier ones without a gap.
    """
    shift, due = 0, None
    with contextlib.suppress(FFmpegError):
        for packet in source.demux(stream):
            if not packet.size or packet.dts is None:
                continue
            if due is not None and packet.dts + shift < due - (packet.duration or 0):
                shift = due - packet.dts
            packet.dts += shift
            packet.pts = None if packet.pts is None else packet.pts + shift
            due = packet.dts + (packet.duration or 1)
            yield packet
