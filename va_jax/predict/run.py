"""Predict source after source and write the results; one that fails does not stop the others."""

import contextlib
import dataclasses
import importlib.metadata
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax import faces
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export.metadata import SYNTHETIC_WARNING, is_synthetic
from va_jax.export.model import load
from va_jax.predict import camera, inputs, overlay, plot, preprocessing
from va_jax.predict.inputs import InputFile
from va_jax.predict.outputs import Outputs, claim_folder, make_folder
from va_jax.predict.predictor import Predictor, Progress
from va_jax.predict.results import CsvWriter, VideoResult, csv_rows
from va_jax.types import InputError

SYNTHETIC_NOTE = "trained on drawings: values are not meaningful"


@dataclasses.dataclass(frozen=True)
class Choices:
    """How a source is predicted."""

    track: str = "largest"  # one of predictor.TRACKS
    every: int = preprocessing.DETECT_EVERY  # frames from one face detection to the next
    processed: bool = False  # whether to apply the fitted post-processing
    seconds: float | None = None  # a camera stops after this time


def predict(folder: str, sources: Sequence[str], outputs: Outputs, choices: Choices) -> bool:
    """Predict all sources with the model in `folder`; return whether all of them succeeded.

    Raises:
        InputError: nothing can be predicted at all; no file has been written.
    """
    index = inputs.camera_index(sources)
    if index is not None:
        _predict_camera(folder, index, outputs, choices)
        return True
    if choices.seconds is not None:
        raise InputError(f"--seconds={choices.seconds:g} applies to a camera only; leave it out")
    files, problems = inputs.find(sources)
    for problem in problems:
        report("error", problem)
    outputs.check(files)
    if not files:
        return False
    predictor, facts = load_predictor(folder, choices)
    side_facts = None
    if outputs.csv is None and any(file.searched for file in files):
        claim_folder(outputs.out, facts, outputs.overwrite)
    elif predictor.note and outputs.csv != "-":
        outputs.check_side_files(files)
        side_facts = facts
    left = []
    for file in files:
        if outputs.is_complete(file):
            report("skipped", f"{file.path}: {outputs.csv_of(file)} is complete")
        else:
            left.append(file)
    return predict_files(left, predictor, outputs, side_facts) and not problems


def predict_files(
    files: Sequence[InputFile],
    predictor: Predictor,
    outputs: Outputs,
    facts: Mapping[str, Any] | None = None,
) -> bool:
    """Predict files and write their results; return whether all succeeded.

    Every csv file gets a side file with `facts`, if they are given.
    """
    dims = predictor.model.dims
    if outputs.csv is None:
        make_folder(outputs.out)
        return all([
            _predict_file(file, CsvWriter(outputs.csv_of(file), dims, facts), predictor, outputs)
            for file in files
        ])  # fmt: skip
    with CsvWriter(outputs.common_csv, dims, facts) as writer:
        opened = contextlib.nullcontext(writer)
        return all([_predict_file(file, opened, predictor, outputs) for file in files])


def report(kind: str, text: str) -> None:
    """Print a line on standard error: standard output may be the csv."""
    print(f"{kind}: {text}", file=sys.stderr)


def load_predictor(folder: str, choices: Choices) -> tuple[Predictor, dict[str, Any]]:
    """Load the model in `folder` and print what a user should know about its values.

    Returns:
        The predictor, and the facts about it that side files hold.
    """
    model = load(folder)
    metadata = model.metadata
    settings, warnings = preprocessing.from_metadata(metadata)
    synthetic = is_synthetic(metadata)
    for warning in [SYNTHETIC_WARNING] * synthetic + warnings:
        report("warning", warning)
    note = timing_note(model.post_processing, choices.processed)
    if note is not None:
        report("note", note)
    predictor = Predictor(
        model,
        settings,
        faces.Detector(min_face=preprocessing.MIN_FACE),
        choices.track,
        choices.every,
        choices.processed,
        SYNTHETIC_NOTE if synthetic else "",
    )
    facts = {
        "model": str(pathlib.Path(folder).resolve()),
        "checkpoint_step": metadata["checkpoint_step"],
        "data_set": metadata["data"]["name"],
        "warning": SYNTHETIC_WARNING if synthetic else None,
        "track": choices.track,
        "every": choices.every,
        "processed": choices.processed,
        "preprocessing": dataclasses.asdict(settings),
        "versions": {
            name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax", "numpy")
        },
    }
    return predictor, facts


def timing_note(chain: PostProcessing | None, processed: bool) -> str | None:
    """Return a sentence about the lag between values and labels; None if none was measured.

    Args:
        chain: the model's post-processing.
        processed: whether it is applied to the values.

    Raises:
        InputError: values are to be processed, but no post-processing was fitted.
    """
    if chain is None:
        if processed:
            raise InputError(
                "Cannot apply --processed: the model has no post-processing. Fit it with "
                "`va_jax evaluate RUN`, or leave the flag out."
            )
        return None
    lags_s = {
        dim: step.constants["lag_s"]
        for dim, steps in chain.steps.items()
        for step in steps
        if step.kept and step.name == "lag" and step.constants["lag_s"]
    }
    if processed:
        steps = "; ".join(f"{dim} {words}" for dim, words in chain.describe().items())
        moved = [
            f"; a value of {dim} belongs to the face {-lag_s:.2f} s earlier, as the labels did"
            for dim, lag_s in lags_s.items()
            if lag_s < 0
        ]
        return f"values are post-processed: {steps}{''.join(moved)}"
    if not lags_s:
        return "values are raw; no lag between predictions and labels was found on dev"
    lags = ", ".join(
        f"{dim} {abs(lag_s):.2f} s {'later' if lag_s > 0 else 'earlier'} than its labels"
        for dim, lag_s in lags_s.items()
    )
    return f"values are raw; lags measured on dev: {lags}; --processed corrects them"


def _predict_camera(folder: str, index: int, outputs: Outputs, choices: Choices) -> None:
    camera.check(outputs.overlay or outputs.plot, choices.processed)
    path = outputs.common_csv
    outputs.check_replaceable([] if path is None else [path])
    with camera.opened(index) as capture:
        predictor, facts = load_predictor(folder, choices)
        if predictor.note:
            outputs.check_side_files([])
        writer = CsvWriter(path, predictor.model.dims, facts if predictor.note else None)
        warning = camera.run(capture, f"camera {index}", predictor, writer, choices.seconds)
    if warning is not None:
        report("warning", warning)


def _predict_file(
    file: InputFile,
    csv: contextlib.AbstractContextManager[CsvWriter],
    predictor: Predictor,
    outputs: Outputs,
) -> bool:
    """Predict one file and write its results; return whether it succeeded.

    Raises:
        InputError: results cannot be written, which is not the fault of the source.
    """
    where = "standard output" if outputs.csv == "-" else outputs.common_csv or outputs.csv_of(file)
    try:
        before = _state(file.path)
        video = file.open()
        with Progress(file.path.name, outputs.progress) as progress:
            result, warnings = predictor.predict(video, progress)
        if _state(file.path) != before:
            raise InputError(f"{file.path}: changed while it was read; predict it again")
    except InputError as error:
        report("error", str(error))
        return False
    with csv as writer:
        writer.add(csv_rows(result))
    with Progress(file.path.name, outputs.progress) as progress:
        _draw(result, outputs, progress)
    for warning in warnings:
        report("warning", f"{file.path}: {warning}")
    if video.broken is not None:
        frames = len(result.time_s)
        report("error", f"{video.broken}; {where} holds the {frames} frames before that")
        return False
    if not result.tracks:
        report("error", f"{file.path}: no face found; {where} holds {result.summary()}")
        return False
    shown = sum(int(track.shown.sum()) for track in result.tracks)
    share = shown / (len(result.time_s) * len(result.tracks))
    report("done", f"{file.path}: {result.summary()}, shown in {share:.1%} of the rows -> {where}")
    return True


def _draw(result: VideoResult, outputs: Outputs, progress: Progress) -> None:
    if outputs.overlay is not None:
        progress.stage("overlay", len(result.time_s))
        overlay.write(outputs.overlay, result, progress.advance)
    if outputs.plot is not None:
        plot.write(outputs.plot, result)


def _state(path: pathlib.Path) -> tuple[int, int] | None:
    """Return numbers that change when the file is written to; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
