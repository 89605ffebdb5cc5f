"""The page of a prediction: the video with its faces, and their values over time, in a browser."""

import dataclasses
import gzip
import io
import json
import os
import pathlib
import tempfile
import zlib
from base64 import b64decode
from typing import Any
from urllib.parse import quote

import cv2

from va_jax.data.csv_format import PLAIN, CsvFormat
from va_jax.io import text_cell, write_text
from va_jax.pages.render import encoded, packed, render
from va_jax.predict.drawings import Drawing
from va_jax.predict.inputs import Image, InputFile, Video
from va_jax.predict.results import VideoResult, csv_rows
from va_jax.scoring import predicted
from va_jax.scoring.predicted import Predicted, csv_header
from va_jax.types import DIMS, InputError
from va_jax.video.browser import browser_type
from va_jax.video.read import probe
from va_jax.video.write import open_writer

VIDEOS = ("auto", "embed", "beside", "encode", "none")
"""Ways to show the video in the page; see `docs/predict.md`."""

MOST_EMBEDDED = 50_000_000
"""Size in bytes above which `auto` leaves a video beside the page."""

LARGEST_EMBEDDED = 350_000_000
"""Size in bytes above which browsers cannot hold a video in a page (Chromium: 2^29 characters)."""

ENCODED_SIDE = 960
"""Longest side in pixels of a video that is encoded for the page."""

INDEX = "index.html"
"""Name of the page in a folder that leads to the others."""

TEMPLATE = pathlib.Path(__file__).with_name("page.html")

SCRIPTS = (
    "uplot/uPlot.iife.min.js", "unpack.js", "faces.js", "thin.js", "timeline.js", "plane.js",
    "player.js", "stage.js", "prediction.js",
)  # fmt: skip

FACTS, ROWS, END = b'id="facts">', b'id="rows">', b"</script>"
CHUNK = 1 << 18  # bytes


@dataclasses.dataclass(frozen=True)
class Media:
    """What the page shows above the curves."""

    kind: str  # "video", "image" or "none"
    width: int = 0  # of the picture, in the pixels of the boxes
    height: int = 0
    content: bytes = b""  # of an embedded video or image
    type: str = ""  # media type of an embedded video
    href: str = ""  # relative link to a video beside the page
    problem: str = ""  # shown if the video cannot be played


def drawing(path: pathlib.Path, video: str, csv_format: CsvFormat) -> Drawing:
    """Return how pages are written to a file or into a folder."""

    def write_page(page: pathlib.Path, file: InputFile, result: VideoResult) -> None:
        is_index = page == path or page == path / INDEX  # a video may be called index, too
        index = None if is_index else os.path.relpath(path / INDEX, page.parent)
        write(page, file, result, video, csv_format, index)

    def is_current(page: pathlib.Path) -> bool:
        facts = read_facts(page)
        return facts is not None and facts.get("video") == video

    return Drawing("--page", path, (".html", ".htm"), write_page, source_of, is_current)


def write(
    path: pathlib.Path,
    file: InputFile,
    result: VideoResult,
    video: str = VIDEOS[0],
    csv_format: CsvFormat = PLAIN,
    index: str | None = None,
) -> None:
    """Write the page of a result to `path`, atomically.

    Args:
        path: path to the HTML file.
        file: the source.
        result: predictions for it.
        video: one of `VIDEOS`.
        csv_format: format of the csv file that the page holds and offers for download.
        index: relative path to the page that leads to all others, if there is one.

    Raises:
        InputError: the source cannot be read, or browsers cannot play it and `video` forbids to
            encode it.
    """
    media = _media(path, file, video)
    rows, cell = io.StringIO(newline=""), io.StringIO(newline="")
    csv_format.write_header(rows, csv_header(result.dims))
    csv_format.write_rows(rows, csv_rows(result))
    csv_format.write_rows(cell, [[text_cell(str(result.source))]])
    plane = DIMS if set(DIMS) <= set(result.drawn) else None
    facts = {
        "source": str(result.source),
        "note": result.note,
        "video": video,
        "columns": csv_header(result.dims)[1:],
        "source_cell": cell.getvalue().removesuffix("\n"),
        **dataclasses.asdict(csv_format),
        "csv_name": file.csv.name,
        "dims": result.drawn,
        "plane": plane,
        "width": media.width,
        "height": media.height,
        "video_type": media.type,
        "video_href": media.href,
    }
    context: dict[str, Any] = {
        "title": file.path.name,
        "summary": result.summary(),
        "index": "" if index is None else quote(pathlib.Path(index).as_posix()),
        "note": result.note,
        "media": "'self' file:" if media.href else "blob:",
        "media_kind": media.kind,
        "image": encoded(media.content) if media.kind == "image" else "",
        "video_bytes": encoded(media.content) if media.type else "",
        "problem": media.problem,
        "faces": [track.number for track in result.tracks],
        "dims": result.drawn,
        "plane": plane,
        "several_frames": len(result.time_s) > 1,
        "facts": facts,
        "rows": packed(rows.getvalue().encode()),
    }
    write_text(path, render(TEMPLATE, context, SCRIPTS))


def source_of(path: pathlib.Path) -> str | None:
    """Return the source of a page; None if this command did not write it."""
    facts = read_facts(path)
    return None if facts is None else facts["source"]


def read_facts(path: pathlib.Path) -> dict[str, Any] | None:
    """Return the facts in a page; None if this command did not write it."""
    begin = _begin(path, FACTS)
    if begin is None:
        return None
    try:
        facts = json.loads(begin)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and facts.keys() >= {"source", "note"} else None


def read_rows(path: pathlib.Path) -> Predicted:
    """Return the rows in a page of this command.

    Raises:
        InputError: the page is damaged.
    """
    try:
        text = gzip.decompress(b64decode(_begin(path, ROWS) or b"")).decode()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: the page is damaged ({error}); write it again") from error
    return predicted.parse(path, text)


def _begin(path: pathlib.Path, mark: bytes) -> bytes | None:
    """Return the data block after a mark; None if there is none. The video comes later."""
    try:
        with path.open("rb") as file:
            text = b""
            while chunk := file.read(CHUNK):
                text += chunk
                _, found, block = text.partition(mark)
                if END in block:
                    return block.partition(END)[0]
                if not found and len(text) > CHUNK:
                    return None
    except OSError:
        return None
    return None


def _media(path: pathlib.Path, file: InputFile, video: str) -> Media:
    """Return the frames, faces and values of the source, for the template."""
    if video == "none":
        return Media("none")
    if file.is_image:
        image = Image(file.path)
        _, pixels = next(iter(image))
        content = cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()
        return Media("image", image.width, image.height, content)
    media_type, info = browser_type(file.path), probe(file.path)
    shape = info.width, info.height
    if media_type is None and video in ("embed", "beside"):
        raise InputError(
            f"{file.path}: browsers cannot play this video, so it cannot be shown with "
            f"--page-video={video}; pass encode or none"
        )
    broken = "This browser cannot play the video."
    if video == "encode" or media_type is None:
        content = _encode(file)
        _check_size(file, len(content))
        return Media("video", *shape, content, "video/mp4", problem=broken)
    if video == "embed" or (video == "auto" and file.path.stat().st_size <= MOST_EMBEDDED):
        _check_size(file, file.path.stat().st_size)
        return Media("video", *shape, file.path.read_bytes(), media_type, problem=broken)
    relative = pathlib.Path(os.path.relpath(file.path, path.parent)).as_posix()
    missing = (
        f"The video cannot be played. This page looks for it at {relative}, seen from its own "
        "folder; move it back there, or write the page again."
    )
    return Media("video", *shape, href=quote(relative), problem=missing)


def _check_size(file: InputFile, size: int) -> None:
    if size > LARGEST_EMBEDDED:
        raise InputError(
            f"{file.path}: with {size / 1e6:.0f} MB, the video is too large for a page; pass "
            "--page-video=beside or none"
        )


def _encode(file: InputFile) -> bytes:
    """Return a video as H.264 in MP4, shrunk to `ENCODED_SIDE`, with its times and sound.

    If the source breaks off, the video ends there.
    """
    source = Video(file.path)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "video.mp4")
        with open_writer(path, file.path) as writer:
            for time_s, image in source:
                shares = ENCODED_SIDE / max(*image.shape[:2], ENCODED_SIDE)
                height, width = (max(2, 2 * round(shares * side / 2)) for side in image.shape[:2])
                writer.write(
                    time_s, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
                )
            if source.broken is None:
                writer.write_remaining_sound()
        return path.read_bytes()
