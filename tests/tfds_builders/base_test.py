"""The base of all builders: records, metadata, restart after a failure, worker processes."""

import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.tfds_builders import toy
from tests.tfds_builders.toy import (
    LENGTHS,
    Toy,
    ToyConfig,
    build_toy,
    contents,
    log_of,
    toy_frames,
)
from tfds_builders import base, parts, shards, workers
from tfds_builders.base import clips
from tfds_builders.material import Recording
from va_jax.types import CLIP_FRAMES, InputError, Track

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_records_come_back_in_order_and_bit_for_bit(tmp_path):
    directory = build_toy(tmp_path)
    source = tfds.builder_from_directory(directory).as_data_source("train")
    facts = tfds.builder_from_directory(directory).info.metadata
    assert [len(record["frames"]) for record in source] == [30, 32, 32, 1]
    for n, row in enumerate(facts["tracks"]["train"]):
        track = Track(**row)
        expected = list(toy_frames(n + len("train"), track.frames, 16))
        records = [source[track.first_record + index] for index in range(track.records)]
        firsts = [record["first_frame"] for record in records]
        assert firsts == [index * CLIP_FRAMES for index in range(track.records)]
        for key, index in (("track_id", "track_id"), ("video_id", "video_id")):
            assert {record[key].decode() for record in records} == {row[index]}
        stored = {
            key: np.concatenate([record[key] for record in records])
            for key in ("frames", "target", "face", "time_s", "landmarks")
        }
        assert list(stored["frames"]) == [frame.jpeg for frame in expected]
        np.testing.assert_array_equal(stored["target"], [frame.target for frame in expected])
        np.testing.assert_array_equal(stored["face"], [frame.face for frame in expected])
        np.testing.assert_array_equal(stored["time_s"], np.arange(track.frames, dtype="f4") / 25)
        np.testing.assert_array_equal(stored["landmarks"], [f.landmarks for f in expected])


def test_metadata_tell_what_the_records_hold(tmp_path):
    facts = tfds.builder_from_directory(build_toy(tmp_path)).info.metadata
    assert facts["dims"] == ["valence", "arousal"]
    assert facts["crop"] == {"size": 16}
    assert facts["fps"] == 25
    assert facts["ceiling"] == {"train": 3, "dev": 1}
    assert facts["options"] == {"orders": str(tmp_path), "side": 16, "careful": False}
    assert [row["first_record"] for row in facts["tracks"]["train"]] == [0, 1, 3]
    assert facts["tracks"]["dev"][0]["group"] == "noise"
    frames = [f for n, length in enumerate(LENGTHS["train"]) for f in toy_frames(n + 5, length, 16)]
    target = np.array([frame.target for frame in frames], np.float64)
    face = np.array([frame.face for frame in frames])
    labelled = ~np.isnan(target).any(1)
    mean = target[face & labelled].mean(0)
    np.testing.assert_allclose([*facts["train_mean"].values()], mean, rtol=1e-9)
    counts = {
        "tracks": 3,
        "frames": 95,
        "face": face.sum(),
        "labelled": labelled.sum(),
        "tally": {},
    }
    assert facts["counts"]["train"] == {**counts, "used": (face & labelled).sum()}


def test_split_hash_covers_the_split_and_the_labels_of_every_track(tmp_path, monkeypatch):
    def hashes(data):
        facts = tfds.builder_from_directory(build_toy(tmp_path, data)).info.metadata
        return facts["split_hash"].split("-")

    def relabelled(seed, length, side):
        for index, frame in enumerate(toy_frames(seed, length, side)):
            yield frame._replace(target=frame.target / 2) if index == 20 else frame

    first = hashes("first")
    assert first == hashes("again")
    monkeypatch.setattr(toy, "toy_frames", relabelled)
    labels = hashes("labels")
    assert (first[0] == labels[0], first[1] == labels[1]) == (True, False)
    monkeypatch.undo()
    monkeypatch.setitem(LENGTHS, "dev", (75, 2))
    other = hashes("other")
    assert (first[0] == other[0], first[1] == other[1]) == (False, False)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    one = build_toy(tmp_path, "one", jobs=1)
    two = build_toy(tmp_path, "two", jobs=2)
    assert contents(one) == contents(two)
    assert not one.with_name("1.0.0.parts").exists()


def test_many_shards_read_as_one_sequence(tmp_path, monkeypatch):
    whole = build_toy(tmp_path, "whole")
    monkeypatch.setattr(shards, "SHARD_BYTES", 200_000)
    cut = build_toy(tmp_path, "cut")
    assert len(list(cut.glob("*train*"))) == 2
    sources = [tfds.builder_from_directory(each).as_data_source("train") for each in (whole, cut)]
    assert [list(a["frames"]) for a in sources[0]] == [list(b["frames"]) for b in sources[1]]


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_failure_only_the_missing_recordings_are_extracted(tmp_path, jobs):
    expected = contents(build_toy(tmp_path, "reference"))
    (tmp_path / "log").unlink()
    order = tmp_path / "train2"
    order.write_text("fail")
    with pytest.raises(InputError, match=r"train2: cannot be read; repair it") as caught:
        build_toy(tmp_path, jobs=jobs)
    assert "\n" not in str(caught.value)
    folder = tmp_path / "data" / "toy" / "noise"
    assert [path.name for path in folder.iterdir()] == ["1.0.0.parts"]
    assert not list(folder.rglob("*.tmp"))
    finished = {json.loads(p.read_text())["track"]["track_id"] for p in folder.rglob("*.json")}
    assert {"train0", "train1"} <= finished
    (tmp_path / "log").unlink()
    order.write_text("")
    assert contents(build_toy(tmp_path, jobs=jobs)) == expected
    assert set(log_of(tmp_path)) == {"train0", "train1", "train2", "dev0"} - finished


def test_a_killed_build_resumes(tmp_path):
    expected = contents(build_toy(tmp_path, "reference"))
    (tmp_path / "hang").touch()
    (tmp_path / "log").unlink()
    code = f"from tests.tfds_builders import toy; toy.build_toy({str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() or "train2" not in log_of(tmp_path):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = tmp_path / "data" / "toy" / "noise"
    assert any(path.name.startswith("incomplete.") for path in folder.iterdir())
    (tmp_path / "hang").unlink()
    (tmp_path / "log").unlink()
    assert contents(build_toy(tmp_path)) == expected
    assert log_of(tmp_path) == ["train2", "dev0"]
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]


def test_a_changed_source_is_extracted_again(tmp_path):
    (tmp_path / "dev0").write_text("fail")
    for _ in range(2):
        with pytest.raises(InputError, match="dev0"):
            build_toy(tmp_path)
        (tmp_path / "train1").write_text("new")
    assert log_of(tmp_path) == ["train0", "train1", "train2", "dev0", "train1", "dev0"]


def test_other_options_make_other_parts(tmp_path):
    (tmp_path / "dev0").write_text("fail")
    for options in ({}, {"side": 8}):
        with pytest.raises(InputError, match="dev0"):
            build_toy(tmp_path, options=options)
    assert log_of(tmp_path) == ["train0", "train1", "train2", "dev0"] * 2


def test_a_recording_refused_after_extraction_is_not_extracted_again(tmp_path):
    with pytest.raises(InputError, match="train2 is too short"):
        build_toy(tmp_path, options={"careful": True}, strict=True)
    build_toy(tmp_path)
    assert log_of(tmp_path) == ["train0", "train1", "train2", "dev0"]


def test_a_bug_in_a_worker_keeps_its_traceback_and_names_the_track(tmp_path):
    (tmp_path / "train1").write_text("crash")
    with pytest.raises(KeyError, match="a bug") as caught:
        build_toy(tmp_path)
    assert "while extracting track 'train1'" in caught.value.__notes__[0]


def test_a_worker_that_dies_gives_one_line(tmp_path):
    (tmp_path / "train1").write_text("die")
    with pytest.raises(InputError, match=r"a worker process died.*fewer than 2 jobs"):
        build_toy(tmp_path, jobs=2)


def test_a_second_build_of_the_same_set_is_refused(tmp_path):
    parts = tmp_path / "data" / "toy" / "noise" / "1.0.0.parts"
    with base._locked(parts), pytest.raises(InputError, match="in use by another build"):
        build_toy(tmp_path)
    build_toy(tmp_path)


def test_waiting_ends_with_the_other_build(tmp_path):
    parts = tmp_path / "1.0.0.parts"
    base.wait_for_other_build(parts)  # none: at once
    waiter = threading.Thread(target=base.wait_for_other_build, args=(parts,))
    with base._locked(parts):
        waiter.start()
        waiter.join(0.2)
        assert waiter.is_alive()
    waiter.join(10)
    assert not waiter.is_alive()


def test_whoever_waits_finds_the_complete_set(tmp_path, monkeypatch):
    """A second build is asked to wait while the first one writes its last files."""
    final, found = tmp_path / "data" / "toy" / "noise" / "1.0.0", []

    def wait():
        base.wait_for_other_build(final.with_name("1.0.0.parts"))
        found.append((final / "dataset_info.json").exists())

    waiter, write = threading.Thread(target=wait), base.croissant.write

    def write_late(*given):
        waiter.start()
        time.sleep(0.3)
        write(*given)

    monkeypatch.setattr(base.croissant, "write", write_late)
    build_toy(tmp_path)
    waiter.join(10)
    assert found == [True]
    assert not final.with_name("1.0.0.parts").exists()


def test_a_name_that_is_not_utf8_is_one_line(tmp_path, monkeypatch):
    latin = "Jos\udce9"  # as Python reads a name in Latin-1
    listed = {"train": [Recording(latin, latin, latin)]}
    monkeypatch.setattr(Toy, "recordings", lambda self, manual_dir: listed)
    toy = Toy(data_dir=tmp_path, config=ToyConfig(name="noise", orders=str(tmp_path)))
    with pytest.raises(InputError, match=r"'Jos.udce9': the name of the file is not UTF-8"):
        toy.download_and_prepare()


def test_a_missing_source_and_a_repeated_track_are_refused(tmp_path, monkeypatch):
    toy = Toy(data_dir=tmp_path, config=ToyConfig(name="noise", orders=str(tmp_path)))
    with pytest.raises(InputError, match=r"train0: does not exist; .* 'train0'"):
        toy.download_and_prepare()
    twice = {"train": [Recording("a", "a", "a"), Recording("a", "b", "b")]}
    monkeypatch.setattr(Toy, "recordings", lambda self, manual_dir: twice)
    with pytest.raises(InputError, match="track 'a' appears twice"):
        toy.download_and_prepare()
    monkeypatch.setattr(Toy, "recordings", lambda self, manual_dir: {"train": []})
    with pytest.raises(InputError, match="no recordings"):
        toy.download_and_prepare()


def test_clips_that_break_the_schema_are_refused(tmp_path):
    good = next(iter(clips(toy_frames(0, 8, 16))))
    bad = {
        "target": good.target * 9,
        "time_s": good.time_s[::-1],
        "landmarks": None,
        "face": good.face[:2],
        "frames": [],
    }
    for field, value in bad.items():
        plan = parts.Plan(
            lambda recording, config, tally, v=value, f=field: (
                25.0,
                iter([good._replace(**{f: v})]),
            ),
            None,
            {},
            field,
            ("valence", "arousal"),
            2,
        )
        with pytest.raises(ValueError, match=r"clip"):
            parts.extract_all([Recording("a", "a", "a")], plan, tmp_path, workers.processes(1))
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_recording():
    """`clips` draws no more frames than one clip holds."""
    drawn = []

    def frames():
        for frame in toy_frames(0, 100, 16):
            drawn.append(frame)
            yield frame

    next(clips(frames()))
    assert len(drawn) == CLIP_FRAMES
