"""Identify the source material of a set, so that it can be recognised after the set is built."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from tfds_builders.material import Recording
from va_jax.types import InputError

CONTENT_BYTES = 4 * 2**20
"""Files up to this size, such as labels, are identified by their content (our choice)."""


def source_files(recording: Recording) -> list[tuple[str, os.stat_result]]:
    """Return the path and status of each file of a recording, including the files in its folders.

    Raises:
        InputError: A file is missing or cannot be accessed.
    """
    files = []
    for source in map(os.path.abspath, recording.files.values()):
        if not os.path.exists(source):
            raise InputError(
                f"{source}: does not exist; restore it (required for track {recording.track_id!r})"
            )
        members = [source]
        if os.path.isdir(source):
            walk = os.walk(source)
            members = sorted(os.path.join(at, name) for at, _, names in walk for name in names)
        try:
            files += [(member, os.stat(member)) for member in members]
        except OSError as error:  # such as a broken link
            raise InputError(f"{error.filename}: {error.strerror}; remove or replace it") from error
    return files


def digests(recordings: Sequence[Recording], root: pathlib.Path) -> dict[str, str]:
    """Return {track: a hash of the recording and its files}.

    The hash depends neither on the place of the folder `root` nor on modification times. It covers
    the names and sizes of all files, and the content of small files that are not in a folder of the
    recording.
    """
    return {each.track_id: _digest(each, root) for each in recordings}


def _digest(recording: Recording, root: pathlib.Path) -> str:
    facts = dataclasses.asdict(recording) | {"problem": ""}
    facts["files"] = {role: os.path.relpath(path, root) for role, path in recording.files.items()}
    own = set(map(os.path.abspath, recording.files.values()))
    try:
        files = [
            (os.path.relpath(path, root), stat.st_size, _content(path, stat) if path in own else "")
            for path, stat in source_files(recording)
        ]
    except (InputError, OSError):  # the recording is left out, and refused again if restored
        files = []
    text = json.dumps([facts, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(path: str, stat: os.stat_result) -> str:
    if stat.st_size > CONTENT_BYTES:
        return ""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def difference(built: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Describe how the material `here` differs from that of a built set; "" if it does not.

    Args:
        built: The `digests` stored with the set.
        here: The `digests` of the material at hand.
    """
    lines = [f"recording {track!r} is missing" for track in built if track not in here]
    lines += [f"recording {track!r} is new" for track in here if track not in built]
    both = (track for track in built if track in here and built[track] != here[track])
    lines += [f"recording {track!r} has changed" for track in both]
    others = f" (and {len(lines) - 1} more differences)" * (len(lines) > 1)
    return f"{lines[0]}{others}" if lines else ""
