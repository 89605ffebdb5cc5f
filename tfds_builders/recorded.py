"""The base class of builders for recorded faces, which only have to find and read files."""

import abc
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tfds_builders import base, crops, raters, splits
from tfds_builders.labels import Extent, OutOfRangeError, misfit
from tfds_builders.material import Material, Recording, Tally
from tfds_builders.parts import Extract
from va_jax.types import CLIP_FRAMES, Clip, InputError

Read = Callable[[Recording, Any], Material]
"""`read(recording, builder_config)` parses the labels of a recording, but decodes no images."""

ALIGNMENT = {
    "crops": "none",
    "boxes": "none: the upright square around the box",
    "landmarks": "level eyes, square of twice the greater of eye distance and eye-mouth height "
    "around the middle of eyes and mouth",
}
ALIGNMENT["detect"] = ALIGNMENT["landmarks"]
ALIGNMENT["auto"] = f"videos: {ALIGNMENT['detect']}; crop folders: none"


class RecordedBuilder(base.TrackBuilder, skip_registration=True):
    """A builder for recorded faces.

    A subclass sets `read` (a static method, see `Read`) and defines `scan` and `labels_facts`; its
    config is a RecordedConfig.
    """

    read: ClassVar[Read]
    fractions: ClassVar[Mapping[str, float]] = {  # shares of randomly drawn splits (our choice)
        "train": 0.7,
        "dev": 0.15,
        "test": 0.15,
    }
    expected: ClassVar[Mapping[str, int]] = {}  # recordings of the published set, by split or "all"
    late_options = ("no_face", "seed", "folds", "fold")

    @property
    def splits_share_videos(self) -> bool:
        """Return whether the protocol puts parts of one video into several splits."""
        return False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._rater_sums: dict[str, list[raters.AgreementSums]] = {}  # {track: those of each dim}
        self._out_of_range: list[str] = []  # problems of label files with most values outside
        self._varied = 0  # number of label files whose values are in the range, and not constant
        self._drawn = False

    @abc.abstractmethod
    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        """Return all recordings in the folder in order; an empty `split` is drawn later.

        Raises:
            InputError: The folder does not contain this set.
        """

    @property
    @abc.abstractmethod
    def labels_facts(self) -> dict[str, Any]:
        """Describe the labels: `source` (kind of annotation), `range` (in the files) and `join`."""

    def splitting_units(self, recordings: Sequence[Recording]) -> dict[str, str]:
        """Return {subject: unit}; a unit stays in one split, and by default is one subject."""
        return {each.subject_id: each.subject_id for each in recordings}

    @property
    def extract(self) -> Extract:
        return functools.partial(_extract, type(self).read)

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(self.builder_config.dims)

    @property
    def points(self) -> int:
        return self.builder_config.points

    @property
    def has_spread(self) -> bool:
        return bool(self._rater_sums)

    @property
    def crop(self) -> dict[str, Any]:
        config = self.builder_config
        return {
            "size": config.size,
            "source": config.faces,
            "margin": config.margin if config.faces == "boxes" else 0.0,
            "alignment": ALIGNMENT[config.faces],
            "jpeg_quality": config.jpeg_quality,
        }

    def recordings(self, manual_dir: pathlib.Path | None) -> dict[str, list[Recording]]:
        if manual_dir is None:
            raise InputError(f"{self.name} requires its source material; set --manual_dir")
        found = [self._with_problem(each) for each in self.scan(manual_dir)]
        without_split = [each for each in found if not each.split]
        drawn = self._draw(without_split) if without_split else {}
        self._drawn = bool(drawn)
        result: dict[str, list[Recording]] = {}
        for each in found:
            split = each.split or drawn[each.subject_id]
            result.setdefault(split, []).append(dataclasses.replace(each, split=split))
        return result

    def _with_problem(self, recording: Recording) -> Recording:
        """Read the labels before anything is decoded; if that fails, add the problem."""
        if recording.problem:
            return recording
        try:
            labels = type(self).read(recording, self.builder_config).labels
        except InputError as error:
            if isinstance(error, OutOfRangeError) and error.most:
                self._out_of_range.append(str(error))
            return dataclasses.replace(recording, problem=str(error))
        if labels is not None:
            known = labels.values[np.isfinite(labels.values).all(1)]
            self._varied += bool(len(known) and np.ptp(known, axis=0).any())
        if labels is not None and labels.raters:
            sums = [raters.agreement_sums(dim) for dim in labels.raters]
            self._rater_sums[recording.track_id] = sums
        return recording

    def _draw(self, recordings: Sequence[Recording]) -> dict[str, str]:
        config = self.builder_config
        units = self.splitting_units(recordings)
        strata = {units[each.subject_id]: each.group for each in recordings}
        if config.folds:
            chosen = splits.fold_splits(
                units.values(), config.seed, config.folds, config.fold, strata
            )
        else:
            chosen = splits.subject_disjoint_splits(
                units.values(), config.seed, self.fractions, strata
            )
        return {subject: chosen[unit] for subject, unit in units.items()}

    def accept(self, recording: Recording, row: Mapping[str, Any]) -> None:
        if not row["face"] and self.builder_config.no_face == "refuse":
            raise InputError(
                f"{next(iter(recording.files.values()))}: no frame of track "
                f"{recording.track_id!r} shows a face (faces={self.builder_config.faces}); remove "
                "the track, or set no_face=mask to keep it with black crops"
            )

    def warnings(self, recordings: Sequence[Recording]) -> list[str]:
        """Return warnings about these recordings as a whole; a build prints and stores them."""
        return []

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        """Return `labels`, `splits`, `warnings` and, for several raters, `rater_agreement`."""
        agreement = {}
        for split, each in recordings.items():
            ids = [recording.track_id for recording in each]
            sums = [self._rater_sums[track] for track in ids if track in self._rater_sums]
            if sums:
                agreement[split] = raters.agreement(sums, self.dims)
        config = self.builder_config
        drawn = {key: getattr(config, key) for key in ("seed", "folds", "fold")}
        return {
            "labels": self.labels_facts,
            "splits": {"drawn": self._drawn, **(drawn if self._drawn else {})},
            "rater_agreement": agreement,
            "warnings": self.warnings([each for split in recordings.values() for each in split]),
        }


def _extract(
    read: Read, recording: Recording, config: Any, tally: Tally
) -> tuple[float, Iterator[Clip]]:
    material = read(recording, config)
    fps, cuts = crops.cut(material, config, config.points, tally)
    return fps, base.clips(_label_frames(cuts, material, recording, config, tally))


def _label_frames(
    cuts: Iterator[crops.Cut], material: Material, recording: Recording, config: Any, tally: Tally
) -> Iterator[base.Frame]:
    """Join the labels to the frames, and check that they fit.

    This counts `rows` (rows in the label files), `rows_invalid` (unlabelled rows) and `rows_unused`
    (rows without a frame) in `tally`.
    """
    labels, first, last, matched, frames = material.labels, None, None, False, 0
    while chunk := list(itertools.islice(cuts, CLIP_FRAMES)):
        number = np.array([each.number for each in chunk])
        time_s = np.array([each.time_s for each in chunk])
        target = np.full((len(chunk), len(config.dims)), np.nan, np.float32)
        spread: Sequence[np.ndarray | None] = [None] * len(chunk)
        if labels is not None and labels.raters:
            spread = list(labels.spread_at(number, time_s))
        if labels is not None:
            target = labels.at(number, time_s)
            matched |= bool(np.isfinite(target).any())
        first = first or (int(number[0]), float(time_s[0]))
        last = (int(number[-1]), float(time_s[-1]))
        frames += len(chunk)
        for each, row, between in zip(chunk, target, spread, strict=True):
            points = each.landmarks if len(each.landmarks) else None
            yield base.Frame(each.jpeg, row, each.face, each.time_s, points, between)
    if labels is None or first is None or last is None:
        return
    extent = Extent((first[0], last[0]), (first[1], last[1]), frames)
    if config.unused_rows == "refuse" and (problem := misfit(labels, extent)):
        raise InputError(f"{recording.label_file}: {problem}")
    tally["rows"] += len(labels.values)
    tally["rows_invalid"] += int((~np.isfinite(labels.values).all(1)).sum())
    tally["rows_unused"] += labels.unused(extent.number, extent.time_s)
    if not matched and np.isfinite(labels.values).any():
        raise InputError(
            f"{recording.label_file}: no label matches frames {first[0]} to {last[0]} "
            f"({first[1]:g} to {last[1]:g} s); the labels {labels.describe()}; correct the file"
        )
