"""What the configs of the papers share: variants written as words, and the size that tests run."""

from collections.abc import Mapping

from ml_collections import ConfigDict


def read(file: str, variant: str, legal: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The choices that the words of `variant`, joined by commas, make.

    `legal` holds the words of each choice; the first choice is made by the first word, the others
    in any order or not at all. Of a word `length=16` what stands behind the sign is kept. Raises
    ValueError, one line, that names `file`, the word and the legal ones.
    """
    chosen: dict[str, str] = {}
    for word in variant.split(","):
        open_to = legal if chosen else {first: legal[first] for first in list(legal)[:1]}
        choice = next((name for name, words in open_to.items() if word in words), None)
        if choice is None or choice in chosen:
            what = "is unknown" if choice is None else f"is a second word for {choice}"
            known = "; ".join(" | ".join(words) for words in open_to.values())
            raise ValueError(f"{file}:{variant}: {word!r} {what}; legal, one of each: {known}")
        chosen[choice] = word.partition("=")[2] or word
    return chosen


def shrink(config: ConfigDict) -> ConfigDict:
    """`config` with the same kinds of layers, so narrow and few that two steps take seconds.

    It runs on `synthetic_faces/tiny`, built where it is absent, and saves and evaluates at every
    step.
    """
    tiny = {
        "data.name": "synthetic_faces/tiny",
        "data.build_missing": True,
        "data.size": 0,
        "window.length": 16,
        "window.hop": 16,
        "model.width": 8,
        "model.stage_sizes": (1, 1),
        "model.fc": (16,) * len(config.model.fc),
        "model.units": 8,
        "model.landmark_points": 5,
        "train.steps": 2,
        "train.batch_size": 4,
        "train.log_every_steps": 1,
        "eval.every_steps": 1,
        "eval.batch_size": 4,
        "eval.length": 16,
        "eval.hop": 8,
        "checkpoint.every_steps": 1,
    }
    config.update_from_flattened_dict(tiny)
    return config
