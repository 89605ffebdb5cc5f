"""The folder layouts in which RECOLA is distributed, and their detection."""

import dataclasses
import pathlib
from collections.abc import Mapping

from tfds_builders import trees
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """One kind of label file: `folder`/DIMENSION/RECORDING`suffix`."""

    folder: tuple[str, ...]  # levels of `trees.find_folder`
    suffix: str
    description: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders with videos and label files in a copy, and the protocol for its splits."""

    name: str
    protocol: str
    videos: str
    sources: Mapping[str, Source]  # value of the option `labels` -> source, the default first

    @property
    def default_labels(self) -> str:
        """Return the default value of the option `labels` for this layout."""
        return next(iter(self.sources))

    def is_in(self, root: pathlib.Path) -> bool:
        """Return whether the folder contains the videos and at least one kind of label file."""
        labels = (each.folder for each in self.sources.values())
        return trees.find_folder(root, self.videos) is not None and any(
            trees.find_folder(root, *levels) is not None for levels in labels
        )

    def __str__(self) -> str:
        labels = " or ".join("/".join(each.folder) for each in self.sources.values())
        return f"{self.name}: {self.videos} and {labels}".replace("*/", "")


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "avec2016",
            "avec2016",
            "*/recordings_video",
            {
                "gold": Source(("*/ratings_gold_standard",), ".arff", "gold standard of AVEC 2016"),
                "raters": Source(
                    ("*/ratings_individual",), ".csv", "six raters of AVEC 2016, fused"
                ),
            },
        ),
        Layout(
            "original",
            "full46",
            "*/RECOLA-Video-recordings",
            {
                "raters": Source(
                    ("*/RECOLA-Annotation", "emotional_behaviour"),
                    ".csv",
                    "six raters of the release, fused",
                )
            },
        ),
        Layout(
            "centred",
            "full46",
            "*/Video_recordings_MP4",
            {
                "gold": Source(
                    ("*/Ratings_affective_behaviour_CCC_centred",), ".csv", "CCC-centred ratings"
                )
            },
        ),
    )
}
"""Layouts by name; if a folder matches several, the first one is used."""


def find_layout(root: pathlib.Path, name: str) -> Layout:
    """Return the layout called `name` or, with "auto", the first one that the folder matches.

    Raises:
        InputError: The folder does not match.
    """
    wanted = [each for each in LAYOUTS.values() if name in ("auto", each.name)]
    found = next((each for each in wanted if each.is_in(root)), None)
    if found is None:
        folders = "; ".join(map(str, wanted))
        raise InputError(
            f"{root}: the RECOLA folders are missing ({folders}); expected the top folder of a "
            "copy of RECOLA"
        )
    return found
