"""What every builder shares: frames become clips, and TFDS builds the set from them.

A builder names its recordings and a function that extracts one (see `writer.Extract`); this file
does the rest: extraction, restart, shards, what stands beside the records.
"""

import abc
import contextlib
import dataclasses
import fcntl
import itertools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder

from tfds_builders import facts, report, shards, workers, writer
from tfds_builders.writer import Recording, Run
from va_jax.types import CLIP_FRAMES, DIMS, SPLITS, Clip, InputError


class Frame(NamedTuple):
    """One frame of a track, as `clips` takes it."""

    jpeg: bytes  # square RGB crop
    target: np.ndarray  # float32 [dims], NaN where unlabelled
    face: bool  # the crop shows the face
    time_s: float
    landmarks: np.ndarray | None = None  # float32 [points, 2] in units of the crop's side


def clips(frames: Iterable[Frame]) -> Iterator[Clip]:
    """Cuts a stream of frames into clips of CLIP_FRAMES, the last one shorter."""
    stream = iter(frames)
    while chunk := list(itertools.islice(stream, CLIP_FRAMES)):
        jpegs, target, face, time_s, landmarks = zip(*chunk, strict=True)
        yield Clip(
            list(jpegs),
            np.asarray(target, np.float32).reshape(len(chunk), -1),
            np.asarray(face, bool),
            np.asarray(time_s, np.float32),
            None if landmarks[0] is None else np.asarray(landmarks, np.float32),
        )


class TrackBuilder(dataset_builder.FileReaderBuilder, skip_registration=True):
    """A TFDS builder whose examples are the clips of tracks, in order.

    A builder sets `extract` (a staticmethod, see `writer.Extract`) and defines `crop` and
    `recordings`; it overrides `dims`, `points`, `accept` and `extras` where it needs to. Its
    options are the fields of its BuilderConfig dataclass; `options` replaces some for this build.

    A recording whose input is bad is left out, named with the reason in `metadata["refused"]` and
    in report.csv; the others are built, unless `strict`.

    Args:
      run: how recordings are extracted side by side (see `workers`); default: in this process.
      options: {field of the builder config: value}.
      strict: the first bad recording stops the build.
    """

    VERSION = tfds.core.Version("1.0.0")
    extract: ClassVar[writer.Extract]
    dims: tuple[str, ...] = DIMS
    points: int = 0  # landmarks per frame
    late_options: tuple[str, ...] = ()  # those that `extract` does not look at

    def __init__(
        self,
        *,
        run: Run | None = None,
        options: Mapping[str, Any] | None = None,
        strict: bool = False,
        **kwargs,
    ):
        self._run, self._strict = run or workers.processes(1), strict
        self._options = dict(options or {})
        super().__init__(**{"file_format": "array_record", **kwargs})
        self._final = pathlib.Path(self.data_dir)  # TFDS swaps data_dir while it builds
        self.parts_dir = self._final.with_name(f"{self._final.name}.parts")

    def _create_builder_config(self, config, version):
        chosen = super()._create_builder_config(config, version)
        return dataclasses.replace(chosen, **self._options) if self._options else chosen

    @property
    @abc.abstractmethod
    def crop(self) -> dict[str, Any]:
        """Facts about the crops: size (px), source, margin, alignment, jpeg_quality."""

    @abc.abstractmethod
    def recordings(self, manual_dir: pathlib.Path | None) -> dict[str, list[Recording]]:
        """{split: its tracks in order}; all checks that need no decoding belong here.

        What is wrong with one recording goes into its `problem`; what is wrong with all raises
        InputError.
        """

    def accept(self, recording: Recording, row: Mapping[str, Any]) -> None:
        """Raises InputError for what only extraction could tell; `row` is of `extract_all`.

        The part is kept, so a restart under another late option costs nothing.
        """
        return

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        """More keys for the metadata, as JSON values."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=writer.features(self.dims, self.points), metadata=tfds.core.MetadataDict()
        )

    def _download_and_prepare(self, dl_manager, download_config=None):
        if self.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
            raise InputError(f"file_format={self.info.file_format.value}: write array_record")
        with _locked(self.parts_dir):
            infos = [
                shards.write_split(rows, self._get_filename_template(split))
                for split, rows in self._extracted(dl_manager).items()
            ]
        self.info.set_splits(tfds.core.splits.SplitDict(infos))

    def _extracted(self, dl_manager) -> dict[str, list[dict[str, Any]]]:
        """{split: the rows of its parts}, once all recordings are extracted and reported."""
        recordings = self.recordings(self._manual_dir(dl_manager))
        recordings = {split: recordings[split] for split in SPLITS if recordings.get(split)}
        _refuse_repeated_tracks(recordings)
        for stale in self._final.parent.glob(f"incomplete.*_{self._final.name}"):
            if stale != pathlib.Path(self.data_dir):  # left by a killed build
                shutil.rmtree(stale)
        everything = [
            dataclasses.replace(each, split=split)
            for split, tracks in recordings.items()
            for each in tracks
        ]
        rows = writer.extract_all(everything, self._plan(), self.parts_dir, self._run, self._strict)
        rows = [self._accepted(*each) for each in zip(everything, rows, strict=True)]
        report.write(pathlib.Path(self.data_dir) / report.NAME, everything, rows)
        refused = {
            recording.track_id: row["refused"]
            for recording, row in zip(everything, rows, strict=True)
            if "refused" in row
        }
        if len(refused) == len(everything):
            first, others = next(iter(refused.values())), len(refused) - 1
            raise InputError(first + (f" (and {others} more: no recording is left)" * bool(others)))
        row_of = dict(zip((each.track_id for each in everything), rows, strict=True))
        built = {
            split: [each for each in tracks if each.track_id not in refused]
            for split, tracks in recordings.items()
        }
        built = {split: tracks for split, tracks in built.items() if tracks}
        parts = {split: [row_of[each.track_id] for each in built[split]] for split in built}
        self.info.metadata.update(
            facts.of_rows(parts, self.dims),
            dims=list(self.dims),
            crop=self.crop,
            options=options_of(self.builder_config),
            refused=refused,
            **self.extras(built),
        )
        return parts

    def _accepted(self, recording: Recording, row: dict[str, Any]) -> dict[str, Any]:
        if "refused" not in row:
            try:
                self.accept(recording, row)
            except InputError as error:
                if self._strict:
                    raise
                return {"refused": str(error)}
        return row

    def _plan(self) -> writer.Plan:
        config = self.builder_config
        early = {k: v for k, v in options_of(config).items() if k not in self.late_options}
        return writer.Plan(self.extract, config, early, str(self.version), self.dims, self.points)

    def _manual_dir(self, dl_manager) -> pathlib.Path | None:
        if not self.MANUAL_DOWNLOAD_INSTRUCTIONS:
            return None
        try:
            return pathlib.Path(dl_manager.manual_dir)
        except AssertionError as error:  # several lines long
            problem = str(error).split(". ")[0]
            raise InputError(f"{problem}; it must hold the data of {self.name}") from error

    def _post_download_and_prepare_hook(self) -> None:
        shutil.rmtree(self.parts_dir)


def options_of(config: Any) -> dict[str, Any]:
    """The builder's own fields of its config, without the ones TFDS gives every config."""
    if config is None:
        return {}
    tfds_fields = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    return {key: v for key, v in dataclasses.asdict(config).items() if key not in tfds_fields}


def _refuse_repeated_tracks(recordings: Mapping[str, Sequence[Recording]]) -> None:
    if not recordings:
        raise InputError("no recordings to build from")
    seen: set[str] = set()
    for each in itertools.chain(*recordings.values()):
        if each.track_id in seen:
            raise InputError(f"track {each.track_id!r} appears twice; track names must differ")
        seen.add(each.track_id)


def wait_for_other_build(folder: pathlib.Path) -> None:
    """Returns when no process holds the parts folder `folder` (any more)."""
    if (folder / "lock").exists():
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds the parts folder for one process; the lock dies with it, even when killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder} is in use by another build; wait for it") from error
        yield
