"""The command that builds a set: its output, and when it refuses, keeps or replaces a set."""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds
from tensorflow_datasets.core.read_only_builder import builder_from_files

from tests.tfds_builders.layouts import build, write_text
from tfds_builders import shards
from tfds_builders.build import builder_class, main
from va_jax import io
from va_jax.cli import command
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def source(tmp_path):
    """Write a folder of crops for each of two subjects, and labels for one."""
    folder = tmp_path / "in"
    for number, name in enumerate(("anna", "bert")):
        (folder / name).mkdir(parents=True)
        for frame in range(1, 5):
            image = np.full((112, 112, 3), 50 * number + frame, np.uint8)
            (folder / name / f"{frame}.jpg").write_bytes(simplejpeg.encode_jpeg(image))
    (folder / "anna.csv").write_text("0;.1;.2\n.04;.1;.2\n.08;.1;.2\n.12;.1;.2\n")
    (folder / "videos.csv").write_text("video,labels,split\nanna,anna.csv,train\nbert,,test\n")
    return folder


def run(tmp_path, *arguments):
    return main([*arguments, f"--data_dir={tmp_path / 'data'}", f"--manual_dir={tmp_path / 'in'}"])


def test_the_command_builds_a_set_once_and_describes_it(tmp_path, source, capsys):
    assert run(tmp_path, "video_folder/112") == 0
    directory = tmp_path / "data" / "video_folder" / "112" / "1.0.0"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"built: {directory}"
    assert lines[1] == "valence, arousal at 25 fps, crops of 112 px"
    table = [" ".join(line.split()) for line in lines[2:]]
    assert table == [
        "train 1 tracks 4 frames, 100% with a face, 100% labelled",
        "rows 4",
        "test 1 tracks 4 frames, 100% with a face, 0% labelled",
    ]
    for name in ("video_folder/112", "video_folder"):
        assert (
            pathlib.Path(builder_from_files(name, data_dir=tmp_path / "data").data_dir) == directory
        )
    stamps = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert run(tmp_path, "video_folder") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"already built: {directory}"
    assert stamps == {path: path.stat().st_mtime_ns for path in directory.iterdir()}


def test_a_bad_recording_is_left_out_and_printed_and_the_exit_code_is_3(tmp_path, source, capsys):
    (source / "anna.csv").write_text("0;.1;.2\n.04;.1;9\n")
    directory = tmp_path / "data" / "video_folder" / "112" / "1.0.0"
    for _ in range(2):  # the second time the set exists
        assert run(tmp_path, "video_folder/112") == 3
        error = capsys.readouterr().err.splitlines()[-2:]
        assert error[0].startswith("left out: anna: ")
        assert "anna.csv: line 2: arousal 9 is outside [-1, 1]" in error[0]
        assert error[1] == f"recordings left out: 1 (see {directory / 'report.csv'})"
    lines = [line.split(",") for line in (directory / "report.csv").read_text().splitlines()]
    header = "split,track_id,video_id,subject_id,status,frames,fps,face,labelled,used,reason"
    assert lines[0] == header.split(",")
    assert lines[1][:5] == ["train", "anna", "anna", "anna", "refused"]
    assert lines[2] == ["test", "bert", "bert", "bert", "built", "4", "25.0", "4", "0", "0", ""]
    assert run(tmp_path, "video_folder/112", "--strict", "--overwrite") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    (source / "anna.csv").write_text("0;.1;.2\n.04;.1;.9\n")
    assert run(tmp_path, "video_folder/112", "--overwrite") == 0


def test_without_any_good_recording_nothing_is_built(tmp_path, source, capsys):
    (source / "anna.csv").unlink()
    (source / "anna.csv").write_text("")
    (source / "bert" / "2.jpg").write_bytes(b"damaged")
    assert run(tmp_path, "video_folder/112") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "anna.csv: the file is empty" in error
    assert error.endswith("(and 1 more problems; no recordings remain)")
    assert not list((tmp_path / "data" / "video_folder").glob("112/1.0.0"))


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def noise(source, tracks=6, frames=150):
    """Write crops of noise that must be resized, so that the extraction takes a while."""
    rng = np.random.default_rng(0)
    lines = ["video,labels,split"]
    for n in range(tracks):
        (source / f"{n}").mkdir(parents=True)
        for frame in range(frames):
            image = rng.integers(0, 255, (400, 400, 3), dtype=np.uint8)
            (source / f"{n}" / f"{frame}.jpg").write_bytes(simplejpeg.encode_jpeg(image))
        rows = "".join(f"{k / 25:.2f},{n / 10},{k / 1000}\n" for k in range(frames))
        write_text(source / f"{n}.csv", f"time_s,valence,arousal\n{rows}")
        lines.append(f"{n},{n}.csv,{'train' if n < tracks - 1 else 'dev'}")
    write_text(source / "videos.csv", "\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_builds_killed_while_they_extract_or_write_end_with_the_same_bytes(tmp_path, jobs):
    noise(tmp_path / "in")

    def command(data):
        folders = f"--data_dir={tmp_path / data}", f"--manual_dir={tmp_path / 'in'}"
        name = "video_folder/112"
        return [sys.executable, "-m", "tfds_builders.build", name, f"--jobs={jobs}", *folders]

    def finished():
        return len(list(folder.glob("1.0.0.parts/*.json")))

    def being_written():
        return [each for each in folder.glob("1.0.0.parts/*.tmp") if each.exists()]

    subprocess.run(command("whole"), check=True, capture_output=True, cwd=ROOT)
    folder = tmp_path / "killed" / "video_folder" / "112"
    moments = [lambda n=n: finished() >= n and being_written() for n in (0, 1, 3)]
    moments.append(lambda: list(folder.glob("incomplete.*/*-dev.array_record*")))
    kept = 0
    for moment in moments:
        process = subprocess.Popen(
            command("killed"), stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
        )
        while not moment():
            assert process.poll() is None, "the build ended before it was killed"
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "1.0.0").exists()
        assert finished() >= kept
        kept = finished()
    last = subprocess.run(command("killed"), check=True, capture_output=True, cwd=ROOT, text=True)
    assert last.stdout.startswith("built: ")
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]
    whole = tmp_path / "whole" / "video_folder" / "112" / "1.0.0"
    assert files_of(folder / "1.0.0") == files_of(whole)


@pytest.mark.slow
def test_an_overwrite_killed_while_it_extracts_leaves_the_old_set_and_then_replaces_it(tmp_path):
    noise(tmp_path / "in", tracks=3)
    flags = [f"--data_dir={tmp_path / 'data'}", f"--manual_dir={tmp_path / 'in'}"]
    command = [sys.executable, "-m", "tfds_builders.build", "video_folder/112", *flags]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    folder = tmp_path / "data" / "video_folder" / "112"
    before = files_of(folder / "1.0.0")
    again = [*command, "--overwrite"]
    process = subprocess.Popen(again, stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True)
    while not list(folder.glob("1.0.0.overwrite/**/*.tmp")):
        assert process.poll() is None, "the build ended before it was killed"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert files_of(folder / "1.0.0") == before
    subprocess.run(again, check=True, capture_output=True, cwd=ROOT)
    assert files_of(folder / "1.0.0") == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "downloads",
        "video_folder",
    ]


class FullDisk:
    """An ArrayRecordWriter that fails when it is closed, as on a full disk."""

    def __init__(self, path, options):
        self.path = pathlib.Path(path)
        self.path.write_bytes(b"half")

    def write(self, record):
        pass

    def close(self):
        raise RuntimeError(f"write() failed: No space left on device; writing {self.path}")


@pytest.mark.parametrize("step", ["part", "row", "shard", "report", "description"])
def test_a_full_disk_is_one_line_and_the_same_command_continues(
    tmp_path, source, capsys, monkeypatch, step
):
    whole, _ = build("video_folder", tmp_path / "whole", source)

    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        if step in ("part", "shard"):
            records, writer = (
                shards.array_record_module,
                shards.array_record_module.ArrayRecordWriter,
            )
            choose = {"part": lambda path: True, "shard": lambda path: "incomplete" in path}[step]
            patch.setattr(
                records,
                "ArrayRecordWriter",
                lambda path, options: (FullDisk if choose(path) else writer)(path, options),
            )
        else:
            write = {"row": "write_text", "report": "write_csv", "description": "write_json"}[step]
            patch.setattr(io, write, full)
        assert run(tmp_path, "video_folder") == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
    assert line.startswith(f"error: No space left on device ({tmp_path / 'data'}")
    left = [path.name for path in (tmp_path / "data").rglob("*")]
    assert not [name for name in left if "tmp" in name or "incomplete" in name or name == "1.0.0"]
    assert run(tmp_path, "video_folder") == 0
    assert files_of(tmp_path / "data" / "video_folder" / "112" / "1.0.0") == files_of(whole)


def test_errors_are_one_line_and_exit_code_1(tmp_path, source, capsys):
    assert run(tmp_path, "video_folders") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: there is no builder 'video_folders'; choose from ")
    assert "video_folder" in error
    assert error.count("\n") == 1
    assert run(tmp_path, "video_folder/12") == 1
    assert "no config '12'; choose from 112, 96, 224" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_console_command_takes_the_same_flags(tmp_path, source, capsys):
    flags = [f"--data_dir={tmp_path / 'data'}", f"--manual_dir={source}"]
    assert command.main(["build", "video_folder", *flags, "--config_options", "fps=5"]) == 0
    assert "valence, arousal at 5 fps" in capsys.readouterr().out
    assert command.main(["build", "video_folder", *flags]) == 1
    assert "was built with fps=5" in capsys.readouterr().err


def test_options_in_several_flags_are_all_used(tmp_path, source, capsys):
    flags = ["--config_options", "fps=5", "--config_options", "jpeg_quality=80", "seed=1"]
    assert run(tmp_path, "video_folder", *flags) == 0
    facts = tfds.builder_from_directory(tmp_path / "data/video_folder/112/1.0.0").info.metadata
    assert facts["fps"] == 5
    assert (facts["options"]["jpeg_quality"], facts["options"]["seed"]) == (80, 1)
    capsys.readouterr()
    command.main(["inspect", "video_folder", str(source), *flags])
    assert "at 5 frames per second" in capsys.readouterr().out
    assert run(tmp_path, "video_folder", *flags, "--config_options=fps=6") == 1
    assert "option 'fps=6': fps is already set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("siz=96", "option 'siz=96': expected key=value, with a key from size, faces, dims"),
        ("size", "option 'size': expected key=value"),
        ("size=big", "option size='big': the value must be of type int"),
        ("fps=5 fps=6", "option 'fps=6': fps is already set"),
        ("fps=5 fps=5", "option 'fps=5': fps is already set"),
    ],
)
def test_bad_options_are_refused(tmp_path, source, option, message):
    with pytest.raises(InputError, match=message):
        build("video_folder", tmp_path, source, options=option.split())


def test_missing_folders_and_jobs_below_one_are_refused(tmp_path, source):
    with pytest.raises(InputError, match="video_folder needs --manual_dir: a folder with videos"):
        build("video_folder", tmp_path / "data")
    with pytest.raises(InputError, match="nowhere does not exist or is empty; it must contain"):
        build("video_folder", tmp_path / "data", tmp_path / "nowhere")
    with pytest.raises(InputError, match="jobs=0 must be at least 1"):
        build("video_folder", tmp_path / "data", source, jobs=0)


def test_a_set_built_with_other_options_needs_overwrite(tmp_path, source):
    data = tmp_path / "data"
    directory, new = build("video_folder", data, source)
    assert new
    with pytest.raises(InputError, match=r"was built with fps=25.0; pass the same options or --ov"):
        build("video_folder", data, source, options=["fps=5"])
    again, new = build("video_folder", data, source, overwrite=True, options=["fps=5"])
    assert (again, new) == (directory, True)
    assert tfds.builder_from_directory(directory).info.metadata["fps"] == 5
    assert build("video_folder", data, source, options=["fps=5"]) == (directory, False)
    assert sorted(path.name for path in data.iterdir()) == ["downloads", "video_folder"]


@pytest.mark.parametrize("fact", ["refused", "sources"])
def test_a_set_of_an_older_version_needs_overwrite(tmp_path, source, fact):
    directory, _ = build("video_folder", tmp_path / "data", source)
    facts = json.loads((directory / "metadata.json").read_text())
    del facts[fact]
    (directory / "metadata.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="was built by an older version; rebuild it with --over"):
        build("video_folder", tmp_path / "data", source)
    assert build("video_folder", tmp_path / "data", source, overwrite=True) == (directory, True)


def test_a_copy_of_the_source_in_another_place_is_the_same_source(tmp_path, source):
    directory, _ = build("video_folder", tmp_path / "data", source)
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
    source.rename(tmp_path / "moved")
    assert build("video_folder", tmp_path / "data", tmp_path / "moved") == (directory, False)


def changed_label(source):
    (source / "anna.csv").write_text("0;.1;.2\n.04;.1;.2\n.08;.1;.3\n.12;.1;.2\n")


def changed_split(source):
    (source / "videos.csv").write_text("video,labels,split\nanna,anna.csv,dev\nbert,,test\n")


def removed_image(source):
    (source / "bert" / "4.jpg").unlink()


def removed_video(source):
    (source / "videos.csv").write_text("video,labels,split\nanna,anna.csv,train\n")


def added_video(source):
    shutil.copytree(source / "bert", source / "carl")
    with (source / "videos.csv").open("a") as file:
        file.write("carl,,test\n")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (changed_label, "recording 'anna' has changed"),
        (changed_split, "recording 'anna' has changed"),
        (removed_image, "recording 'bert' has changed"),
        (removed_video, "recording 'bert' is missing"),
        (added_video, "recording 'carl' is new"),
    ],
)
@pytest.mark.parametrize("place", ["in", "other"])
def test_a_set_of_another_source_needs_overwrite(
    tmp_path, source, capsys, change, difference, place
):
    data = tmp_path / "data"
    directory, _ = build("video_folder", data, source)
    before = {path: path.read_bytes() for path in directory.iterdir()}
    source = source.rename(tmp_path / place)
    change(source)
    flags = ["video_folder", f"--data_dir={data}", f"--manual_dir={source}"]
    assert main(flags) == 1
    done = capsys.readouterr()
    assert "already built" not in done.out
    (line,) = [each for each in done.err.splitlines() if each.startswith("error: ")]
    assert f"was not built from the source material in {source}: {difference}; choose" in line
    assert before == {path: path.read_bytes() for path in directory.iterdir()}
    assert build("video_folder", data, source, overwrite=True) == (directory, True)
    assert build("video_folder", data, source) == (directory, False)


def test_a_built_set_is_not_compared_with_a_folder_that_does_not_exist(tmp_path, source, capsys):
    build("video_folder", tmp_path / "data", source)
    source.rename(tmp_path / "elsewhere")
    assert run(tmp_path, "video_folder") == 1
    assert f"error: {source}: no such folder; set --manual_dir" in capsys.readouterr().err


def test_a_failed_overwrite_leaves_the_old_set_alone(tmp_path, source):
    data = tmp_path / "data"
    directory, _ = build("video_folder", data, source)
    before = {path: path.read_bytes() for path in directory.iterdir()}
    (source / "bert" / "2.jpg").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"2\.jpg: not a readable JPEG"):
        build("video_folder", data, source, overwrite=True, strict=True)
    assert before == {path: path.read_bytes() for path in directory.iterdir()}


def test_several_targets_are_an_option(tmp_path, source):
    header = "time,joy,valence,arousal\n"
    (source / "anna.csv").write_text(header + "0,.5,.1,.2\n1,.5,.1,.2\n")
    options = ["dims=valence,arousal,joy"]
    directory, _ = build("video_folder/112", tmp_path / "data", source, options=options)
    reader = tfds.builder_from_directory(directory)
    assert reader.info.metadata["dims"] == ["valence", "arousal", "joy"]
    assert set(reader.info.metadata["train_mean"]) == {"valence", "arousal", "joy"}
    np.testing.assert_allclose(reader.as_data_source("train")[0]["target"][0], [0.1, 0.2, 0.5])


def test_the_module_runs_as_a_command_without_tensorflow(tmp_path, source):
    code = (
        "import sys; from tfds_builders.build import main; code = main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    arguments = ["video_folder", f"--data_dir={tmp_path / 'data'}", f"--manual_dir={source}"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("built: ")


def test_every_builder_has_a_readme_citations_and_tags():
    root = ROOT / "tfds_builders"
    packages = [path.parent for path in root.glob("*/*_dataset_builder.py")]
    assert packages
    for package in packages:
        for name in ("README.md", "CITATIONS.bib", "TAGS.txt"):
            assert (package / name).read_text().strip(), f"{package.name}/{name}"
        assert builder_class(package.name).name == package.name
