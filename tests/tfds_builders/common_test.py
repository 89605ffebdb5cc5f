"""The machinery of all builders: records, metadata, restart, worker processes, splits."""

import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds
from etils import epath

from tfds_builders import common, shards, workers
from tfds_builders.common import Frame, TrackBuilder, clips
from tfds_builders.splits import subject_disjoint_splits
from tfds_builders.writer import Recording, extract_all
from va_jax.types import CLIP_FRAMES, InputError, Track
from va_jax.video import jpeg

HERE = pathlib.Path(__file__).resolve().parent
LENGTHS = {"train": (30, 64, 1), "dev": (75,)}  # frames of the tracks of each split


@dataclasses.dataclass
class ToyConfig(tfds.core.BuilderConfig):
    """Where the toy's orders lie: a file per track, read by `extract_toy`."""

    orders: str = ""
    side: int = 16
    careful: bool = False


def toy_frames(seed, length, side):
    rng = np.random.default_rng(seed)
    for index in range(length):
        image = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        valence, arousal = rng.uniform(-1, 1, 2)
        target = np.array([valence, np.nan if index % 5 == 4 else arousal], np.float32)
        landmarks = rng.random((2, 2), np.float32)
        yield Frame(jpeg.encode(image), target, index % 3 != 1, index / 25, landmarks)


def extract_toy(recording, config, tally):
    order = pathlib.Path(recording.files["order"])
    with (order.parent / "log").open("a") as log:
        log.write(f"{recording.track_id}\n")
    what = order.read_text()
    if what == "fail":
        raise InputError(f"{order}: cannot be read; repair it")
    if what == "die":
        os._exit(9)
    if what == "crash":
        raise KeyError("a bug")
    while order.with_name("hang").exists() and recording.track_id == "train2":
        time.sleep(0.02)
    frames = toy_frames(recording.details["seed"], recording.details["length"], config.side)
    return 25.0, clips(frames)


class Toy(TrackBuilder):
    """Three training tracks and one dev track of noise."""

    extract = staticmethod(extract_toy)
    points = 2
    late_options = ("careful",)
    pkg_dir_path = epath.Path(HERE)

    @property
    def crop(self):
        return {"size": self.builder_config.side}

    def recordings(self, manual_dir):
        orders = pathlib.Path(self.builder_config.orders)
        return {
            split: [
                Recording(
                    f"{split}{n}",
                    f"video{n}",
                    f"{split}-subject{n}",
                    {"order": str(orders / f"{split}{n}")},
                    group="noise",
                    details={"seed": n + len(split), "length": length},
                )
                for n, length in enumerate(lengths)
            ]
            for split, lengths in LENGTHS.items()
        }

    def accept(self, recording, row):
        if self.builder_config.careful and row["track"]["frames"] < 2:
            raise InputError(f"{recording.track_id} is too short; build without careful")

    def extras(self, recordings):
        return {"ceiling": {split: len(tracks) for split, tracks in recordings.items()}}


def build_toy(folder, data="data", jobs=1, strict=True, run=None, **kwargs):
    folder = pathlib.Path(folder)
    for split, lengths in LENGTHS.items():
        for n in range(len(lengths)):
            order = folder / f"{split}{n}"
            if not order.exists():
                order.write_text("")
    config = ToyConfig(name="noise", orders=str(folder))
    run = run or workers.processes(jobs)
    builder = Toy(data_dir=folder / data, config=config, run=run, strict=strict, **kwargs)
    builder.download_and_prepare()
    return pathlib.Path(builder.data_dir)


def contents(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def log_of(folder):
    return (folder / "log").read_text().split()


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


def test_split_hash_tells_which_track_is_in_which_split(tmp_path, monkeypatch):
    first = tfds.builder_from_directory(build_toy(tmp_path)).info.metadata
    again = tfds.builder_from_directory(build_toy(tmp_path, "again")).info.metadata
    assert first["split_hash"] == again["split_hash"]
    monkeypatch.setitem(LENGTHS, "dev", (75, 2))
    other = tfds.builder_from_directory(build_toy(tmp_path, "other")).info.metadata
    assert first["split_hash"] != other["split_hash"]


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


def test_a_killed_build_goes_on_where_it_was(tmp_path):
    expected = contents(build_toy(tmp_path, "reference"))
    (tmp_path / "hang").touch()
    (tmp_path / "log").unlink()
    code = f"import common_test; common_test.build_toy({str(tmp_path)!r})"
    path = {"PYTHONPATH": f"{HERE}:{HERE.parent}", "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen([sys.executable, "-c", code], env=path, stderr=subprocess.DEVNULL)
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


def test_what_is_refused_after_extraction_is_not_extracted_again(tmp_path):
    with pytest.raises(InputError, match="train2 is too short"):
        build_toy(tmp_path, options={"careful": True}, strict=True)
    build_toy(tmp_path)
    assert log_of(tmp_path) == ["train0", "train1", "train2", "dev0"]


def test_a_bug_in_a_worker_keeps_its_traceback_and_names_the_track(tmp_path):
    (tmp_path / "train1").write_text("crash")
    with pytest.raises(KeyError, match="a bug") as caught:
        build_toy(tmp_path)
    assert "while extracting track 'train1'" in caught.value.__notes__[0]


def test_a_worker_that_dies_is_told_in_one_line(tmp_path):
    (tmp_path / "train1").write_text("die")
    with pytest.raises(InputError, match=r"a worker process died.*lower jobs=2"):
        build_toy(tmp_path, jobs=2)


def test_two_builds_of_one_set_do_not_meet(tmp_path):
    parts = tmp_path / "data" / "toy" / "noise" / "1.0.0.parts"
    with common._locked(parts), pytest.raises(InputError, match="in use by another build"):
        build_toy(tmp_path)
    build_toy(tmp_path)


def test_waiting_ends_with_the_other_build(tmp_path):
    parts = tmp_path / "1.0.0.parts"
    common.wait_for_other_build(parts)  # none: at once
    waiter = threading.Thread(target=common.wait_for_other_build, args=(parts,))
    with common._locked(parts):
        waiter.start()
        waiter.join(0.2)
        assert waiter.is_alive()
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_missing_source_and_a_repeated_track_are_refused(tmp_path, monkeypatch):
    toy = Toy(data_dir=tmp_path, config=ToyConfig(name="noise", orders=str(tmp_path)))
    with pytest.raises(InputError, match=r"train0 of track 'train0' does not exist"):
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
        plan = common.writer.Plan(
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
            extract_all([Recording("a", "a", "a")], plan, tmp_path, workers.processes(1))
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_recording():
    """`clips` draws no more frames than it hands on."""
    drawn = []

    def frames():
        for frame in toy_frames(0, 100, 16):
            drawn.append(frame)
            yield frame

    next(clips(frames()))
    assert len(drawn) == CLIP_FRAMES


def test_jpeg_is_420_and_close_to_the_image():
    y, x = np.mgrid[:48, :48].astype(np.float32)
    image = np.stack([100 + 2 * x, 150 - y, 80 + x + y], -1).astype(np.uint8)
    data = jpeg.encode(image[:, ::-1])
    assert simplejpeg.decode_jpeg_header(data)[2:] == ("YCbCr", "420")
    difference = simplejpeg.decode_jpeg(data).astype(float) - image[:, ::-1]
    assert np.abs(difference).mean() < 1.5


SHARES = {"train": 0.7, "dev": 0.15, "test": 0.15}


def sizes(splits):
    return [list(splits.values()).count(name) for name in SHARES]


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (20, [14, 3, 3])],
)
def test_splits_have_the_shares_and_train_comes_first(subjects, expected):
    splits = subject_disjoint_splits((f"s{n}" for n in range(subjects)), 0, SHARES)
    assert sizes(splits) == expected


def test_splits_depend_on_seed_and_names_alone():
    names = [f"s{n}" for n in range(40)]
    splits = subject_disjoint_splits(names, 1, SHARES)
    assert splits == subject_disjoint_splits(names[::-1] * 2, 1, SHARES)
    assert splits != subject_disjoint_splits(names, 2, SHARES)
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"1:{name}".encode()).digest())
    assert {splits[name] for name in ranked[:28]} == {"train"}
    assert {splits[name] for name in ranked[28:34]} == {"dev"}


def test_strata_are_shared_out_evenly():
    strata = {f"s{n}": "abcde"[n % 5] for n in range(50)}
    splits = subject_disjoint_splits(strata, 0, SHARES, strata)
    assert sizes(splits) == [35, 8, 7] or sizes(splits) == [35, 7, 8]
    for culture in "abcde":
        inside = {name: split for name, split in splits.items() if strata[name] == culture}
        assert np.abs(np.array(sizes(inside)) - [7, 1.5, 1.5]).max() <= 1


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(InputError, match="not shares that sum to 1"):
        subject_disjoint_splits(["a"], 0, {"train": 0.7, "dev": 0.7})
