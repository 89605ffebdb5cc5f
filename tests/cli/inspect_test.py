"""`va_jax inspect` finds every planted fault, names file and consequence; a clean tree passes."""

import json
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest
import simplejpeg

from tests.tfds_builders.layouts import build, picture, write_crops, write_text, write_video
from tfds_builders.build import refusals
from va_jax.cli import command

FRAMES = 120
TIMES = np.arange(0, 5, 0.1)


def wave(phase, count=FRAMES):
    """Return labels of a recording that differ from those of every other phase."""
    k = np.arange(count)
    return np.round(np.stack([0.8 * np.sin(k / 9 + phase), 0.5 * np.cos(k / 7)], 1), 4).tolist()


def noise_crops(folder, seed):
    """Write FRAMES crops of coloured squares that change with the seed and every 30 frames."""
    folder.mkdir(parents=True)
    for n in range(FRAMES):
        shades = np.random.default_rng([seed, n // 30]).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        image = np.kron(shades, np.ones((4, 4, 1), np.uint8))
        (folder / f"{n + 1:05d}.jpg").write_bytes(simplejpeg.encode_jpeg(image, 95))


def rows(values):
    return "valence,arousal\n" + "".join(f"{v},{a}\n" for v, a in values)


def timed(values, times=TIMES):
    lines = (f"{t:.2f},{v},{a}\n" for t, (v, a) in zip(times, values, strict=False))
    return "time,valence,arousal\n" + "".join(lines)


def run(capsys, *arguments):
    """Run the command; return its exit code and the printed lines."""
    code = command.main(["inspect", *map(str, arguments), "--jobs=2"])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def crops(tmp_path):
    """Write Aff-Wild2 with three tracks and no fault; return its top, labels and crops."""
    root = tmp_path / "in"
    labels = root / "annotations" / "VA_Estimation_Challenge"
    for number, split in ((1, "Train_Set"), (2, "Train_Set"), (3, "Validation_Set")):
        write_text(labels / split / f"{number}.txt", rows(wave(number)))
        noise_crops(root / "cropped_aligned" / f"{number}", number)
    return root, labels, root / "cropped_aligned"


def test_a_clean_tree_is_clean(tmp_path, crops, capsys):
    code, lines = run(capsys, "aff_wild2/112", crops[0], f"--data_dir={tmp_path / 'not_yet'}")
    assert code == 0
    assert lines[0].startswith(f"aff_wild2/112 in {crops[0]}: 3 recordings (the published set has")
    assert lines[1].split() == ["train", "2", "recordings,", "2", "subjects,", "240", "frames"]
    assert lines[3] == "  0.00 hours at 30 frames per second"
    low, high = (round(f(v for n in (1, 2, 3) for v, _ in wave(n)), 3) for f in (min, max))
    assert lines[4] == f"  valence from {low:.3f} to {high:.3f}"
    assert lines[-1] == "no problems found"
    assert not (tmp_path / "not_yet").exists()


def plant_in_crops(root, labels, images):
    """Plant faults in labels and crops; return (check, problem, consequence) of each."""
    train = labels / "Train_Set"
    write_text(train / "absent.txt", rows(wave(11)))
    names = ("empty", "blank", "range", "damaged", "short", "few", "copy", "flat", "none")
    for seed, name in enumerate(names, 20):
        noise_crops(images / name, seed)
        write_text(train / f"{name}.txt", rows(wave(seed)))
    shutil.copytree(images / "1", images / "same")
    write_text(train / "same.txt", rows(wave(30)))
    write_text(train / "empty.txt", "")
    write_text(train / "blank.txt", rows(wave(4)).replace("\n", "\n\n", 3))
    write_text(train / "range.txt", rows([*wave(5), (1.5, 0)]))
    damaged = images / "damaged" / "00007.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    write_text(train / "short.txt", rows(wave(6, FRAMES - 15)))
    for path in sorted((images / "few").iterdir())[20:]:
        path.unlink()
    shutil.copy(train / "1.txt", train / "copy.txt")
    write_text(train / "flat.txt", rows([(0.25, a) for _, a in wave(7)]))
    write_text(train / "none.txt", rows([(-5, -5)] * FRAMES))
    write_text(labels / "Validation_Set" / "1_left.txt", rows(wave(12)))
    shutil.copytree(images / "3", images / "1_left")
    return {
        ("unreadable", "cropped_aligned/absent: does not exist", "left out"),
        ("unreadable", "empty.txt: the file is empty", "left out"),
        ("unreadable", "blank.txt: line 2", "left out"),
        ("unreadable", f"range.txt: line {FRAMES + 2}: valence 1.5", "left out"),
        ("damaged image", "damaged/00007.jpg: not a readable JPEG", "left out"),
        ("unequal counts", "short.txt: has 105 rows for the 120 frames", "15 frames without a row"),
        ("few faces", "cropped_aligned/few: 20 of 120 frames show a face", "masked"),
        ("unequal counts", "few.txt: has 120 rows", "100 frames after the last image"),
        ("duplicated labels", "copy.txt: has the same values as", "kept"),
        ("constant labels", "flat.txt: valence is 0.25 in all 120 rows", "kept"),
        ("no labels", "none.txt: no row is valid", "unlabelled"),
        ("subject in several splits", "subject '1' is in dev", "too high"),
        ("video in several splits", "video '1' is in dev", "too high"),
        ("disk space", "GB is free, but a build requires", "the build will stop"),
    }


def test_every_fault_in_labels_and_crops_is_found(tmp_path, crops, capsys, monkeypatch):
    expected = plant_in_crops(*crops)
    usage = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    code, lines = run(capsys, "aff_wild2/112", crops[0])
    found = lines[lines.index(next(line for line in lines if "GB of records" in line)) + 1 : -1]
    assert code == 1
    for check, what, then in expected:
        hits = [line for line in found if line.startswith(f"{check}: ") and what in line]
        assert len(hits) == 1, (check, what, found)
        assert then in hits[0]
    assert len(found) == len(expected), found
    assert lines[-1] == f"problems: {len(expected)}"
    notes = [line.strip() for line in lines if line.startswith("  note: ")]
    assert [each.split(": the same")[0] for each in notes] == [
        "note: cropped_aligned/same: shows the same pictures as cropped_aligned/1",
        "note: cropped_aligned/3: shows the same pictures as cropped_aligned/1_left",
    ]
    directory, _ = build("aff_wild2/112", tmp_path / "data", crops[0])
    left_out = {line for line in found if "will be left out" in line}
    assert len(left_out) == len(refusals(directory)) == 5  # as announced


def test_short_copies_and_constant_files_are_found(tmp_path, capsys):
    labels = {name: np.array(wave(seed, 60)) for seed, name in enumerate("abcdef")}
    labels["c"][:50] = labels["a"][:50]
    labels["d"][:, 0] = 0.25
    labels["e"] = labels["b"]
    for name, values in labels.items():
        write_crops(tmp_path / name, range(60), size=96)
        write_text(tmp_path / f"{name}.csv", timed(values.tolist(), np.arange(60) / 25))
    listed = "".join(f"{name},{name}.csv\n" for name in labels)
    write_text(tmp_path / "videos.csv", f"video,labels\n{listed}")
    _, lines = run(capsys, "video_folder", tmp_path)
    found = [line for line in lines if line.startswith(("duplicated", "constant"))]
    assert found == [
        "constant labels: d.csv: valence is 0.25 in all 60 rows; the recording will be kept; "
        "remove the file if the labels are wrong",
        "duplicated labels: c.csv: 50 of 60 rows, between rows 1 and 50, have the same values as "
        "rows 1 to 50 of a.csv; both recordings will be kept; remove the labels that are wrong",
        "duplicated labels: e.csv: has the same values as b.csv; both recordings will be kept; "
        "remove the labels that are wrong",
    ]


def write_uneven(path, stamps_ms):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(picture(number % 60, 64, 48), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def plant_in_videos(root):
    """Plant faults in videos and timed labels; return (check, problem, consequence) of each."""
    names = ["good", "junk", "cut", "uneven", "gap", "back", "binary", "comma", "early"]
    for number, name in enumerate(names):
        seen = np.random.default_rng(number).integers(0, 60, 125)
        write_video(root / f"{name}.mp4", 125, numbers=seen.tolist())
        write_text(root / f"{name}.csv", timed(wave(number)))
    (root / "junk.mp4").write_bytes(b"not a video" * 99)
    whole = write_video(root / "cut.avi", 125, numbers=np.arange(125) % 60).read_bytes()
    (root / "cut.mp4").unlink()
    (root / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    write_uneven(root / "uneven.mp4", np.cumsum([0, *[20, 20, 80] * 41]).tolist())
    kept = (TIMES < 1) | (TIMES > 3.05)
    write_text(root / "gap.csv", timed(np.array(wave(4))[: len(TIMES)][kept].tolist(), TIMES[kept]))
    write_text(root / "back.csv", timed(wave(5), [*TIMES[:9], 0.3, *TIMES[10:]]))
    (root / "binary.csv").write_bytes(b"time,valence\0\xff\xfe\x00")
    comma = timed(wave(7)).replace(",", ";").replace(".", ",")
    write_text(root / "comma.csv", comma)  # no fault: semicolons, so commas are decimals
    write_text(root / "early.csv", timed(wave(8)[:25]))
    lines = [f"{name}.{'avi' if name == 'cut' else 'mp4'},{name}.csv" for name in names]
    write_text(root / "videos.csv", "video,labels\n" + "\n".join(lines) + "\n")
    return {
        ("unreadable", "junk.mp4: not a readable video", "left out"),
        ("truncated video", "cut.avi: ends at", "left out"),
        ("variable frame rate", "uneven.mp4: frames last from 0.020 to 0.080 s", "by time"),
        ("label gap", "gap.csv: has no row between seconds 0.9 and 3.1", "unlabelled"),
        ("unreadable", "back.csv: line 11: time 0.30 comes after time 0.8", "left out"),
        ("unreadable", "binary.csv: not UTF-8 text", "left out"),
        ("unequal counts", "early.csv: has 25 rows for the 125 frames", "without a row"),
    }


def test_every_fault_in_videos_and_timed_labels_is_found(tmp_path, capsys):
    expected = plant_in_videos(tmp_path / "in")
    code, lines = run(capsys, "video_folder", tmp_path / "in", "--no_detector", "--json")
    result = json.loads("\n".join(lines))
    found = result["findings"]
    assert code == 1
    for check, what, then in expected:
        hits = [each for each in found if each["check"] == check and what in each["problem"]]
        assert len(hits) == 1, (check, what, found)
        assert then in hits[0]["consequence"]
    assert len(found) == len(expected), found
    assert result["found"] == 9
    assert result["fps"] == [25, 25]


@pytest.mark.parametrize(("rates", "warned"), [((25, 10), True), ((25, 24), False)])
def test_videos_of_different_frame_rates_are_warned_about(tmp_path, capsys, rates, warned):
    root = tmp_path / "in"
    for number, fps in enumerate(rates):
        write_video(root / f"{number}.mp4", 3 * fps, fps=fps, numbers=np.arange(3 * fps) + number)
        write_text(root / f"{number}.csv", timed(wave(number, len(TIMES))))
    listed = "".join(f"{number}.mp4,{number}.csv\n" for number in range(len(rates)))
    write_text(root / "videos.csv", f"video,labels\n{listed}")
    _, printed = run(capsys, "video_folder", root, "--no_detector")
    assert printed[0].endswith("2 recordings")
    lines = [line for line in printed if "frames per second: a network counts frames" in line]
    assert bool(lines) == warned
    assert not warned or "videos of 10 to 25 frames per second" in lines[0]


def test_sampled_frames_are_searched_for_faces_if_the_set_has_no_boxes(tmp_path, capsys, media):
    root = tmp_path / "in"
    root.mkdir()
    for name in ("smile.mp4", "no_face.mp4"):
        shutil.copy(media / name, root)
    write_text(root / "videos.csv", "video,labels\nsmile.mp4,\nno_face.mp4,\n")
    options = ("--config_options", "max_side=320")
    code, lines = run(capsys, "video_folder", root, *options)
    assert code == 1
    (line,) = [line for line in lines if line.startswith("few faces: ")]
    assert "no_face.mp4: 0 of" in line
    assert line.endswith("left out, unless another frame shows a face")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aff_wild3", "no builder 'aff_wild3'"),
        ("synthetic_faces", "synthetic_faces is a generated data set"),
        ("aff_wild2", "no folder"),
    ],
)
def test_a_tree_that_cannot_be_inspected_gives_one_line(tmp_path, capsys, name, message):
    assert command.main(["inspect", name, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert command.main(["inspect", name, str(tmp_path / "nowhere")]) == 1


def test_jobs_below_one_are_refused(crops, capsys):
    assert command.main(["inspect", "aff_wild2", str(crops[0]), "--jobs=0"]) == 1
    assert capsys.readouterr().err == "error: jobs=0 must be at least 1\n"


def test_a_broken_link_to_an_image_leaves_its_recording_out(tmp_path, crops, capsys):
    link = crops[2] / "2" / "00009.jpg"
    link.unlink()
    link.symlink_to(tmp_path / "nowhere.jpg")
    code, lines = run(capsys, "aff_wild2/112", crops[0])
    problem = "cropped_aligned/2/00009.jpg: No such file or directory"
    assert code == 1
    assert [line for line in lines if line.startswith("damaged image: ") and problem in line]
    directory, _ = build("aff_wild2/112", tmp_path / "data", crops[0])
    assert problem in refusals(directory)["2"]


def test_the_columns_of_label_files_are_shown_with_their_meaning(tmp_path, capsys):
    root = tmp_path / "in"
    header = "time_ms,valence_1,valence_2,arousal,arousal_std\n"
    lines = [f"{1000 * t:.0f},{v},{v},{a},0\n" for t, (v, a) in zip(TIMES, wave(1), strict=False)]
    for name in "ab":
        write_video(root / f"{name}.mp4", 125, numbers=np.arange(125) % (60 if name == "a" else 50))
        write_text(root / f"{name}.csv", header + "".join(lines))
    write_text(root / "videos.csv", "video,labels\na.mp4,a.csv\nb.mp4,b.csv\n")
    _, found = run(capsys, "video_folder", root, "--no_detector")
    start = found.index("  a.csv and 1 more file:") + 1
    table = [" ".join(line.split()) for line in found[start : start + 3]]
    assert table == [
        "column time_ms valence_1 valence_2 arousal arousal_std",
        "read as time, ms valence, rater 1 valence, rater 2 arousal ignored",
        "line 2 " + " ".join(lines[0].strip().split(",")),
    ]
    _, found = run(capsys, "video_folder", root, "--no_detector", "--json")
    (files,) = json.loads("\n".join(found))["label_files"]
    assert (files["file"], files["files"]) == (str(root / "a.csv"), 2)
    assert files["columns"][0] == ["time_ms", "time, ms"]


def test_labels_that_do_not_fit_or_are_never_negative_are_named(tmp_path, capsys):
    root = tmp_path / "in"
    positive = np.abs(wave(1)).tolist()
    write_video(root / "a.mp4", 125, numbers=np.arange(125) % 60)
    write_text(root / "a.csv", timed(positive, TIMES * 25))
    write_text(root / "videos.csv", "video,labels\na.mp4,a.csv\n")
    options = ("--no_detector", "--config_options", "max_gap_s=9")
    code, lines = run(capsys, "video_folder", root, *options)
    assert code == 1
    assert any(line.startswith("labels do not fit: a.csv: ") and "frame" in line for line in lines)
    assert any(line.startswith("label range: ") and "below 0" in line for line in lines)
    _, lines = run(capsys, "video_folder", root, *options, "label_range=0,1")
    assert not any(line.startswith("label range: ") for line in lines)
