"""The page of a prediction: the video with its faces, and their values over time, in a browser."""

import csv
import dataclasses
import io
import os
import pathlib
import tempfile
from typing import Any
from urllib.parse import quote

import cv2

from va_jax.io import text_cell, write_text
from va_jax.pages.render import encoded, packed, render
from va_jax.predict.inputs import Image, InputFile
from va_jax.predict.results import VideoResult, csv_header, csv_rows
from va_jax.types import DIMS, InputError
from va_jax.video.browser import browser_type
from va_jax.video.read import read_frames
from va_jax.video.write import open_writer

VIDEOS = ("auto", "embed", "beside", "encode", "none")
"""Ways to show the video in the page; see `docs/predict.md`."""

MOST_EMBEDDED = 50_000_000
"""Size in bytes above which `auto` leaves a video beside the page."""

ENCODED_SIDE = 960
"""Longest side in pixels of a video that is encoded for the page."""

SCRIPTS = (
    "uplot/uPlot.iife.min.js", "unpack.js", "faces.js", "thin.js", "timeline.js", "plane.js", "player.js",
    "stage.js", "prediction.js",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Media:
    """What the page shows above the curves."""

    kind: str  # "video", "image" or "none"
    content: bytes = b""  # of an embedded video or image
    type: str = ""  # media type of an embedded video
    href: str = ""  # relative link to a video beside the page
    problem: str = ""  # shown if the video cannot be played


def write(path: pathlib.Path, file: InputFile, result: VideoResult, video: str = "auto") -> None:
    """Write the page for a result to `path`, atomically.

    Args:
        path: path to the HTML file.
        file: the source.
        result: predictions for it.
        video: one of `VIDEOS`.

    Raises:
        InputError: the source cannot be read, or browsers cannot play it and `video` forbids to
            encode it.
    """
    media = _media(path, file, video)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(csv_header(result.dims))
    rows.writerows(csv_rows(result))
    cell = io.StringIO(newline="")
    csv.writer(cell, lineterminator="\n").writerow([text_cell(str(result.source))])
    facts = {
        "columns": csv_header(result.dims)[1:],
        "source_cell": cell.getvalue().removesuffix("\n"),
        "sep": ",",
        "decimal": ".",
        "csv_name": file.csv.name,
        "dims": result.drawn,
        "plane": DIMS if set(DIMS) <= set(result.drawn) else None,
        "width": result.width,
        "height": result.height,
        "video_type": media.type,
        "video_href": media.href,
    }
    context: dict[str, Any] = {
        "title": file.path.name,
        "summary": result.summary(),
        "index": "",
        "note": result.note,
        "media": "'self' file:" if media.href else "blob:",
        "media_kind": media.kind,
        "image": encoded(media.content) if media.kind == "image" else "",
        "video_bytes": encoded(media.content) if media.type else "",
        "problem": media.problem,
        "faces": [track.number for track in result.tracks],
        "dims": result.drawn,
        "plane": facts["plane"],
        "several_frames": len(result.time_s) > 1,
        "facts": facts,
        "rows": packed(text.getvalue().encode()),
    }
    template = pathlib.Path(__file__).parents[1] / "pages" / "prediction.html"
    write_text(path, render(template, context, SCRIPTS))


def _media(path: pathlib.Path, file: InputFile, video: str) -> Media:
    """Return what the page shows of the source."""
    if video == "none":
        return Media("none")
    if file.is_image:
        _, image = next(iter(Image(file.path)))
        return Media("image", cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())
    media_type = browser_type(file.path)
    if media_type is None and video in ("embed", "beside"):
        raise InputError(
            f"{file.path}: browsers cannot play this video, so it cannot be shown with "
            f"--page-video={video}; pass encode or none"
        )
    if video == "encode" or media_type is None:
        return _embedded(_encode(file.path), "video/mp4")
    if video == "embed" or (video == "auto" and file.path.stat().st_size <= MOST_EMBEDDED):
        return _embedded(file.path.read_bytes(), media_type)
    relative = pathlib.Path(os.path.relpath(file.path, path.parent)).as_posix()
    problem = (
        f"The video cannot be played. This page looks for it at {relative}, seen from its own "
        "folder; move it back there, or write the page again."
    )
    return Media("video", href=quote(relative), problem=problem)


def _embedded(content: bytes, media_type: str) -> Media:
    return Media("video", content, media_type, problem="This browser cannot play the video.")


def _encode(source: pathlib.Path) -> bytes:
    """Return the video as H.264 in MP4, shrunk to `ENCODED_SIDE`, with its times and sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "video.mp4")
        with open_writer(path, source) as writer:
            for time_s, image in read_frames(source, ENCODED_SIDE):
                height, width = (max(2, side - side % 2) for side in image.shape[:2])
                writer.write(time_s, cv2.resize(image, (width, height)))
            writer.write_remaining_sound()
        return path.read_bytes()
