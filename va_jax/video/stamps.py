"""Read the time stamps of the frames in a stream, in seconds on the clock of the file."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from va_jax.video.container import header_fps, is_avi, time_base
from va_jax.video.times import WINDOW, Stamp


def frame_stamps(stream: VideoStream, frames: Iterable[VideoFrame]) -> Iterator[Stamp]:
    """Yield the time stamp of each decoded frame.

    AVI stores no presentation times, and FFmpeg's guesses are wrong for some codecs. Instead, use
    the decoding time of the packet that completes a frame, which is later by a constant. The frames
    that follow the last packet are one frame period apart.
    """
    avi, fps, last, presented = is_avi(stream), header_fps(stream), None, False
    for frame in frames:
        presented = presented or (frame.pts is not None and not avi)
        ticks = frame.pts if presented else frame.dts
        if ticks is not None:
            last = ticks * time_base(frame)
        else:
            last = last + 1 / Fraction(fps) if avi and fps and last is not None else None
        yield last


def packet_stamps(container: InputContainer, stream: VideoStream) -> list[Stamp]:
    """Return the time stamps of all frames, in the order of decoding; decode only the first frame.

    They equal the time stamps from `frame_stamps`.
    """
    first, fed = None, 0  # the first frame, and the number of packets that the decoder needed
    stamps: list[tuple[int | None, int | None]] = []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:  # an edit list discards packets
            stamps.append((packet.pts, packet.dts))
        if first is None:
            first, fed = next(iter(packet.decode()), None), len(stamps)
    if first is None:
        return []
    delayed = is_avi(stream) or all(pts is None for pts, _ in stamps)
    ticks = [dts if delayed else pts for pts, dts in stamps]
    start = first.dts if delayed else first.pts
    early = {  # packets that precede a delayed frame, or that cannot be decoded after a cut
        index
        for index, tick in enumerate(ticks[: fed + WINDOW])
        if start is not None and tick is not None and tick < start
    }
    base, fps = time_base(stream), header_fps(stream)
    kept = [
        None if tick is None else tick * base
        for index, tick in enumerate(ticks)
        if index not in early
    ]
    for _ in early if delayed else ():
        last = kept[-1]
        kept.append(last + 1 / Fraction(fps) if last is not None and fps else None)
    return kept
