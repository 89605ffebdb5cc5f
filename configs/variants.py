"""Helpers for the configs: parse the words of a variant, and shrink a config for tests."""

from collections.abc import Mapping

from ml_collections import ConfigDict


def read(file: str, variant: str, legal: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Parse the words of a variant.

    Args:
        file: Name of the config file, for error messages.
        variant: Words, joined by commas.
        legal: {choice: its words}. The first word must be for the first choice; the other choices
            are optional and may be in any order.

    Returns:
        {choice: word}; for a word such as `length=16`, only `16`.

    Raises:
        ValueError: A word is unknown, or a choice is made twice.
    """
    chosen: dict[str, str] = {}
    for word in variant.split(","):
        open_to = legal if chosen else {first: legal[first] for first in list(legal)[:1]}
        choice = next((name for name, words in open_to.items() if word in words), None)
        if choice is None or choice in chosen:
            problem = "is unknown" if choice is None else f"is a second choice of {choice}"
            known = "; ".join(" | ".join(words) for words in open_to.values())
            raise ValueError(
                f"{file}:{variant}: {word!r} {problem}; use one word of each group: {known}"
            )
        chosen[choice] = word.partition("=")[2] or word
    return chosen


def shrink(config: ConfigDict) -> ConfigDict:
    """Shrink `config` to fewer, narrower layers of the same kinds, for a run of a few seconds.

    The run takes two steps on `synthetic_faces/tiny`, which is built if missing, and saves and
    evaluates at every step.
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
