"""Two rendered data sets that differ in size, frame rate and crops, and share names of tracks."""

import pathlib

from tests.train.loop_test import tiny
from tfds_builders.synthetic_faces.synthetic_faces_dataset_builder import (
    Builder,
    SyntheticFacesConfig,
)

FIRST, SECOND = "synthetic_faces/tiny", "synthetic_faces/other"
FPS = {FIRST: 10.0, SECOND: 25.0}
SIDES = {FIRST: 32, SECOND: 24}


def build(folder: pathlib.Path, tiny_data: pathlib.Path) -> None:
    """Build the second data set in `folder`, next to a link to the first one."""
    other = SyntheticFacesConfig(
        name="other", size=SIDES[SECOND], fps=FPS[SECOND], train=2, dev=1, test=1, lengths=(75,),
        seed=1,
    )  # fmt: skip
    Builder(data_dir=folder, config=other).download_and_prepare()
    (folder / FIRST).symlink_to(tiny_data / FIRST, target_is_directory=True)


def config_of(folder: pathlib.Path, **changes):
    """Return the config of a run of seconds on both data sets."""
    given = {
        "data.name": f"{FIRST},{SECOND}", "data.strides": (2, 5), "data.size": 32,
        "data.build_missing": False, "log.writers": ("jsonl",),
    }  # fmt: skip
    return tiny(folder, **given | changes)
