"""Configuration keys of the data sets, windows and augmentation."""

import re
from dataclasses import dataclass

from va_jax.keys import at_least, changeable, choice, key


@dataclass(frozen=True)
class Data:
    """The data set and how to read it."""

    name: str = key(
        "", 'name of a built data set: "builder" or "builder/config"; several, separated by commas'
    )
    dir: str = changeable(key("data", "path to the folder that contains the built data sets"))
    build_missing: bool = changeable(
        key(False, "whether to build a generated data set if it is missing")
    )
    weights: tuple[float, ...] = key(
        (), "shares of training windows of several data sets; () for equal shares", above=0
    )
    strides: tuple[int, ...] = key(
        (), "window.stride of each data set; () for window.stride in all", low=1, unit="frames"
    )
    train: str = key("train", "split to train on")
    dev: str = key("dev", "split for choosing the best checkpoint and fitting post-processing")
    test: str = key("test", "split to score after training, with or without labels; '' for none")
    subject: str = key(
        "",
        "only subject to learn from and to score: part of the labels of this subject is divided "
        "into train and dev, and the rest is test; '' for all subjects",
    )
    subject_minutes: float = key(
        5.0, "labelled time to learn from if data.subject is set", above=0, unit="minutes"
    )
    size: int = at_least(0, 0, "side of the input images; 0 for the stored size", unit="pixels")
    features: str = changeable(
        key(
            "",
            "path to cached features of a frozen backbone, which replace the frames; one for each "
            "data set, separated by commas; '' for none",
        )
    )
    check_leaks: bool = changeable(
        key(True, "whether to compare recordings between the splits when a run starts")
    )
    max_bad_records: int = changeable(
        at_least(0, 0, "largest number of unreadable records to skip in each split")
    )
    threads: int = changeable(
        at_least(2, 1, "number of threads that decode JPEGs; one per core, up to 8, is best")
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the data sets."""
        return tuple(name.strip() for name in self.name.split(","))

    @property
    def head_names(self) -> tuple[str, ...]:
        """Return the names of the data sets as they appear in parameters (`model.heads`)."""
        return tuple(re.sub(r"\W", "_", name) for name in self.names)

    @property
    def features_folders(self) -> tuple[str, ...]:
        """Return the path to the features of each data set, or () if there are none."""
        several = len(self.names) > 1
        folders = self.features.split(",") if several else [self.features]
        return tuple(folder.strip() for folder in folders) if self.features else ()


@dataclass(frozen=True)
class Window:
    """Windows of frames for training."""

    length: int = at_least(64, 1, "number of frames in a window", unit="frames")
    hop: int = at_least(32, 1, "distance between the starts of successive windows", unit="frames")
    stride: int = at_least(1, 1, "distance between successive frames in a window", unit="frames")
    remainder: str = choice(
        "pad", ("pad", "drop", "shift"), "how to treat the frames after the last whole window"
    )


@dataclass(frozen=True)
class Augment:
    """Augmentation, drawn at random once per training window."""

    flip: bool = key(True, "whether to mirror a window with probability 0.5")
    crop: float = key(
        1.0, "smallest side of a random crop, as a fraction of the image's side", low=0.01, high=1
    )
    rotation_deg: float = key(
        0.0, "largest rotation in either direction", low=0, high=180, unit="degrees"
    )
    brightness: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    contrast: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    saturation: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    hue: float = key(0.0, "largest shift, up or down", low=0, high=0.5, unit="turns")
