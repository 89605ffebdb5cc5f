"""Write the shards of a split: the records of its parts, copied byte for byte and in order."""

import contextlib
import errno
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]
from tensorflow_datasets.core.naming import ShardedFileTemplate

SHARD_BYTES = 256 * 2**20
"""Target size of a shard (our choice)."""

OPTIONS = "group_size:1,zstd:-1"
"""ArrayRecord options that make every record readable on its own. Compression removes the tables
that each JPEG repeats, a seventh of a crop; the usual level 3 saves another 0.3 % but takes five
times as long."""

BATCH = 16
"""Number of records in memory at once."""


FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Disk errors, which ArrayRecord reports only in the text of a RuntimeError."""


@contextlib.contextmanager
def record_writer(path: pathlib.Path) -> Iterator[Any]:
    """Yield an ArrayRecordWriter, and close it.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    try:
        writer = array_record_module.ArrayRecordWriter(str(path), OPTIONS)
        try:
            yield writer
        finally:
            writer.close()
    except RuntimeError as error:
        for code in FAULTS:
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), str(path)) from error
        raise


def sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 digest of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class WrittenSplit(NamedTuple):
    """The shards of a split."""

    info: tfds.core.SplitInfo
    digests: dict[str, str]  # {file name: SHA-256}


def write_split(rows: Sequence[Mapping[str, Any]], template: ShardedFileTemplate) -> WrittenSplit:
    """Write the records of the parts to shards with (almost) equal numbers of records.

    The same rows produce the same bytes in every process.

    Args:
        rows: Rows of the parts, from `parts.extract_all`.
        template: File names for the shards of this split.
    """
    records = sum(row["records"] for row in rows)
    count = min(records, -(-sum(row["bytes"] for row in rows) // SHARD_BYTES))
    edges = [records * index // count for index in range(count + 1)]
    stream, size = _records(rows), 0
    digests = {}
    for index, (start, stop) in enumerate(itertools.pairwise(edges)):
        path = template.sharded_filepath(shard_index=index, num_shards=count)
        with record_writer(pathlib.Path(path)) as writer:
            for record in itertools.islice(stream, stop - start):
                writer.write(record)
        size += path.stat().length
        digests[path.name] = sha256(pathlib.Path(path))  # now, while the disk cache holds it
    info = tfds.core.SplitInfo(
        name=str(template.split),
        shard_lengths=[stop - start for start, stop in itertools.pairwise(edges)],
        num_bytes=size,
        filename_template=template,
    )
    return WrittenSplit(info, digests)


def _records(rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        reader = array_record_module.ArrayRecordReader(row["part"])
        for first in range(0, row["records"], BATCH):
            yield from reader.read(first, min(first + BATCH, row["records"]))
        reader.close()
