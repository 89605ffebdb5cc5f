"""The progress bar of one source, which starts anew with each stage of the work."""

import sys

from tqdm import tqdm


class Progress:
    """Counts frames on standard error; use as a context manager, which clears the bar."""

    def __init__(self, name: str, shown: bool = True):
        self._name = name
        self._bar = tqdm(
            unit="frame", disable=not shown, leave=False, dynamic_ncols=True, file=sys.stderr
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def stage(self, name: str, frames: int | None) -> None:
        """Begin a stage of so many frames, if that is known."""
        self._bar.set_description(f"{self._name}: {name}", refresh=False)
        self._bar.reset(frames)

    def advance(self) -> None:
        self._bar.update()
