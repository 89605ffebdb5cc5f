"""What clusters and disks do to a run: it stops with one line and goes on, or counts."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kills
from tests.train.loop_test import tiny
from va_jax.data import sources
from va_jax.train import failures
from va_jax.train.loop import train
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def damaged(tmp_path, tiny_data):
    """A copy of the data set, one of whose records of train cannot be read."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (path,) = data.glob("synthetic_faces/tiny/*/*train*array_record*")
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 3] ^= 255
    path.write_bytes(stored)
    sources._builder.cache_clear()
    return data


def read_all(data, max_bad_records=0):
    source = sources.open_split(
        str(data), "synthetic_faces/tiny", "train", max_bad_records=max_bad_records
    )
    read = []
    for number, track in enumerate(source.tracks):
        images = np.empty((track.frames, source.size, source.size, 3), np.uint8)
        read.append((source.read(number, np.arange(track.frames), images), images))
    return source, read


def test_a_split_without_tracks_is_named(tmp_path, tiny_data):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (path,) = data.glob("synthetic_faces/tiny/*/metadata.json")
    facts = json.loads(path.read_text())
    facts["tracks"]["dev"] = []
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="split 'dev' has no track"):
        sources.open_split(str(data), "synthetic_faces/tiny", "dev")


def test_a_bad_record_is_named_with_its_track_and_the_remedy(damaged):
    remedy = r"record \d+, frames \d+ to \d+ of track '.*', cannot be read: .*max_bad_records=1"
    with pytest.raises(InputError, match=remedy):
        read_all(damaged)


def test_a_bad_record_that_may_be_left_out_is_frames_without_face_and_label(damaged, tiny_data):
    source, read = read_all(damaged, max_bad_records=1)
    (number,) = source.bad
    _, whole = read_all(tiny_data)
    for index, ((labels, images), (all_labels, all_images)) in enumerate(
        zip(read, whole, strict=True)
    ):
        first = source.tracks[index].first_record
        frames = np.arange(len(images))
        lost = frames // 32 + first == number
        assert not labels.face[lost].any()
        assert np.isnan(labels.target[lost]).all()
        assert not images[lost].any()
        np.testing.assert_array_equal(images[~lost], all_images[~lost])
        np.testing.assert_array_equal(labels.target[~lost], all_labels.target[~lost])
        np.testing.assert_allclose(labels.time_s, all_labels.time_s, atol=1e-5)


def test_a_picture_that_cannot_be_decoded_counts_as_one_without_a_face(tiny_data):
    source = sources.open_split(str(tiny_data), "synthetic_faces/tiny", "train", max_bad_records=1)
    records = source._records

    def broken(numbers):
        found = records(numbers)
        for number, record in zip(numbers, found, strict=True):
            if number == 0:
                record["frames"][3] = record["frames"][3][:50]
        return found

    source._records = broken
    images = np.empty((6, source.size, source.size, 3), np.uint8)
    labels = source.read(0, np.arange(6), images)
    assert labels.face.tolist() == [True, True, True, False, True, True]
    assert not images[3].any()
    assert list(source.bad) == [0]


@pytest.mark.slow
def test_a_run_counts_what_it_leaves_out_and_stops_where_it_may_not(tmp_path, damaged, capsys):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        check_counts(tmp_path, damaged, capsys)


def check_counts(tmp_path, damaged, capsys):
    changes = {"data.dir": str(damaged), "train.steps": 4, "train.log_every_steps": 2}
    with pytest.raises(InputError, match="max_bad_records=1"):
        train(tiny(damaged, **changes), tmp_path / "run")
    train(tiny(damaged, **changes, **{"data.max_bad_records": 1}), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [x["bad_records"] for x in lines if x["kind"] == "train"][-1] == 1
    assert "warning: record" in capsys.readouterr().err


def test_lines_name_the_disk_the_memory_and_nothing_else():
    error = ValueError("while saving")
    error.__cause__ = OSError(28, "No space left on device")
    assert failures.message(error).startswith("No space left on device; solve this problem")
    stored = ValueError("RESOURCE_EXHAUSTED: Error writing local file [os_error_code='28']")
    assert failures.message(stored).startswith("No space left on device; solve this problem")
    assert "train.batch_size" in failures.message(MemoryError("8 GiB"))
    assert failures.message(ValueError("a bug")) is None
    dispatched = jax.errors.JaxRuntimeError("INTERNAL: Out of memory allocating 177 bytes.")
    assert failures.message(dispatched).startswith("not enough memory on the device: INTERNAL")
    repeated = MemoryError("INTERNAL: " + 99 * "Error dispatching: " + "8 GiB")
    assert "not enough memory: INTERNAL: Error dispatching: 8 GiB;" in failures.message(repeated)


def test_a_device_whose_memory_does_not_suffice_names_the_keys(monkeypatch):
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        jax.block_until_ready(jax.jit(jnp.outer)(jnp.ones(10**7), jnp.ones(10**7)))  # 400 TB
    line = failures.message(caught.value)
    assert line.startswith("not enough memory on the device: RESOURCE_EXHAUSTED")
    assert line.endswith("data.size, or choose a smaller model.backbone")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "raise train.accumulate, or set model.remat=True" in failures.message(caught.value)


def command(workdir, data, *flags):
    set_here = {flag.partition("=")[0] for flag in flags}
    others = [flag for flag in kills.FLAGS if flag.partition("=")[0] not in set_here]
    return [
        sys.executable, "-m", "va_jax.main", "--config=configs/quickstart.py:tiny",
        f"--workdir={workdir}", f"--config.data.dir={data}", *others, *flags,
    ]  # fmt: skip


def run(*given):
    return subprocess.run(
        command(*given),
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_whole(small_disk, tiny_data):
    short = ("--config.train.steps=80", "--config.checkpoint.keep=9")  # all four are kept
    done = run(small_disk / "run", tiny_data, *short)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: No space left on device")
    saved = [x for x in (small_disk / "run" / "checkpoints").iterdir() if x.name.isdecimal()]
    assert saved
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert run(small_disk / "run", tiny_data, *short).returncode == 0


@pytest.mark.slow
def test_a_disk_that_cannot_be_written_is_one_line(small_disk, tiny_data):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = run(small_disk / "run", tiny_data)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: Read-only file system")


@pytest.mark.slow
def test_a_network_too_large_for_the_memory_is_one_line(tmp_path, tiny_data):
    done = run(tmp_path / "run", tiny_data, "--config.model.units=3000000")  # 144 TB of LSTM
    assert done.returncode == 1
    assert "error: not enough memory on the device: RESOURCE_EXHAUSTED" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_job_that_loses_a_process_and_is_stopped_ends_bit_identical(
    tmp_path, tiny_data, monkeypatch
):
    """The other ends in time with a line; if one is asked to stop, both save and stop."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compile fast
    seldom = [re.sub(r"(checkpoint.every_steps)=\d+", r"\1=40", flag) for flag in kills.FLAGS]
    monkeypatch.setattr(kills, "FLAGS", seldom)
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    kills.whole(whole, tiny_data, 2)

    job = start_and_wait_for(disturbed, tiny_data, step=40)
    time.sleep(0.3)  # both take steps again
    job.running[1].send_signal(signal.SIGKILL)
    start = time.monotonic()
    assert job.wait() == [1, -signal.SIGKILL]
    assert time.monotonic() - start < 90
    assert "another process in the job was lost" in job.output()

    step = last_step(disturbed) + 40
    job = start_and_wait_for(disturbed, tiny_data, step)
    job.running[1].send_signal(signal.SIGTERM)
    assert job.wait() == [0, 0], job.output()
    assert job.output().count("stopped on request") == 2
    assert step <= last_step(disturbed) < kills.STEPS

    kills.whole(disturbed, tiny_data, 2)
    assert kills.identical(whole, disturbed)


def start_and_wait_for(workdir, data, step):
    """Return a job of two processes that has saved a checkpoint at this step."""
    job = kills.Job(workdir, data, 2)
    while not (workdir / "checkpoints" / str(step)).exists():
        assert all(process.poll() is None for process in job.running), job.output()
        time.sleep(0.02)
    return job


def last_step(workdir):
    return max(int(x.name) for x in workdir.glob("checkpoints/*") if x.name.isdecimal())
