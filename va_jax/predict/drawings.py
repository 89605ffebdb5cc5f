"""Drawings of results (plots and pages): a single file, or a folder that can be resumed."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from va_jax.predict import plot, results
from va_jax.predict.inputs import InputFile
from va_jax.predict.results import VideoResult
from va_jax.scoring import predicted
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A kind of drawing, and where it goes."""

    flag: str  # such as --plot, for messages
    path: pathlib.Path  # a file, or a folder: see `is_folder`
    suffixes: tuple[str, ...]  # extensions of such files; the first one is used in a folder
    write: Callable[[pathlib.Path, InputFile, VideoResult], None]
    source_of: Callable[[pathlib.Path], str | None]
    """Function that returns the source of a file; None if this command did not draw it."""
    is_current: Callable[[pathlib.Path], bool] = lambda path: True
    """Function that returns whether a file was drawn with the same settings."""

    @property
    def is_folder(self) -> bool:
        """Whether the flag names a folder: a path without an extension, or one that exists."""
        return self.path.is_dir() or not self.path.suffix

    def path_of(self, file: InputFile) -> pathlib.Path:
        """Return the path to the drawing of a file; in a folder, it is called like its csv file."""
        if not self.is_folder:
            return self.path
        return self.path / file.csv.relative_to(file.out).with_suffix(self.suffixes[0])

    def draw(self, file: InputFile, result: VideoResult, overwrite: bool = False) -> None:
        """Draw a result.

        Raises:
            InputError: the path in the folder is taken by a file that this command did not draw or,
                unless `overwrite` is set, by the drawing of another source; or the drawing cannot
                be made or written.
        """
        path = self.path_of(file)
        if self.is_folder:
            self._check_taken(path, result, overwrite)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(path, file, result)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written: {error.strerror}; free up disk space or choose a "
                f"different {self.flag}"
            ) from error

    def _check_taken(self, path: pathlib.Path, result: VideoResult, overwrite: bool) -> None:
        before = self.source_of(path)
        if before is None and (path.exists() or path.is_symlink()):
            raise InputError(
                f"{path} was not written by this command, so it will not be replaced; move it or "
                f"choose a different {self.flag}"
            )
        if before is None or overwrite or not os.path.exists(before):
            return
        if os.path.realpath(before) != os.path.realpath(result.source):
            raise InputError(
                f"{path} is the {self.flag[2:]} of {before}; choose a different {self.flag} or "
                "pass --overwrite"
            )

    def draw_missing(
        self, files: Sequence[InputFile], note: str, overwrite: bool = False
    ) -> list[str]:
        """Draw files that were predicted earlier from their csv files; return any problems.

        A drawing is up to date if it belongs to the source, has the same settings, and is not older
        than the csv file.
        """
        problems = []
        for file in files:
            try:
                if not self._is_up_to_date(file):
                    self.draw(file, results.from_csv(file.csv, note), overwrite)
            except InputError as error:
                problems.append(str(error))
        return problems

    def _is_up_to_date(self, file: InputFile) -> bool:
        path = self.path_of(file)
        source = self.source_of(path)
        if source is None or source != predicted.source_of(file.csv):
            return False
        return self.is_current(path) and path.stat().st_mtime >= file.csv.stat().st_mtime


def plots(path: pathlib.Path) -> Drawing:
    """Return how plots are drawn to a file or into a folder."""

    def write(path: pathlib.Path, file: InputFile, result: VideoResult) -> None:
        plot.write(path, result.plot(), str(result.source))

    return Drawing("--plot", path, (".png",), write, plot.source_of)
