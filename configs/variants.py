"""Shared by the configs of the papers: variants written as words, and the small size for tests."""

from collections.abc import Mapping

from ml_collections import ConfigDict


def read(file: str, variant: str, legal: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Read the words of a variant.

    Args:
        file: the config file, for an error.
        variant: words, joined by commas.
        legal: {choice: its words}; the first word makes the first choice, the others follow in any
            order or not at all.

    Returns:
        {choice: word}; of a word `length=16`, only `16`.

    Raises:
        ValueError: a word is unknown or repeats a choice; one line that names `file`, the word and
            the legal words.
    """
    chosen: dict[str, str] = {}
    for word in variant.split(","):
        open_to = legal if chosen else {first: legal[first] for first in list(legal)[:1]}
        choice = next((name for name, words in open_to.items() if word in words), None)
        if choice is None or choice in chosen:
            problem = "is unknown" if choice is None else f"is a second word for {choice}"
            known = "; ".join(" | ".join(words) for words in open_to.values())
            raise ValueError(f"{file}:{variant}: {word!r} {problem}; use one of each: {known}")
        chosen[choice] = word.partition("=")[2] or word
    return chosen


def shrink(config: ConfigDict) -> ConfigDict:
    """Return `config` with the same kinds of layers, so few and narrow that a run takes seconds.

    It runs two steps on `synthetic_faces/tiny`, which is built if missing, and saves and evaluates
    at every step.
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
