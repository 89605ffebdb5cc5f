"""A run compares its splits when it starts: it names every copy, and never stops because of it."""

import dataclasses
import json

import numpy as np
import pytest
import simplejpeg

from tests import edited_copies
from tests.edited_copies import EDITS, FPS, recording
from tests.train.loop_test import tiny
from va_jax.config import with_values
from va_jax.data import leaks, sources, splits
from va_jax.data.sources import Source
from va_jax.train import leak_check
from va_jax.types import CLIP_FRAMES, Track


def stored(tracks, size=40):
    """Return a source of {track: (frames, fps)}, as a built data set stores them."""
    records, rows = [], []
    for number, (name, (frames, fps)) in enumerate(tracks.items()):
        rows.append(Track(name, name, f"subject{number}", "", fps, len(frames), len(records)))
        for first in range(0, len(frames), CLIP_FRAMES):
            part = frames[first : first + CLIP_FRAMES]
            jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(x), quality=92) for x in part]
            time_s = (np.arange(first, first + len(part)) / fps).astype(np.float32)
            records.append({
                "frames": np.array(jpegs, object),
                "target": np.zeros((len(part), 2), np.float32),
                "face": np.ones(len(part), bool),
                "time_s": time_s,
            })  # fmt: skip
    return Source(lambda numbers: [records[n] for n in numbers], rows, ("valence", "arousal"), size)


@pytest.fixture(scope="module")
def opened():
    """Return train with ten subjects, and test with an edited copy of each."""
    originals = {f"s{n}": (recording(n, 0), FPS) for n in range(len(EDITS))}
    return {"train": stored(originals), "test": stored(edited_copies.copies())}


def named(found):
    return {frozenset((each.duplicate.one, each.duplicate.other)) for each in found.across}


EXPECTED = {frozenset((f"s{n}", name)) for n, name in enumerate(EDITS)}


@pytest.mark.parametrize("quick", [False, True])
def test_ten_edited_copies_in_stored_crops_are_found(opened, quick):
    found = leaks.find_leaks(opened, 2, quick)
    assert named(found) == EXPECTED
    assert len(found.pairs) == len(EXPECTED)
    assert found.text().count("same recording in several splits") == len(EXPECTED)


def test_the_order_of_tracks_and_the_number_of_threads_change_nothing(opened):
    turned = {}
    for split, source in reversed(opened.items()):
        turned[split] = Source(source._records, source.tracks[::-1], source.dims, source.size)
    one, other = leaks.find_leaks(opened, 1), leaks.find_leaks(turned, 3)
    assert one.pairs == other.pairs
    assert one.too_little == other.too_little


def test_copies_inside_a_split_are_information(opened):
    twice = {"s0": (recording(0, 0), FPS), "again": (recording(0, 0)[40:], FPS)}
    found = leaks.find_leaks({"train": stored(twice)}, 1)
    assert found.across == []
    assert len(found.pairs) == 1
    assert "for information" in found.text()


def test_unreadable_frames_and_frames_without_a_face_are_unknown():
    source = stored({"s0": (recording(0, 0), FPS)})
    whole = leaks.look_of_track(source, "train", 0, None)
    (record,) = source._records([1])
    record["frames"][:] = b"no JPEG"
    source._records([3])[0]["face"][:] = False
    known = leaks.look_of_track(source, "train", 0, None).values.any(1)
    assert whole.values.any(1).all()
    time_s = np.arange(len(known)) / 5
    clip_s = CLIP_FRAMES / FPS
    inside = [(n * clip_s + 0.1 < time_s) & (time_s < (n + 1) * clip_s - 0.1) for n in (1, 3)]
    assert not known[inside[0] | inside[1]].any()
    assert known.sum() > len(known) // 2


@pytest.fixture
def run(tmp_path, monkeypatch, opened):
    """Return a config whose splits are those of `opened`, and a workdir."""
    config = tiny(tmp_path, **{"data.dev": "test", "data.test": "test"})
    monkeypatch.setattr(splits, "metadata", lambda data: {"split_hash": "1-2"})
    monkeypatch.setattr(sources, "is_built", lambda *_: True)
    monkeypatch.setattr(sources, "open_split", lambda _, __, split, **___: opened[split])
    return config, tmp_path


def test_a_run_prints_one_line_stores_all_pairs_and_reads_them_when_resumed(run, monkeypatch):
    config, workdir = run
    (line,) = leak_check.check(config, workdir)
    assert "\n" not in line
    assert f"{len(EXPECTED) - leak_check.SHOWN} more" in line
    assert "va_jax inspect" in line
    (result,) = json.loads((workdir / leak_check.NAME).read_text())
    assert {frozenset((p["one"], p["other"])) for p in result["same_recording"]} == EXPECTED
    monkeypatch.setattr(leaks, "find_leaks", None)  # a second comparison would fail
    assert leak_check.check(config, workdir) == [line]


def test_the_check_can_be_switched_off_and_a_problem_never_stops_a_run(run, monkeypatch):
    config, workdir = run
    off = dataclasses.replace(config, data=dataclasses.replace(config.data, check_leaks=False))
    assert leak_check.check(off, workdir) == []
    assert not (workdir / leak_check.NAME).exists()

    def fail(*_, **__):
        raise OSError("disk on fire")

    monkeypatch.setattr(sources, "open_split", fail)
    (line,) = leak_check.check(config, workdir)
    assert "disk on fire" in line


def test_a_clean_built_set_gives_no_line(tiny_data, tmp_path):
    assert leak_check.check(tiny(tiny_data), tmp_path) == []
    (result,) = json.loads((tmp_path / leak_check.NAME).read_text())
    assert result["same_recording"] == []


def test_every_data_set_of_a_run_is_checked(run):
    config, workdir = run
    both = with_values(config, **{"data.name": "a/1,b/2"})
    lines = leak_check.check(both, workdir)
    assert [name in line for name, line in zip(("a/1", "b/2"), lines, strict=True)] == [True, True]
    results = json.loads((workdir / leak_check.NAME).read_text())
    assert [each["data"] for each in results] == ["a/1", "b/2"]


def test_the_parts_of_one_subject_are_not_compared(run):
    config, workdir = run
    values = {"data.subject": "s0000", "data.dev": "dev"}
    assert leak_check.check(with_values(config, **values), workdir) == []
