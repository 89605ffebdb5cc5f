"""Whether web browsers can play a video file."""

import pathlib

from va_jax.video.container import find_video_stream, open_video

TYPES = {
    "mp4": (
        "video/mp4",
        {"h264", "av1", "vp9"},
        {"aac", "mp3", "opus", "flac"},
    ),
    "webm": (
        "video/webm",
        {"vp8", "vp9", "av1"},
        {"opus", "vorbis"},
    ),
}
"""Container -> its media type, and the video and sound codecs that all current browsers play."""

PIXELS = {"yuv420p", "yuvj420p"}
"""Pixel formats that all current browsers play."""


def browser_type(path: pathlib.Path) -> str | None:
    """Return the media type of a video for a page; None if some current browser cannot play it.

    Raises:
        InputError: the file is missing or is not a video.
    """
    with open_video(path) as container:
        stream = find_video_stream(container, path)
        names = container.format.name.split(",")  # such as mov,mp4,m4a and matroska,webm
        name = "webm" if "webm" in names and path.suffix.lower() == ".webm" else "mp4"
        if name not in names:
            return None
        media_type, pictures, sounds = TYPES[name]
        plays = stream.codec.canonical_name in pictures and stream.pix_fmt in PIXELS
        heard = {each.codec.canonical_name for each in container.streams.audio[:1]}
        return media_type if plays and heard <= sounds else None
