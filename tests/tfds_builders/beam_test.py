"""Apache Beam gives the same bytes, refusals, errors and restarts as worker processes.

The runner inside this process needs no download, unlike `DirectRunner`. With its worker processes,
everything is pickled, as with any other runner.
"""

import pathlib
import signal
import subprocess
import sys
import time
import traceback

import pytest

from tests.tfds_builders import toy
from tests.tfds_builders.layouts import write_crops, write_text
from tfds_builders import workers
from tfds_builders.build import main
from tfds_builders.material import Recording
from va_jax.types import InputError

pytest.importorskip("apache_beam")

INSIDE = "--runner=FnApiRunner"
PROCESSES = f"{INSIDE} --direct_num_workers=2 --direct_running_mode=multi_processing"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_toy(folder, data="data", strict=True):
    return toy.build_toy(folder, data, strict=strict, run=workers.beam([INSIDE]))


@pytest.fixture
def source(tmp_path):
    """Write three folders of crops; an image in the second is damaged."""
    folder = tmp_path / "in"
    for name in ("anna", "bert", "carl"):
        write_crops(folder / name, range(1, 41))
    write_text(folder / "bert" / "00034.jpg", "damaged")
    write_text(folder / "anna.csv", "0;.1;.2\n.5;.3;-.2\n1;.1;.2\n1.5;0;0\n")
    listing = "video,labels,split\nanna,anna.csv,train\nbert,,train\ncarl,,dev\n"
    write_text(folder / "videos.csv", listing)
    return folder


def run(source, data, *arguments):
    return main(["video_folder", f"--data_dir={data}", f"--manual_dir={source}", *arguments])


def files(data):
    return {
        str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()
    }


def test_records_metadata_and_report_equal_those_of_processes(tmp_path):
    expected = toy.contents(toy.build_toy(tmp_path))
    assert toy.contents(build_toy(tmp_path, "beam")) == expected


@pytest.mark.parametrize("flags", [INSIDE, pytest.param(PROCESSES, marks=pytest.mark.slow)])
def test_a_bad_recording_is_left_out_as_with_processes(tmp_path, source, capfd, flags):
    assert run(source, tmp_path / "jobs") == 3
    expected = capfd.readouterr().err.splitlines()[-2:]
    assert expected[0].startswith(f"left out: bert: {source / 'bert' / '00034.jpg'}: not a")
    assert run(source, tmp_path / "beam", f"--beam={flags}") == 3
    printed = capfd.readouterr().err.replace("/beam/", "/jobs/").splitlines()[-2:]
    assert printed == expected
    assert files(tmp_path / "beam") == files(tmp_path / "jobs")


def test_the_first_bad_recording_stops_a_strict_build(tmp_path, source, capfd):
    assert run(source, tmp_path / "data", "--strict", f"--beam={INSIDE}") == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {source / 'bert' / '00034.jpg'}: not a readable JPEG")
    assert not list((tmp_path / "data").rglob("1.0.0"))


def test_a_bug_keeps_its_traceback_and_names_the_track(tmp_path):
    (tmp_path / "train1").write_text("crash")
    with pytest.raises(KeyError, match="a bug") as caught:
        build_toy(tmp_path)
    text = "".join(traceback.format_exception(caught.value))
    assert "in extract_toy" in text
    assert "while extracting track 'train1'" in text


@pytest.mark.slow
def test_a_killed_build_resumes_with_the_missing_recordings(tmp_path):
    expected = toy.contents(toy.build_toy(tmp_path, "other"))
    (tmp_path / "log").unlink()
    (tmp_path / "hang").write_text("")
    code = f"from tests.tfds_builders import beam_test; beam_test.build_toy({str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() or "train2" not in toy.log_of(tmp_path):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    *finished, hanging = toy.log_of(tmp_path)
    assert (finished, hanging) == (["train0", "train1"], "train2")
    (tmp_path / "hang").unlink()
    (tmp_path / "log").unlink()
    assert toy.contents(build_toy(tmp_path)) == expected
    assert toy.log_of(tmp_path) == ["train2", "dev0"]
    assert [path.name for path in (tmp_path / "data/toy/noise").iterdir()] == ["1.0.0"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runnr=DirectRunner"], "'--runnr=DirectRunner': the runner is missing; add --runner="),
        (["--runner=Nope"], "'--runner=Nope': Unexpected pipeline runner: Nope. Valid values are"),
        (["--runner=DataflowRunner"], "Missing required option: project"),
    ],
)
def test_flags_that_beam_refuses_give_one_line(tmp_path, flags, message):
    with pytest.raises(InputError, match=message) as caught:
        list(workers.beam(flags)(None, []))
    assert "\n" not in str(caught.value)


def test_rows_that_workers_wrote_elsewhere_are_missed(tmp_path):
    """As on machines that do not share the data folder."""
    task = (Recording("a", "a", "a"), tmp_path / "part.array_record")
    with pytest.raises(InputError, match=r"part.json: not found after the Beam job"):
        list(workers.beam([INSIDE])(leave_nothing, [task]))


def leave_nothing(recording, part):
    return {}
