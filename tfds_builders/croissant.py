"""Write croissant.json, the description of a built set in the Croissant format of MLCommons.

The format is version 1.1 of http://mlcommons.org/croissant. The file contains nothing that depends
on the time, the machine or the place of a build, so that two builds of the same source are equal.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import metadata, shards
from va_jax import io
from va_jax.types import CLIP_FRAMES, LABEL_RANGE

NAME = "croissant.json"

ARRAY_RECORD = "https://github.com/google/array_record"
"""Encoding format of the shards, which have no registered media type."""

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
} | {
    term: f"cr:{term}"
    for term in (
        *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract"),
        *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray"),
        *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
        *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source"),
        *("subField", "transform"),
    )
}
"""The JSON-LD context that version 1.1 prescribes."""

DESCRIPTIONS = {
    "frames": "Square crops of the face in consecutive frames, as JPEG.",
    "target": "The labels of each frame: {dims}, each in [{low:g}, {high:g}]; NaN if unlabelled.",
    "face": "Whether the crop shows the face.",
    "time_s": "Time of each frame from the start of the video, in seconds.",
    "landmarks": "x and y of each facial landmark, as fractions of the side of the crop.",
    "first_frame": "Number of the first frame of the clip in its track, from 0.",
    "track_id": "The track: one face of one subject throughout one video.",
    "video_id": "The video that the track comes from.",
    "subject_id": "The person in the track.",
}
"""Descriptions of the features of a record."""

COLUMNS = {
    "split": ("sc:Text", "The split: train, dev or test."),
    "track_id": ("sc:Text", "The track: one face of one subject throughout one video."),
    "video_id": ("sc:Text", "The video that the track comes from."),
    "subject_id": ("sc:Text", "The person in the track."),
    "status": ("sc:Text", "Whether the recording was built or refused."),
    "frames": ("sc:Integer", "Number of frames; empty if refused, like the next four."),
    "fps": ("sc:Float", "Frames per second."),
    "face": ("sc:Integer", "Number of frames that show the face."),
    "labelled": ("sc:Integer", "Number of frames with a label."),
    "used": ("sc:Integer", "Number of frames with a face and a label."),
    "reason": ("sc:Text", "Why the recording was refused; empty if it was built."),
}
"""Type and description of the columns of report.csv that every set has."""


@dataclasses.dataclass(frozen=True)
class Publication:
    """How the owners published the source material of a set; "" if it is not known."""

    date: str = ""  # ISO 8601 date, or only the year
    url: str = ""  # page of the data set
    licence: str = ""  # URL or text


def write(
    directory: pathlib.Path,
    info: tfds.core.DatasetInfo,
    publication: Publication,
    digests: Mapping[str, str],
) -> None:
    """Write croissant.json into the directory of a set whose records and report.csv are complete.

    Args:
        directory: Directory with the files.
        info: Information about the set, with its splits and metadata.
        publication: What is known about the source material.
        digests: {file name of a shard: SHA-256 of its content}.
    """
    io.write_json(directory / NAME, describe(directory, info, publication, digests))


def describe(
    directory: pathlib.Path,
    info: tfds.core.DatasetInfo,
    publication: Publication,
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of croissant.json; the arguments are those of `write`."""
    facts = dict(info.metadata or {})
    name = "/".join(info.full_name.split("/")[:-1])
    known = {
        "citeAs": info.citation,
        "datePublished": publication.date,
        "license": publication.licence,
        "url": publication.url,
    }
    report = _file(
        directory / metadata.REPORT, "text/csv", shards.sha256(directory / metadata.REPORT)
    )
    files = [_file(directory / shard, ARRAY_RECORD, digests[shard]) for shard in digests]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": _description(info.description, name, facts),
        **{key: value for key, value in known.items() if value},
        "version": str(info.version),
        "keywords": [*facts["dims"], "facial expression", "video"],
        "distribution": [report, *files, _shard_set(info)],
        "recordSet": [_splits(facts), _recordings(), _clips(info, facts)],
    }


def _description(readme: str | None, name: str, facts: Mapping[str, Any]) -> str:
    """Describe the source by the first paragraph of the builder's README, and the built set."""
    size = facts["crop"]["size"]
    text = (
        f"{first_paragraph(readme or '')} Built by va_jax as {name}: clips of faces with "
        f"{', '.join(facts['dims'])} for each frame, cropped to {size} x {size} pixels. Hash of "
        f"the splits and labels: {facts['split_hash']}."
    )
    if facts["sources"]:
        text += " The source material keeps the licence of its owners."
    return text.strip()


def first_paragraph(markdown: str) -> str:
    """Return the first paragraph below the title as plain text, or "" if there is none."""
    paragraphs = [each for each in markdown.split("\n\n") if not each.startswith("#")]
    plain = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", paragraphs[0] if paragraphs else "")
    return " ".join(re.sub(r"[*`]", "", plain).split())


def _file(path: pathlib.Path, encoding: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": digest,
    }


def _shard_set(info: tfds.core.DatasetInfo) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": f"ArrayRecord files with a tf.train.Example for each clip of up to "
        f"{CLIP_FRAMES} frames; read them with tensorflow_datasets.builder_from_directory.",
        "encodingFormat": ARRAY_RECORD,
        "includes": f"{info.name}-*.array_record-*",
    }


def _splits(facts: Mapping[str, Any]) -> dict[str, Any]:
    described = {
        "tracks": "Number of tracks.",
        "frames": "Number of frames.",
        "face": "Number of frames that show the face.",
        "labelled": "Number of frames with a label.",
        "used": "Number of frames with a face and a label.",
    }
    fields = [_field("splits", "name", "sc:Text", "Name of the split.")]
    fields += [_field("splits", key, "sc:Integer", text) for key, text in described.items()]
    rows = [
        {"splits/name": split, **{f"splits/{key}": counts[key] for key in described}}
        for split, counts in facts["counts"].items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits and their sizes.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": fields,
        "data": rows,
    }


def _recordings() -> dict[str, Any]:
    fields = []
    for column, (kind, text) in COLUMNS.items():
        source = {"fileObject": {"@id": metadata.REPORT}, "extract": {"column": column}}
        fields.append(_field("recordings", column, kind, text) | {"source": source})
    return {
        "@type": "cr:RecordSet",
        "@id": "recordings",
        "name": "recordings",
        "description": "All recordings of the source material, including those left out.",
        "key": {"@id": "recordings/track_id"},
        "field": fields,
    }


def _clips(info: tfds.core.DatasetInfo, facts: Mapping[str, Any]) -> dict[str, Any]:
    low, high = LABEL_RANGE
    words = {"dims": ", ".join(facts["dims"]), "low": low, "high": high}
    fields = []
    for feature, tensor in info.features.get_tensor_info().items():
        field = _field("clips", feature, _data_type(feature, tensor.np_dtype))
        if feature in DESCRIPTIONS:
            field["description"] = DESCRIPTIONS[feature].format(**words)
        if tensor.shape:
            sides = ",".join(str(-1 if side is None else side) for side in tensor.shape)
            field |= {"isArray": True, "arrayShape": sides}
        source = {"fileSet": {"@id": "shards"}, "extract": {"column": feature}}
        fields.append(field | {"source": source})
    split = _field("clips", "split", "sc:Text", "The split, from the name of the file.")
    split["references"] = {"field": {"@id": "splits/name"}}
    split["source"] = {
        "fileSet": {"@id": "shards"},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": rf"^{info.name}-([a-z]+)\.array_record-.*$"},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "clips",
        "name": "clips",
        "description": f"The records: up to {CLIP_FRAMES} consecutive frames of a track each.",
        "key": [{"@id": "clips/track_id"}, {"@id": "clips/first_frame"}],
        "field": [*fields, split],
    }


def _data_type(feature: str, dtype: Any) -> str:
    if feature == "frames":
        return "sc:ImageObject"
    kinds = {"b": "sc:Boolean", "i": "cr:Int", "f": "cr:Float"}
    kind = np.dtype(dtype).kind
    if kind not in kinds:
        return "sc:Text"
    return kinds[kind] + (str(8 * np.dtype(dtype).itemsize) if kind in "if" else "")


def _field(record_set: str, name: str, kind: str, description: str = "") -> dict[str, Any]:
    field = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
    }
    return {key: value for key, value in field.items() if value}
