"""The protocols of VEATIC: whole videos in one split, or parts of every video in all splits."""

from typing import NamedTuple

from va_jax.types import InputError

PROTOCOLS = ("video", "veatic_official")
"""`video` is our choice; `veatic_official` is the split of the published set."""


class Part(NamedTuple):
    """Consecutive frames of a video."""

    split: str
    first: int
    last: int


def parts_of(frames: int, gap: int, dev_share: float) -> list[Part]:
    """Divide a video: the first 70 % of its frames are for training, the others are for testing.

    The official split has no dev part. It is cut off the end of the 70 % (our choice), so that the
    test part stays as it is. The gaps between the parts are also taken from the 70 %.

    Args:
        frames: Number of frames of the video.
        gap: Number of frames to leave out between two parts.
        dev_share: Share of the frames before the test part, without the gaps, that go to dev; 0 for
            no dev part.

    Returns:
        The parts in the order of the video.

    Raises:
        InputError: The video is too short.
    """
    test = frames * 7 // 10  # first frame of the test part
    usable = test - (2 if dev_share else 1) * gap
    dev = max(1, round(dev_share * usable)) if dev_share else 0
    train = usable - dev
    if train < 1:
        raise InputError(
            f"has {frames} frames, too few for gap_frames={gap}; lower gap_frames or remove the "
            "video"
        )
    parts = [Part("train", 0, train - 1), Part("test", test, frames - 1)]
    if dev:
        parts.insert(1, Part("dev", train + gap, train + gap + dev - 1))
    return parts
