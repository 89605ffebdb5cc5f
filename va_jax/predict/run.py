"""Source after source predicted and written, each by itself: one that fails leaves the others."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from va_jax import faces
from va_jax.export.model import Model, load
from va_jax.predict import camera, inputs, overlay, plot, preprocessing, resuming, timing
from va_jax.predict.inputs import Item
from va_jax.predict.pictures import Image, Video
from va_jax.predict.progress import Progress
from va_jax.predict.results import VideoResult
from va_jax.predict.rows import Table, make_folder, rows
from va_jax.predict.source import Predictor
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where results go: a csv for each source in `out`, or all in one `csv`."""

    out: pathlib.Path
    csv: str | None = None  # a file, - for standard output
    overlay: pathlib.Path | None = None
    plot: pathlib.Path | None = None
    overwrite: bool = False
    progress: bool = True

    def of(self, item: Item) -> pathlib.Path:
        """The csv of a source that has one of its own."""
        return self.out / item.name.with_name(f"{item.name.name}.csv")


@dataclasses.dataclass(frozen=True)
class Choices:
    """How a source is predicted."""

    which: str = "largest"  # one of following.TRACKS
    every: int = preprocessing.DETECT_EVERY
    processed: bool = False
    seconds: float | None = None  # of a camera


def predict(folder: str, sources: Sequence[str], outputs: Outputs, choices: Choices) -> bool:
    """Predict all sources with the model in `folder`; whether all of them went well.

    Raises InputError where nothing can be done at all, before any file is written.
    """
    index = inputs.camera(sources)
    if index is not None:
        camera.check(outputs.overlay or outputs.plot, choices.processed)
        path = None if outputs.csv in (None, "-") else pathlib.Path(outputs.csv)
        _refuse_existing([] if path is None else [path], outputs)
        with camera.opened(index) as capture:
            predictor = _predictor(folder, choices)
            slow = camera.run(capture, f"camera {index}", predictor, path, choices.seconds)
        if slow is not None:
            say("warning", slow)
        return True
    if choices.seconds is not None:
        raise InputError(f"--seconds={choices.seconds:g} is of a camera; leave it out")
    items, problems = inputs.items(sources)
    for problem in problems:
        say("error", problem)
    _check(items, outputs)
    if not items:
        return False
    predictor = _predictor(folder, choices)
    if outputs.csv is None and any(item.searched for item in items):
        settings = {
            "model": str(pathlib.Path(folder).resolve()),
            "checkpoint_step": predictor.model.passport["checkpoint_step"],
            "track": choices.which,
            "every": choices.every,
            "processed": choices.processed,
        }
        resuming.claim(outputs.out, settings, outputs.overwrite)
    left = [item for item in items if not _complete(item, outputs)]
    return run(left, predictor, outputs) and not problems


def run(items: Sequence[Item], predictor: Predictor, outputs: Outputs) -> bool:
    """Predict all; whether all of them went well."""
    if outputs.csv is None:
        make_folder(outputs.out)
        return all([_one(item, predictor, outputs, None) for item in items])
    path = None if outputs.csv == "-" else pathlib.Path(outputs.csv)
    with Table(path, predictor.model.dims) as table:
        return all([_one(item, predictor, outputs, table) for item in items])


def say(kind: str, text: str) -> None:
    """A line on standard error, for standard output may be the table."""
    print(f"{kind}: {text}", file=sys.stderr)


def _predictor(folder: str, choices: Choices) -> Predictor:
    model: Model = load(folder)
    how, warnings = preprocessing.of_passport(model.passport)
    for warning in warnings:
        say("warning", warning)
    told = timing.note(model.chain, choices.processed)
    if told is not None:
        say("note", told)
    detector = faces.Detector(min_face=preprocessing.MIN_FACE)
    return Predictor(model, how, detector, choices.which, choices.every, choices.processed)


def _check(items: Sequence[Item], outputs: Outputs) -> None:
    """Raises InputError where something would be overwritten or cannot be made."""
    if outputs.overlay or outputs.plot:
        if len(items) > 1:
            raise InputError(f"--overlay and --plot are of one source, {len(items)} are given")
        for item in items:
            if outputs.overlay:
                overlay.check(outputs.overlay, item.path, outputs.overwrite)
            if outputs.plot:
                plot.check(outputs.plot, outputs.overwrite)
    own = [outputs.of(item) for item in items if not item.searched and outputs.csv is None]
    common = [] if outputs.csv in (None, "-") else [pathlib.Path(outputs.csv)]
    _refuse_existing(own + common, outputs)
    given = [outputs.overlay, outputs.plot, *common]
    written = [path.resolve() for path in given if path is not None]
    for path in written:
        if written.count(path) > 1 or path in {item.path.resolve() for item in items}:
            raise InputError(f"{path} is also the source or another output; name another place")


def _refuse_existing(paths: Sequence[pathlib.Path], outputs: Outputs) -> None:
    for path in paths:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file that can be replaced; name another place")
        if path.exists() and not outputs.overwrite:
            raise InputError(f"{path} exists already; name another place, or --overwrite")


def _complete(item: Item, outputs: Outputs) -> bool:
    if outputs.csv is not None or outputs.overwrite or not item.searched:
        return False
    path = outputs.of(item)
    done = resuming.complete(item, path)
    if done:
        say("skipped", f"{item.path}: {path} is complete")
    return done


def _one(item: Item, predictor: Predictor, outputs: Outputs, common: Table | None) -> bool:
    """One source, its rows to the common table or to one of its own; whether all is there.

    Raises InputError where nothing can be written, which is no fault of the source.
    """
    where = outputs.csv or outputs.of(item)
    own = Table(outputs.of(item), predictor.model.dims)
    try:
        before = resuming.mark(item.path)
        pictures = (Image if item.image else Video)(item.path)
        with Progress(item.path.name, outputs.progress) as progress:
            result, warnings = predictor.predict(pictures, progress)
        if resuming.mark(item.path) != before:
            raise InputError(f"{item.path}: changed while it was read; predict it again")
    except InputError as error:
        say("error", str(error))
        return False
    with own if common is None else contextlib.nullcontext(common) as table:
        table.add(rows(result))
    with Progress(item.path.name, outputs.progress) as progress:
        _draw(result, outputs, progress)
    for warning in warnings:
        say("warning", f"{item.path}: {warning}")
    if pictures.broken is not None:
        say("error", f"{pictures.broken}; {where} holds the {len(result.time_s)} frames before")
        return False
    if not result.tracks:
        count = len(result.time_s)
        frames = f"{count} frame{'s' * (count != 1)}"
        say("error", f"{item.path}: no face was found; {where} has its {frames} without one")
        return False
    say("done", f"{item.path}: {_told(result)} -> {where}")
    return True


def _told(result: VideoResult) -> str:
    frames, faces = len(result.time_s), len(result.tracks)
    seen = sum(int(track.shown.sum()) for track in result.tracks) / (frames * faces)
    told = f"{frames} frame{'s' * (frames != 1)}, {faces} face{'s' * (faces != 1)}"
    return f"{told}, shown in {seen:.1%} of the rows"


def _draw(result: VideoResult, outputs: Outputs, progress: Progress) -> None:
    if outputs.overlay is not None:
        progress.stage("overlay", len(result.time_s))
        overlay.write(outputs.overlay, result, outputs.overwrite, progress.advance)
    if outputs.plot is not None:
        plot.write(outputs.plot, result, outputs.overwrite)
