"""The base class of all builders: it turns clips into records, metadata and a report."""

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
from tensorflow_datasets.core.splits import SplitDict

from tfds_builders import croissant, metadata, origin, parts, shards, workers
from tfds_builders.material import Recording
from va_jax.types import CLIP_FRAMES, DIMS, SPLITS, Clip, InputError


class Frame(NamedTuple):
    """One frame of a track."""

    jpeg: bytes  # square RGB crop
    target: np.ndarray  # float32 [dims], NaN where unlabelled
    face: bool  # the crop shows the face
    time_s: float
    landmarks: np.ndarray | None = None  # float32 [points, 2] as fractions of the crop's side
    spread: np.ndarray | None = None  # float32 [dims] between raters, NaN where unknown


def clips(frames: Iterable[Frame]) -> Iterator[Clip]:
    """Cut a stream of frames into clips of CLIP_FRAMES frames; the last one may be shorter."""
    stream = iter(frames)
    while chunk := list(itertools.islice(stream, CLIP_FRAMES)):
        jpegs, target, face, time_s, landmarks, spread = zip(*chunk, strict=True)
        yield Clip(
            list(jpegs),
            np.asarray(target, np.float32).reshape(len(chunk), -1),
            np.asarray(face, bool),
            np.asarray(time_s, np.float32),
            None if landmarks[0] is None else np.asarray(landmarks, np.float32),
            None if spread[0] is None else np.asarray(spread, np.float32),
        )


class TrackBuilder(dataset_builder.FileReaderBuilder, skip_registration=True):
    """A TFDS builder whose examples are the clips of tracks, in order.

    A builder defines `extract`, `crop` and `recordings`, and overrides `dims`, `points`, `accept`
    and `extras` as needed. Its options are the fields of its BuilderConfig dataclass.

    A recording with bad input is left out and listed, with the reason, in `metadata["refused"]` and
    in report.csv; the others are built.

    Args:
        run: Function that extracts several recordings in parallel (see `workers`). By default they
            are extracted one after the other.
        options: {field of the builder config: value}, for this build only.
        strict: Whether to stop the build at the first bad recording.
    """

    VERSION = tfds.core.Version("1.0.0")
    late_options: tuple[str, ...] = ()  # options that do not affect `extract`
    publication: ClassVar = croissant.Publication()  # how the source material was published

    def __init__(
        self,
        *,
        run: parts.Run | None = None,
        options: Mapping[str, Any] | None = None,
        strict: bool = False,
        **kwargs,
    ):
        self._run, self._strict = run or workers.processes(1), strict
        self._options = dict(options or {})
        super().__init__(**{"file_format": "array_record", **kwargs})
        self._final = pathlib.Path(self.data_dir)  # TFDS swaps data_dir while it builds
        self.parts_dir = self._final.with_name(f"{self._final.name}.parts")

    @property
    def builder_config(self) -> Any:
        """Return the options of this build as an instance of the builder's config dataclass."""
        return super().builder_config

    def _create_builder_config(self, builder_config, version):
        chosen = super()._create_builder_config(builder_config, version)
        return dataclasses.replace(chosen, **self._options) if chosen and self._options else chosen

    @property
    @abc.abstractmethod
    def extract(self) -> parts.Extract:
        """Return the function that extracts one recording; it may be a static method."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Return the names of the targets."""
        return DIMS

    @property
    def points(self) -> int:
        """Return the number of landmarks stored with each frame."""
        return 0

    @property
    def has_spread(self) -> bool:
        """Return whether to store the spread between raters; called after `recordings`."""
        return False

    @property
    @abc.abstractmethod
    def crop(self) -> dict[str, Any]:
        """Return size (in pixels), source, margin, alignment and jpeg_quality of the crops."""

    @abc.abstractmethod
    def recordings(self, manual_dir: pathlib.Path | None) -> dict[str, list[Recording]]:
        """Return {split: its tracks in order}, after all checks that do not require decoding.

        A problem with a single recording is stored in its `problem` field.

        Raises:
            InputError: A problem affects all recordings.
        """

    def accept(self, recording: Recording, row: Mapping[str, Any]) -> None:
        """Decide from the row of an extracted recording whether to include it in the set.

        The part is kept either way, so the recording is not extracted again if the set is rebuilt
        with different late options.

        Args:
            recording: The recording.
            row: Its row, see `parts.extract_all`.

        Raises:
            InputError: The recording must be left out.
        """
        return

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        """Return additional metadata, as JSON values."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=parts.features(self.dims, self.points), metadata=tfds.core.MetadataDict()
        )

    def download_and_prepare(self, **options: Any) -> None:
        """Build the set, unless it exists.

        The parts folder is locked until the set is complete, so that those who wait for the lock
        find the set.
        """
        if self._final.exists():
            return
        with _locked(self.parts_dir):
            super().download_and_prepare(**options)
            shutil.rmtree(self.parts_dir)

    def _download_and_prepare(self, dl_manager, download_config=None):
        if self.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
            raise InputError(f"file_format={self.info.file_format}: must be array_record")
        written = [
            shards.write_split(rows, self._get_filename_template(split))
            for split, rows in self._extract_splits(dl_manager).items()
        ]
        self.info.set_splits(SplitDict([each.info for each in written]))
        digests = {name: digest for each in written for name, digest in each.digests.items()}
        croissant.write(pathlib.Path(self.data_dir), self.info, self.publication, digests)

    def _extract_splits(self, dl_manager) -> dict[str, list[parts.Row]]:
        """Extract all recordings and write the report; return {split: rows of its parts}."""
        manual_dir = self._manual_dir(dl_manager)
        everything = self._all_recordings(manual_dir)
        sources = {} if manual_dir is None else origin.digests(everything, manual_dir)
        for stale in self._final.parent.glob(f"incomplete.*_{self._final.name}"):
            if stale != pathlib.Path(self.data_dir):  # left by a killed build
                shutil.rmtree(stale)
        config = self.builder_config
        early = {k: v for k, v in options_of(config).items() if k not in self.late_options}
        layout = (self.dims, self.points, self.has_spread)
        # TFDS takes the features from `_info`, before it is known whether there are raters.
        self.info._features = parts.features(*layout)
        plan = parts.Plan(self.extract, config, early, str(self.version), *layout)
        rows = parts.extract_all(everything, plan, self.parts_dir, self._run, self._strict)
        pairs = [
            (each, self._accepted(each, row)) for each, row in zip(everything, rows, strict=True)
        ]
        report = pathlib.Path(self.data_dir) / metadata.REPORT
        metadata.write_report(report, everything, [row for _, row in pairs])
        refused = {each.track_id: row["refused"] for each, row in pairs if "refused" in row}
        if len(refused) == len(everything):
            first, others = next(iter(refused.values())), len(refused) - 1
            more = f" (and {others} more problems; no recordings remain)" * bool(others)
            raise InputError(first + more)
        built: dict[str, list[Recording]] = {}
        kept: dict[str, list[parts.Row]] = {}
        for each, row in pairs:
            if "refused" not in row:
                built.setdefault(each.split, []).append(each)
                kept.setdefault(each.split, []).append(row)
        self.info.metadata.update(  # pyright: ignore[reportOptionalMemberAccess]
            metadata.summarize(kept, self.dims),
            dims=list(self.dims),
            crop=self.crop,
            options=options_of(config),
            refused=refused,
            sources=sources,
            **self.extras(built),
        )
        return kept

    def _all_recordings(self, manual_dir: pathlib.Path | None) -> list[Recording]:
        found = self.recordings(manual_dir)
        everything = [
            dataclasses.replace(each, split=split)
            for split in SPLITS
            for each in found.get(split, ())
        ]
        _refuse_repeated_tracks(everything)
        return everything

    def sources(self, manual_dir: pathlib.Path) -> dict[str, str]:
        """Return {track: a hash of its source material}, see `origin.digests`.

        Raises:
            InputError: The folder does not contain this set.
        """
        return origin.digests(self._all_recordings(manual_dir), manual_dir)

    def _accepted(self, recording: Recording, row: parts.Row) -> parts.Row:
        if "refused" not in row:
            try:
                self.accept(recording, row)
            except InputError as error:
                if self._strict:
                    raise
                return {"refused": str(error)}
        return row

    def _manual_dir(self, dl_manager) -> pathlib.Path | None:
        if not self.MANUAL_DOWNLOAD_INSTRUCTIONS:
            return None
        try:
            return pathlib.Path(dl_manager.manual_dir)
        except AssertionError as error:  # several lines long
            problem = str(error).split(". ")[0]
            raise InputError(f"{problem}; it must contain the {self.name} data") from error


def options_of(config: Any) -> dict[str, Any]:
    """Return the options in a config, without the fields that TFDS adds to every config."""
    if config is None:
        return {}
    tfds_fields = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    return {key: v for key, v in dataclasses.asdict(config).items() if key not in tfds_fields}


def _refuse_repeated_tracks(recordings: Sequence[Recording]) -> None:
    if not recordings:
        raise InputError("no recordings found; check the path to the source material")
    seen: set[str] = set()
    for each in recordings:
        try:
            each.track_id.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{each.track_id!a}: the name of the file is not UTF-8; rename the file"
            ) from error
        if each.track_id in seen:
            raise InputError(f"track {each.track_id!r} appears twice; rename one of the two")
        seen.add(each.track_id)


def wait_for_other_build(folder: pathlib.Path) -> None:
    """Wait until no process holds the lock on the parts folder `folder`."""
    if (folder / "lock").exists():
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Lock the parts folder; the lock is released when this process ends, even if it is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder} is in use by another build; wait until that build ends"
            ) from error
        yield
