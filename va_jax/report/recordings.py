"""The recordings of a split for the page: their curves, their faces, and what the list shows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import simplejpeg

from va_jax.pages.columns import pack_columns
from va_jax.pages.render import encoded
from va_jax.report import tables
from va_jax.types import LABEL_RANGE, Trace, natural_key

SUMMARY = ("ccc", "rmse")
"""Metrics to show for individual recordings."""

WORST, WORST_S = 5, 2.0
"""Number of worst recordings to show, and the minimum number of scored seconds for a recording to
be among them."""

STRIP_SIDE = 72
"""Side of the faces in a film strip, in pixels."""

MOST_FACES = 4400
"""Number of faces in all film strips; it keeps a page of 200 long recordings below 25 MB."""

FEWEST_FACES, FACES_PER_S, LONGEST_STRIP = 8, 2.0, 400
"""Number of faces in a film strip: at least, per second of the recording, and at most."""

MINUS, UNKNOWN = "\N{MINUS SIGN}", "\N{EN DASH}"

Faces = Callable[[str, int, np.ndarray], Sequence[bytes]]
"""Function of (split, index of the trace in it, frame numbers) that returns JPEG bytes for each
frame, or b"" if it has no face."""


def panels(
    dims: Sequence[str], traces: Sequence[Trace], rmse: Sequence[float], processed: bool
) -> list[dict[str, Any]]:
    """Return the panels of the page's curves, one per dimension.

    The columns are those of `columns`: the times, whether a frame is scored, and for each dimension
    the prediction, the label and, if there are any, the spread between the raters and the
    post-processed prediction.
    """
    spread, each = _has_spread(traces), 2 + _has_spread(traces) + processed
    result = []
    for number, dim in enumerate(dims):
        first = 2 + each * number
        width: Any = first + 2 if spread else {"constant": rmse[number]}
        curves: list[dict[str, Any]] = [
            {"name": "spread", "around": first + 1, "width": width, "colour": "band"},
            {"name": "label", "column": first + 1, "colour": "label"},
            {"name": "prediction", "column": first, "colour": "dim-1"},
        ]
        if processed:
            last = {"column": first + each - 1, "colour": "dim-0", "dash": [6, 4]}
            curves.append({"name": "processed", **last})
        result.append({"name": dim, "curves": curves})
    return result


def columns(trace: Trace, spread: bool, processed: np.ndarray | None) -> list[np.ndarray]:
    """Return the columns of a recording, in the order that `panels` describes."""
    out = [trace.time_s, trace.mask]
    for dim in range(trace.pred.shape[1]):
        out += [trace.pred[:, dim], trace.target[:, dim]]
        if spread:
            unknown = np.full(len(trace.pred), np.nan)
            out.append(unknown if trace.spread is None else trace.spread[:, dim])
        if processed is not None:
            out.append(processed[:, dim])
    return out


def recordings(
    name: str,
    traces: Sequence[Trace],
    processed: Sequence[np.ndarray] | None,
    scores: Mapping[str, Mapping[str, Any]],
    dims: Sequence[str],
    faces: Faces | None,
) -> list[dict[str, Any]]:
    """Return the scores, curves and faces of each recording in a split, ordered by track id.

    Args:
        name: name of the split.
        traces: its traces.
        processed: post-processed predictions [frames, dims] for each trace, or None.
        scores: scores by track id and dimension; a recording that is not scored has none.
        dims: names of the dimensions.
        faces: see `Faces`; None if frames are not stored.
    """
    order = sorted(enumerate(traces), key=lambda pair: natural_key(pair[1].track.track_id))
    spread, result = _has_spread(traces), []
    for place, (index, trace) in enumerate(order, 1):
        track_id = trace.track.track_id
        own = scores.get(track_id, {})
        summaries = {
            dim: ", ".join(f"{metric.upper()} {format_score(row[metric])}" for metric in SUMMARY)
            for dim, row in own.items()
        }
        packed = pack_columns(
            columns(trace, spread, None if processed is None else processed[index])
        )
        result.append({
            "anchor": f"trace-{place}", "block": f"data-{place}", "strip": f"strip-{place}",
            "track_id": track_id, "group": trace.track.group,
            "seconds": len(trace.pred) / trace.track.fps, "frames": len(trace.pred),
            "fps": trace.track.fps, "scored": int(trace.mask.sum()), "scores": own,
            "titles": [f"{dim}: {summaries.get(dim, 'not scored')}" for dim in dims],
            "columns": packed, **_film_strip(name, index, trace, len(traces), faces),
        })  # fmt: skip
    return result


def facts(
    shown: Sequence[Mapping[str, Any]], panels: Sequence[Any], hidden: int | None = None
) -> dict[str, Any]:
    """Return the panels and the data blocks of the recordings, for recording.js.

    Args:
        shown: the recordings; those with `titles` or `faces` have their own.
        panels: a panel for each dimension.
        hidden: the column that is 0 where a frame is not scored, if there is one.
    """
    recordings = {each["block"]: {"titles": each.get("titles")} for each in shown}
    for each in shown:
        if each.get("faces"):
            strip = {"block": each["strip"], "side": STRIP_SIDE, "times": each["face_times"]}
            recordings[each["block"]]["strip"] = strip
    return {"panels": panels, "range": LABEL_RANGE, "hidden": hidden, "recordings": recordings}


def worst(shown: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the recordings with the lowest CCC, averaged over dimensions."""
    long = [each for each in shown if each["scored"] / each["fps"] >= WORST_S]
    long.sort(key=lambda each: np.mean([row["ccc"] for row in each["scores"].values()]))
    return long[:WORST]


def format_score(value: float | None) -> str:
    """Format a score for a page: with a true minus sign, and a dash if it is not known."""
    return UNKNOWN if value is None else tables.format_score(value).replace("-", MINUS)


def _has_spread(traces: Sequence[Trace]) -> bool:
    return any(trace.spread is not None for trace in traces)


def _film_strip(
    name: str, index: int, trace: Trace, recordings: int, faces: Faces | None
) -> dict[str, Any]:
    """Return the film strip of a recording as a single JPEG in base64, and the times of its faces.

    A frame without a face is grey. If there is no face at all, the strip is empty.
    """
    seconds = len(trace.pred) / trace.track.fps
    share = max(FEWEST_FACES, MOST_FACES // recordings)
    count = int(min(max(FEWEST_FACES, FACES_PER_S * seconds), share, LONGEST_STRIP))
    frames = np.unique(np.linspace(0, len(trace.pred) - 1, count).round().astype(int))
    jpegs = faces(name, index, frames) if faces else []
    if not any(jpegs):
        return {"faces": "", "face_times": []}
    tiles = [_tile(jpeg) for jpeg in jpegs]
    content = cv2.imencode(".jpg", np.hstack(tiles), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    times = np.round(trace.time_s[frames].astype(float), 3).tolist()
    return {"faces": encoded(content.tobytes()), "face_times": times}


def _tile(jpeg: bytes) -> np.ndarray:
    """Return a face as a square BGR image of `STRIP_SIDE` pixels."""
    if not jpeg:
        return np.full((STRIP_SIDE, STRIP_SIDE, 3), 128, np.uint8)
    image = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
    return cv2.resize(image, (STRIP_SIDE, STRIP_SIDE), interpolation=cv2.INTER_AREA)
