"""Open the splits of a config's data set: its frames, or cached features in their place."""

import pathlib
from typing import Any

from va_jax.config import Data
from va_jax.data import features, sources
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Source
from va_jax.types import InputError


def metadata(data: Data) -> dict[str, Any]:
    """Return the data set's metadata (see `sources.metadata`), or the copy stored with features.

    Raises:
        InputError: there is no such data set, or the features are those of a different one.
    """
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

    Raises:
        InputError: see `sources.open_split` and `features.open_split`.
    """
    if data.features:
        return features.open_split(pathlib.Path(data.features), split, landmarks)
    return sources.open_split(data.dir, data.name, split, landmarks, data.max_bad_records)
