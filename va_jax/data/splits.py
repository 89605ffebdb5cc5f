"""Open the splits of a config's data set: frames or cached features, of all subjects or of one."""

import pathlib
from typing import Any

from va_jax.config import Data
from va_jax.data import features, personal, sources
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Source
from va_jax.types import InputError


def metadata(data: Data) -> dict[str, Any]:
    """Return the data set's metadata (see `sources.metadata`), or the copy stored with features.

    With `data.subject`, it is that of the parts of this subject.

    Raises:
        InputError: there is no such data set, the features are those of a different one, or the
            subject is not in exactly one split or has too few labels.
    """
    facts = _metadata(data)
    if not data.subject:
        return facts
    return personal.metadata(facts, data, lambda split: _open_split(data, split))


def _metadata(data: Data) -> dict[str, Any]:
    """Return the metadata of all subjects."""
    if not data.features:
        return sources.metadata(data.dir, data.name)
    facts = features.read_facts(pathlib.Path(data.features))
    if facts["data"] != data.name:
        raise InputError(
            f"data.features={data.features!r}: the features were computed for data set "
            f"{facts['data']!r}, but data.name={data.name!r}; set data.name={facts['data']!r}, or "
            f"{features.REMEDY}"
        )
    if data.size not in (0, facts["size"]):
        raise InputError(
            f"data.features={data.features!r}: the features were computed from frames of "
            f"{facts['size']} px, but data.size={data.size}; set data.size={facts['size']}, or "
            f"{features.REMEDY}"
        )
    if sources.is_built(data.dir, data.name):
        built, cached = sources.metadata(data.dir, data.name), facts["metadata"]
        if built["split_hash"] != cached["split_hash"]:
            raise InputError(
                f"data.features={data.features!r}: the features were computed for split hash "
                f"{cached['split_hash']}, but {data.name} in {data.dir} was built again and now "
                f"has split hash {built['split_hash']}; {features.REMEDY}"
            )
    return facts["metadata"]


def open_split(data: Data, split: str, landmarks: int = 0) -> Source | FeatureSource:
    """Open a split, with `landmarks` points per frame; 0 for none.

    With `data.subject`, it contains only the part of this subject that belongs to the split.

    Raises:
        InputError: see `sources.open_split`, `features.open_split` and `personal.divide`.
    """
    if not data.subject:
        return _open_split(data, split, landmarks)
    whole = _open_split(data, personal.split_of(data.subject, _metadata(data)["tracks"]), landmarks)
    parts = personal.divide(whole, data)
    names = {data.train: parts.train, data.dev: parts.dev, data.test: parts.test}
    return whole.with_tracks(names[split])


def _open_split(data: Data, split: str, landmarks: int = 0) -> Source | FeatureSource:
    """Open a split of all subjects."""
    if data.features:
        return features.open_split(pathlib.Path(data.features), split, landmarks)
    return sources.open_split(data.dir, data.name, split, landmarks, data.max_bad_records)
