"""Run a model on each source and write the results; a failed source does not stop the others."""

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export.metadata import SYNTHETIC_WARNING, is_synthetic
from va_jax.export.model import load
from va_jax.predict import camera, overlay, page_index, preprocessing, search, summary
from va_jax.predict.inputs import InputFile
from va_jax.predict.outputs import Outputs, claim_folder, make_folder
from va_jax.predict.predictor import Predictor, Progress, of_model
from va_jax.predict.resampled import resampled
from va_jax.predict.results import VideoResult, WriteRows, csv_rows, open_csv, side_file
from va_jax.types import InputError

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that would break a message into lines or control the terminal."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """Options for processing a source."""

    track: str = "largest"  # one of predictor.TRACKS
    every: int = preprocessing.DETECT_EVERY  # number of frames between face detections
    processed: bool = False  # whether to apply the fitted post-processing
    seconds: float | None = None  # time after which a camera stops


def predict(folder: str, sources: Sequence[str], outputs: Outputs, choices: Choices) -> bool:
    """Run the model in `folder` on all sources; return whether all of them succeeded.

    Raises:
        InputError: the arguments or the model cannot be used, or an output cannot be written.
    """
    index = search.camera_index(sources)
    if index is not None:
        _predict_camera(folder, index, outputs, choices)
        return True
    if choices.seconds is not None:
        raise InputError(f"--seconds={choices.seconds:g} applies only to a camera; omit it")
    found = search.find(sources, outputs.out)
    for problem in found.problems:
        report("error", problem)
    for line in found.repeated:
        report("skipped", line)
    outputs.check(found.files)
    if not found.files:
        return False
    predictor, facts = load_predictor(folder, choices)
    facts |= outputs.facts()
    side_facts = facts if predictor.note else None
    if side_facts is not None:
        outputs.check_replaceable([side_file(path) for path in outputs.named_csvs(found.files)])
    if outputs.csv is None:
        _prepare_folders(found.files, facts, outputs.overwrite)
    left, complete, problems = _left(found.files, outputs)
    for problem in problems:
        report("error", problem)
    done = predict_files(left, predictor, outputs, side_facts)
    done &= _finish_folders(found.files, complete, predictor.note, outputs)
    return done and not found.problems and not problems


def _finish_folders(
    files: Sequence[InputFile], complete: Sequence[InputFile], note: str, outputs: Outputs
) -> bool:
    """Write what is made from csv files: plots of complete files, and the summaries."""
    problems, warnings = summary.write_all(files, outputs)
    for drawing in outputs.drawings:
        if drawing.is_folder:
            problems += drawing.draw_missing(complete, note, outputs.overwrite)
    if outputs.pages_folder is not None:
        of_index = page_index.write(outputs.pages_folder)
        problems, warnings = problems + of_index[0], warnings + of_index[1]
    for warning in warnings:
        report("warning", warning)
    for problem in problems:
        report("error", problem)
    return not problems


def _draw(file: InputFile, rows: VideoResult, outputs: Outputs) -> int:
    """Make the drawings of a file; report any problems and return their number."""
    problems = 0
    for drawing in outputs.drawings:
        try:
            drawing.draw(file, rows, outputs.overwrite)
        except InputError as error:
            report("error", str(error))
            problems += 1
    return problems


def _prepare_folders(files: Sequence[InputFile], facts: dict[str, Any], overwrite: bool) -> None:
    """Create the folders for results; those for the files in a folder also get a side file."""
    sources: dict[pathlib.Path, set[str]] = {}
    for file in files:
        if file.folder is None:
            make_folder(file.out)
        else:
            sources.setdefault(file.out, set()).add(os.path.realpath(file.folder))
    for out, folders in sources.items():
        claim_folder(out, facts | {"sources": sorted(folders)}, overwrite)


def _left(
    files: Sequence[InputFile], outputs: Outputs
) -> tuple[list[InputFile], list[InputFile], list[str]]:
    """Return the files to predict, those that are complete, and the problems with others."""
    left, complete, problems = [], [], []
    for file in files:
        try:
            if outputs.is_complete(file):
                complete.append(file)
                report("skipped", f"{file.path}: {file.csv} is complete")
            else:
                left.append(file)
        except InputError as error:
            problems.append(str(error))
    return left, complete, problems


def predict_files(
    files: Sequence[InputFile],
    predictor: Predictor,
    outputs: Outputs,
    facts: Mapping[str, Any] | None = None,
) -> bool:
    """Run the predictor on files and write the results; return whether all files succeeded.

    If `facts` are given, they are written to a side file for every csv file, except for files that
    were found in a folder, since its results have a common side file.
    """
    dims, csv_format = predictor.model.dims, outputs.csv_format
    if outputs.csv is None:
        side_facts = [None if file.folder else facts for file in files]
        return all([
            _predict_file(file, open_csv(file.csv, dims, each, csv_format), predictor, outputs)
            for file, each in zip(files, side_facts, strict=True)
        ])  # fmt: skip
    with open_csv(outputs.common_csv, dims, facts, csv_format) as write_rows:
        opened = contextlib.nullcontext(write_rows)
        return all([_predict_file(file, opened, predictor, outputs) for file in files])


def report(kind: str, text: str) -> None:
    """Print a line to standard error, since the csv may go to standard output."""
    line = CONTROL.sub(lambda match: repr(match[0])[1:-1], text)  # also line breaks in file names
    print(f"{kind}: {line}", file=sys.stderr)


def load_predictor(folder: str, choices: Choices) -> tuple[Predictor, dict[str, Any]]:
    """Load the model in `folder`, and print warnings and notes about its values.

    Returns:
        The predictor, and facts about it for the side files.
    """
    model = load(folder)
    metadata = model.metadata
    predictor, warnings = of_model(model, choices.track, choices.every, choices.processed)
    for warning in warnings:
        report("warning", warning)
    note = processing_note(model.post_processing, choices.processed)
    if note is not None:
        report("note", note)
    facts = {
        "model": str(pathlib.Path(folder).resolve()),
        "checkpoint_step": metadata["checkpoint_step"],
        "data_set": metadata["data"]["name"],
        "warning": SYNTHETIC_WARNING if is_synthetic(metadata) else None,
        "track": choices.track,
        "every": choices.every,
        "processed": choices.processed,
        "preprocessing": dataclasses.asdict(predictor.preprocessing),
        "versions": {
            name: importlib.metadata.version(name) for name in ("va_jax", "jax", "flax", "numpy")
        },
    }
    return predictor, facts


def processing_note(fitted: PostProcessing | None, processed: bool) -> str | None:
    """Return a note on the post-processing of the values; None if none was fitted.

    Raises:
        InputError: `processed` is set, but no post-processing was fitted.
    """
    if fitted is None and processed:
        raise InputError(
            "Cannot apply --processed: the model has no post-processing. Fit it with "
            "`va_jax evaluate RUN`, or omit the flag."
        )
    if fitted is None:
        return None
    steps = "; ".join(f"{dim} {words}" for dim, words in fitted.describe().items())
    if processed:
        return f"values are post-processed: {steps}"
    return f"values are raw; pass --processed to apply the steps fitted on dev: {steps}"


def _predict_camera(folder: str, index: int, outputs: Outputs, choices: Choices) -> None:
    drawn = outputs.overlay or outputs.plot or outputs.page
    if drawn or choices.processed or outputs.fps:
        raise InputError(
            f"camera {index}: --overlay, --page, --plot, --processed and --fps require a complete "
            "video; record one, and pass its path instead of the camera"
        )
    csv_files = outputs.named_csvs([])
    outputs.check_replaceable(csv_files)
    with camera.open_camera(index) as capture:
        predictor, facts = load_predictor(folder, choices)
        facts |= outputs.facts()
        if predictor.note:
            outputs.check_replaceable([side_file(path) for path in csv_files])
        side_facts = facts if predictor.note else None
        dims, csv_format = predictor.model.dims, outputs.csv_format
        with open_csv(outputs.common_csv, dims, side_facts, csv_format) as write_rows:
            name = f"camera {index}"
            warning = camera.run(capture, name, predictor, write_rows, choices.seconds)
    if warning is not None:
        report("warning", warning)


def _predict_file(
    file: InputFile,
    csv: contextlib.AbstractContextManager[WriteRows],
    predictor: Predictor,
    outputs: Outputs,
) -> bool:
    """Run the predictor on a file and write its results; return whether it succeeded.

    Raises:
        InputError: the results cannot be written; problems with the source are only reported.
    """
    where = "standard output" if outputs.csv == "-" else outputs.common_csv or file.csv
    try:
        video = file.open()
        with Progress(file.path.name, outputs.progress) as progress:
            result, warnings = predictor.predict(video, progress)
    except InputError as error:
        report("error", str(error))
        return False
    except MemoryError as error:
        report(
            "error", f"{file.path}: not enough memory ({error}); pass a smaller or shorter video"
        )
        return False
    rows = resampled(result, outputs.fps)
    with csv as write_rows:
        write_rows(csv_rows(rows))
    with Progress(file.path.name, outputs.progress) as progress:
        if outputs.overlay is not None:
            progress.stage("overlay", len(result.time_s))
            overlay.write(outputs.overlay, result, progress.advance)
        problems = _draw(file, rows, outputs)
    for warning in warnings:
        report("warning", f"{file.path}: {warning}")
    if video.broken is not None:
        frames = len(result.time_s)
        report("error", f"{video.broken}; {where} contains the {frames} frames before that")
        return False
    if not result.tracks:
        report("error", f"{file.path}: no face found; {where} contains {rows.summary()}")
        return False
    shown = sum(int(track.shown.sum()) for track in rows.tracks)
    share = shown / (len(rows.time_s) * len(rows.tracks))
    visible = f"visible in {share:.1%} of the rows"
    report("done", f"{file.path}: {rows.summary()}, {visible}; written to {where}")
    return not problems
