"""Predict a video from Python, as `va_jax predict` does, and write its page."""

import os
import pathlib
import warnings

from va_jax.data.csv_format import reporting_problems
from va_jax.export.model import Model
from va_jax.predict import page, predictor
from va_jax.predict.inputs import InputFile
from va_jax.predict.predictor import TRACKS, Progress
from va_jax.predict.preprocessing import DETECT_EVERY
from va_jax.predict.results import VideoResult
from va_jax.types import InputError


def predict_video(
    model: Model,
    path: str | os.PathLike[str],
    track: str = TRACKS[0],
    every: int = DETECT_EVERY,
    processed: bool = False,
    progress: bool = False,
) -> VideoResult:
    """Find the faces in a video or an image and return the predictions for all of its frames.

        result = predict_video(model, "clip.mp4")
        result.plot()
        pandas.DataFrame(result.table())

    It warns if the values may be less accurate than the scores of the model, and if the video
    breaks off.

    Args:
        model: the network, from `va_jax.load`.
        path: video that FFmpeg can read, or an image.
        track: "largest" for the subject of the video, "all" for every face.
        every: number of frames between two searches for faces, at least 1.
        processed: whether to apply the post-processing that was fitted on dev.
        progress: whether to show a progress bar on standard error.

    Returns:
        The predictions; without a face, they have no tracks.

    Raises:
        InputError: an argument is not legal, the model has no post-processing, the file cannot be
            read, or the network takes landmarks that the detector does not find.
    """
    if track not in TRACKS:
        raise InputError(f"track={track!r}: choose from {', '.join(TRACKS)}")
    if every < 1:
        raise InputError(f"every={every}: expected a whole number of frames, at least 1")
    model.check_processed(processed)
    chosen, notes = predictor.of_model(model, track, every, processed)
    file = pathlib.Path(path)
    video = InputFile(file, file.parent, pathlib.PurePath(file.name)).open()
    with Progress(file.name, progress) as bar:
        result, more = chosen.predict(video, bar)
    if video.broken is not None:
        more.append(f"{video.broken}; the result contains the {len(result.time_s)} frames before")
    for note in notes + more:
        warnings.warn(note, stacklevel=3)  # where `va_jax.predict_video` was called
    return result


def write_page(result: VideoResult, path: str | os.PathLike[str], video: str = "auto") -> None:
    """Write the page of a prediction, which shows the video, the faces and the values in a browser.

        write_page(result, "seen.html")
        IPython.display.IFrame("seen.html", 900, 900)

    Args:
        result: from `predict_video`; its source must still be in its place.
        path: path to the page; an earlier page is replaced.
        video: how the page shows the video, one of `page.VIDEOS` (docs/predict.md).

    Raises:
        InputError: `path` is a file that is not such a page or cannot be written, or the source
            cannot be shown.
    """
    if video not in page.VIDEOS:
        raise InputError(f"video={video!r}: choose from {', '.join(page.VIDEOS)}")
    out, source = pathlib.Path(path), pathlib.Path(result.source)
    if out.exists() and page.source_of(out) is None:
        raise InputError(f"{out} exists and is not a page of va_jax; choose a different path")
    with reporting_problems(out):
        file = InputFile(source, source.parent, pathlib.PurePath(source.stem))
        page.write(out, file, result, video)
