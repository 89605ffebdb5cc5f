"""Your own videos: the listing, crop folders, raw videos, and refusals."""

import pathlib
import shutil

import av
import cv2
import numpy as np
import pytest
import simplejpeg

from tests.tfds_builders.layouts import build_set
from tfds_builders.crops import read_crop
from tfds_builders.pictures import numbered_images
from tfds_builders.video_folder.listing import find_listing, read_listing
from va_jax.types import InputError


def crop_folder(folder, numbers, size=96, name="{:05d}.jpg"):
    """Write a folder of noise crops; return the bytes of each file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(numbers))
    files = []
    for number in numbers:
        image = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
        files.append(simplejpeg.encode_jpeg(image, 80))
        (folder / name.format(number)).write_bytes(files[-1])
    return files


def write_video(path, frames=10):
    """Write grey frames, of the size the real clips are shrunk to: the detector compiles once."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 320, 180
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.full((180, 320, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def listing(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "videos.csv").write_text(text)
    return folder / "videos.csv"


def build_tracks(tmp_path, *options):
    """{track id: (its row, its records joined)} of video_folder/96 built from tmp_path/in."""
    return build_set(tmp_path, "video_folder/96", *options)[1]


def test_crop_folders_keep_bytes_numbers_and_times(tmp_path):
    files = crop_folder(tmp_path / "in" / "crops" / "P.16", [1, 2, 4, 40])
    rows = "\n".join(f"{t},{t / 10},{-t / 10}" for t in range(3))
    (tmp_path / "in" / "P16.csv").write_text("time,valence,arousal\n" + rows)
    listing(tmp_path / "in", "video,labels,subject,split,group\ncrops/P.16,P16.csv,anna,dev,fr\n")
    row, track = build_tracks(tmp_path, "fps=20")["crops/P.16"]
    assert (row["subject_id"], row["split"], row["group"]) == ("anna", "dev", "fr")
    assert (row["frames"], row["fps"]) == (40, 20)
    assert np.flatnonzero(track["face"]).tolist() == [0, 1, 3, 39]
    held = [files[0], files[1], files[1], *[files[2]] * 36, files[3]]
    assert list(track["frames"]) == held
    times = np.arange(40) / 20
    np.testing.assert_allclose(track["time_s"], times, rtol=1e-6)
    np.testing.assert_allclose(track["target"], np.stack([times, -times], 1) / 10, atol=1e-6)
    assert np.isnan(track["landmarks"]).all()


def test_images_are_found_by_the_number_in_their_names(tmp_path):
    crop_folder(tmp_path / "a", [10, 9, 2, 0], name="clip7_frame_{}.jpg")
    (tmp_path / "a" / "notes.txt").write_text("")
    assert list(numbered_images(tmp_path / "a")) == [0, 2, 9, 10]


def test_other_sizes_and_png_become_crops_of_the_right_size(tmp_path):
    y, x = np.mgrid[:64, :64]
    image = np.stack([2 * x, 2 * y, x + y], -1).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), image[:, :, ::-1])
    (tmp_path / "2.jpg").write_bytes(simplejpeg.encode_jpeg(image, 95))
    for name, size in (("1.png", 64), ("1.png", 32), ("2.jpg", 32), ("2.jpg", 96)):
        crop = simplejpeg.decode_jpeg(read_crop(tmp_path / name, size, 95))
        expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        assert np.abs(crop.astype(float) - expected).mean() < 3


def test_a_track_that_begins_without_a_face_begins_black(tmp_path):
    crop_folder(tmp_path / "in" / "late", [3])
    listing(tmp_path / "in", "video,labels\nlate,\n")
    _, track = build_tracks(tmp_path)["late"]
    assert track["face"].tolist() == [False, False, True]
    assert simplejpeg.decode_jpeg(track["frames"][0]).max() == 0


def test_without_a_split_column_no_subject_is_in_two_splits(tmp_path):
    names = [f"s{n}_{take}" for n in range(4) for take in "ab"]
    for name in names:
        crop_folder(tmp_path / "in" / name, [1], size=96)
    listing(tmp_path / "in", "video,labels,subject\n" + "".join(f"{n},,{n[:2]}\n" for n in names))
    tracks = build_tracks(tmp_path)
    splits = {}
    for row, _ in tracks.values():
        splits.setdefault(row["subject_id"], set()).add(row["split"])
    assert all(len(each) == 1 for each in splits.values())
    assert set.union(*splits.values()) == {"train", "dev", "test"}


@pytest.mark.slow
def test_raw_videos_keep_every_frame_and_find_the_face(tmp_path, media):
    (tmp_path / "in").mkdir()
    for name in ("smile.mp4", "smile.csv", "no_face.mp4"):
        shutil.copy(media / name, tmp_path / "in")
    listing(tmp_path / "in", "video,labels,split\nsmile.mp4,smile.csv,train\nno_face.mp4,,test\n")
    options = ("no_face=mask", "detect_every=5", "max_side=320")
    tracks = build_tracks(tmp_path, *options)
    row, smile = tracks["smile"]
    assert row["frames"] == len(smile["frames"]) == 72
    assert row["fps"] == pytest.approx(30, rel=0.01)
    assert smile["face"].all()
    assert np.isfinite(smile["target"]).all()
    table = np.loadtxt(media / "smile.csv", delimiter=",", skiprows=1).T
    expected = [np.interp(smile["time_s"], table[0], column) for column in table[1:]]
    np.testing.assert_allclose(smile["target"], np.stack(expected, 1), atol=1e-5)
    image = simplejpeg.decode_jpeg(smile["frames"][0])
    assert image.shape == (96, 96, 3)
    eyes, nose, mouth = (smile["landmarks"][:, part].mean(1) for part in ([0, 1], [2], [3, 4]))
    assert ((smile["landmarks"] > 0.1) & (smile["landmarks"] < 0.9)).all()
    assert (eyes[:, 1] < nose[:, 1]).all()
    assert (nose[:, 1] < mouth[:, 1]).all()
    row, faceless = tracks["no_face"]
    assert row["frames"] == len(faceless["frames"]) == 95
    assert not faceless["face"].any()
    assert np.isnan(faceless["target"]).all()
    assert np.isnan(faceless["landmarks"]).all()
    assert simplejpeg.decode_jpeg(faceless["frames"][0]).max() == 0


@pytest.mark.slow
def test_a_hand_over_the_face_drops_no_frame(tmp_path, media):
    (tmp_path / "in").mkdir()
    for name in ("tears_to_laughter.mp4", "tears_to_laughter.csv"):
        shutil.copy(media / name, tmp_path / "in")
    listing(tmp_path / "in", "video,labels\ntears_to_laughter.mp4,tears_to_laughter.csv\n")
    row, track = build_tracks(tmp_path, "detect_every=2")["tears_to_laughter"]
    assert row["frames"] == 472
    assert row["fps"] == pytest.approx(24000 / 1001, rel=1e-4)
    assert track["face"].mean() > 0.95
    assert np.isfinite(track["target"]).mean() > 0.99


def test_a_video_without_a_face_is_refused_or_masked(tmp_path):
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "grey.mp4")
    listing(tmp_path / "in", "video,labels\ngrey.mp4,\n")
    with pytest.raises(
        InputError, match=r"grey\.mp4: no frame of track 'grey' shows a face.*no_face=mask"
    ):
        build_tracks(tmp_path)
    assert not list((tmp_path / "data" / "video_folder" / "96").glob("1.0.0"))
    row, track = build_tracks(tmp_path, "no_face=mask")["grey"]
    assert row["frames"] == 10
    assert not track["face"].any()


def test_a_video_that_does_not_decode_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "torn.mp4").write_bytes(b"no video at all" * 99)
    listing(tmp_path / "in", "video,labels\ntorn.mp4,\n")
    with pytest.raises(InputError, match=r"torn\.mp4") as caught:
        build_tracks(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data" / "video_folder" / "96").glob("1.0.0"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,\n", "line 1: the columns are a,; expected video,labels"),
        ("video,labels,spilt\na,,train\n", "line 1: the columns are video,labels,spilt; expected"),
        ("video,labels\n", "lists no videos"),
        ("video,labels\na,,x\n", "line 2: has 3 cells"),
        ("video,labels\n,\n,x\n", "line 3: the video cell is empty"),
        ("video,labels\nc,\n", "line 2: video .*c does not exist"),
        ("video,labels\na,b.csv\n", "line 2: label file .*b.csv does not exist"),
        ("video,labels,split\na,,dev\nb,,eval\n", "line 3: split 'eval' is not one of train, dev"),
        ("video,labels,split\na,,\n", "line 2: split '' is not one of"),
        ("video,labels\na,\n\n./a,\n", "line 4: video .*a is already on line 2"),
        ("video,labels,labels\na,,\n", "line 1: two columns have the same name"),
        (
            "video,labels,subject,split\na,,P1,train\nb,,p1,dev\n",
            "line 3: subject 'p1' is spelled 'P1' on line 2; use one spelling",
        ),
        (
            "video,labels,subject\na,,Jos\N{LATIN SMALL LETTER E WITH ACUTE}\nb,,Jose\u0301\n",
            "line 3: subject .* is spelled .* on line 2",
        ),
        (
            "video,labels,subject,split\na,,x,train\nb,,x,dev\n",
            "line 3: subject 'x' is in dev, but in train on line 2",
        ),
        ("video,labels\nc.avi,\nc.mp4,\n", "line 3: c.mp4 and the video on line 2 differ only in"),
    ],
)
def test_bad_listings_are_refused_with_file_and_line(tmp_path, text, message):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c.avi").touch()
    (tmp_path / "c.mp4").touch()
    with pytest.raises(InputError, match=message) as caught:
        read_listing(listing(tmp_path, text))
    assert "videos.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_subject_and_track_come_from_the_name_of_the_video(tmp_path):
    (tmp_path / "day1").mkdir()
    (tmp_path / "day1" / "anna.v2.mp4").touch()
    row = read_listing(listing(tmp_path, "Video ; Labels\nday1/anna.v2.mp4;\n"))[0]
    assert (row.track_id, row.subject, row.split) == ("day1/anna.v2", "anna.v2", None)


def test_the_listing_is_videos_csv_or_the_only_csv(tmp_path):
    with pytest.raises(InputError, match=r"no videos\.csv \(other csv files: 0"):
        find_listing(tmp_path)
    (tmp_path / "mine.csv").touch()
    assert find_listing(tmp_path).name == "mine.csv"
    (tmp_path / "labels.csv").touch()
    with pytest.raises(InputError, match=r"no videos\.csv \(other csv files: 2"):
        find_listing(tmp_path)
    (tmp_path / "videos.csv").touch()
    assert find_listing(tmp_path).name == "videos.csv"


def test_bad_crop_folders_are_refused(tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    with pytest.raises(InputError, match=r"contains no \.jpg or \.png"):
        numbered_images(folder)
    (folder / "a.jpg").touch()
    with pytest.raises(InputError, match="name contains no frame number"):
        numbered_images(folder)
    (folder / "a.jpg").rename(folder / "1.jpg")
    (folder / "01.png").touch()
    with pytest.raises(InputError, match=r"frame number as 01\.png"):
        numbered_images(folder)
    with pytest.raises(InputError, match="not a readable JPEG"):
        read_crop(folder / "1.jpg", 96, 90)
    with pytest.raises(InputError, match=r"01\.png: not a readable"):
        read_crop(folder / "01.png", 96, 90)
    good = simplejpeg.encode_jpeg(np.zeros((96, 96, 3), np.uint8), 90)
    (folder / "1.jpg").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="not a readable JPEG"):
        read_crop(folder / "1.jpg", 96, 90)
    (folder / "1.jpg").write_bytes(simplejpeg.encode_jpeg(np.zeros((96, 80, 3), np.uint8), 90))
    with pytest.raises(InputError, match="80x96 pixels, but crops must be square"):
        read_crop(folder / "1.jpg", 96, 90)


def test_labels_that_cannot_fit_are_refused(tmp_path):
    crop_folder(tmp_path / "in" / "a", [1, 2])
    listing(tmp_path / "in", "video,labels\na,a.csv\n")
    labels = pathlib.Path(tmp_path / "in" / "a.csv")
    labels.write_text("time,valence,arousal\n0,0,0\n2,0,0\n")
    with pytest.raises(InputError, match=r"labels are 2 s apart, more than max_gap_s=1"):
        build_tracks(tmp_path, "unused_rows=drop")
    labels.write_text("time,valence,arousal\n100,0,0\n100.1,0,0\n")
    with pytest.raises(
        InputError, match=r"a\.csv: no label matches frames 1 to 2.*; the labels span 1"
    ):
        build_tracks(tmp_path)


FIFTY = np.round(np.stack([np.sin(np.arange(50) / 9), np.cos(np.arange(50) / 7)], 1) / 2, 4)


def fifty_crops(tmp_path, header, keys, values=FIFTY):
    """Write crops numbered from 1 and their labels, with a column of keys before the values."""
    if not (tmp_path / "in" / "a").exists():
        crop_folder(tmp_path / "in" / "a", range(1, 51), size=32)
    rows = "".join(f"{k:g},{v:g},{w:g}\n" for k, (v, w) in zip(keys, values, strict=True))
    (tmp_path / "in" / "a.csv").write_text(f"{header}\n{rows}")
    listing(tmp_path / "in", "video,labels\na,a.csv\n")


@pytest.mark.parametrize(
    ("name", "keys", "cause"),
    [
        ("timestamp", 40 * np.arange(50), r"milliseconds.*time_unit=ms"),
        ("time", np.arange(50), r"frame numbers.*time_unit=frame"),
        ("t", np.arange(50) * 4e4, "microseconds"),
        ("time", np.arange(50) / 1500, "minutes"),
        ("time_ms", np.arange(50), "frame numbers.*time_unit=frame"),
        ("time_ms", np.arange(50) / 25, "seconds, not milliseconds"),
        ("time_s", 1.2 + np.arange(50) / 25, "only 20 of 50 label rows.*unused_rows=drop"),
        ("frame", np.arange(50) * 40, "only 2 of 50 label rows"),
    ],
)
def test_labels_in_another_unit_are_refused_with_their_unit(tmp_path, name, keys, cause):
    fifty_crops(tmp_path, f"{name},valence,arousal", keys)
    options = ("max_gap_s=1e6", *(["first_frame=0"] if name == "frame" else []))
    with pytest.raises(InputError, match=rf"a\.csv: .*{cause}") as caught:
        build_tracks(tmp_path, *options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "keys", "options"),
    [
        ("time_ms,valence,arousal", 40 * np.arange(50), ()),
        ("timestamp,valence,arousal", 40 * np.arange(50), ("time_unit=ms",)),
        ("frame,valence,arousal", np.arange(1, 51), ()),
        ("frame,valence,arousal", np.arange(50), ("first_frame=0",)),
        (",valence,arousal", np.arange(50), ("time_column=1", "time_unit=frame", "first_frame=0")),
        ("time_s,v,a", np.arange(50) / 25, ("columns=valence:v,arousal:a",)),
    ],
)
def test_times_and_frame_numbers_reach_the_same_frames(tmp_path, header, keys, options):
    fifty_crops(tmp_path, header, keys)
    _, track = build_tracks(tmp_path, *options)["a"]
    np.testing.assert_allclose(track["target"], FIFTY, atol=1e-6)


def test_frame_numbers_that_may_start_at_0_or_1_are_refused(tmp_path):
    fifty_crops(tmp_path, "frame,valence,arousal", np.arange(50))
    with pytest.raises(InputError, match=r"a\.csv: frames 0 to 49 .*first_frame=0"):
        build_tracks(tmp_path)
    with pytest.raises(InputError, match=r"a\.csv: frame 0 is before first_frame=1"):
        build_tracks(tmp_path, "first_frame=1")


@pytest.mark.parametrize(
    ("images", "rows"),
    [(range(10), range(1, 10)), (range(1, 11), range(11))],
    ids=["the last row may be missing", "a row too many"],
)
def test_labels_that_reach_the_last_image_by_two_ways_of_counting_are_refused(
    tmp_path, images, rows
):
    crop_folder(tmp_path / "in" / "a", images, size=32)
    text = "".join(f"{row},0.1,0.2\n" for row in rows)
    (tmp_path / "in" / "a.csv").write_text(f"frame,valence,arousal\n{text}")
    listing(tmp_path / "in", "video,labels\na,a.csv\n")
    with pytest.raises(InputError, match=r"a\.csv: frames .* may be counted from 0 or from 1"):
        build_tracks(tmp_path)


def test_image_names_with_time_stamps_are_not_frame_numbers(tmp_path):
    crop_folder(tmp_path / "in" / "a", [1, 1706695200123, 1706695200163], size=32)
    listing(tmp_path / "in", "video,labels\na,\n")
    with pytest.raises(InputError, match=r"1706695200163\.jpg: its number .* rename the images"):
        build_tracks(tmp_path)


def test_most_rows_may_be_dropped_on_request(tmp_path):
    fifty_crops(tmp_path, "time_s,valence,arousal", 1.2 + np.arange(50) / 25)
    _, track = build_tracks(tmp_path, "unused_rows=drop")["a"]
    assert np.isfinite(track["target"]).all(1).sum() == 20
    np.testing.assert_allclose(track["target"][30:], FIFTY[:20], atol=1e-6)


@pytest.mark.parametrize("ends", [(0, 1), (1, 9), (-100, 100)])
def test_the_range_of_the_labels_is_mapped_and_stored(tmp_path, ends):
    low, high = ends
    fifty_crops(
        tmp_path, "time,valence,arousal", np.arange(50) / 25, low + (FIFTY + 1) * (high - low) / 2
    )
    metadata, tracks = build_set(tmp_path, "video_folder/96", f"label_range={low},{high}")
    assert metadata["labels"]["range"] == [low, high]
    np.testing.assert_allclose(tracks["a"][1]["target"], FIFTY, atol=1e-4)


def test_a_neutral_participant_does_not_slip_through_on_the_wrong_scale(tmp_path):
    rows = {"a": 100 * FIFTY, "b": 80 * FIFTY, "neutral": 0 * FIFTY}
    for name, values in rows.items():
        crop_folder(tmp_path / "in" / name, [1, 2], size=32)
        lines = (f"{k / 25},{v:g},{w:g}\n" for k, (v, w) in enumerate(values[:2]))
        (tmp_path / "in" / f"{name}.csv").write_text("time,valence,arousal\n" + "".join(lines))
    listing(tmp_path / "in", "video,labels\n" + "".join(f"{n},{n}.csv\n" for n in rows))
    with pytest.raises(InputError, match=r"a\.csv: line 3: .*label_range=.* 1 more file"):
        build_tracks(tmp_path)
    assert set(build_tracks(tmp_path, "label_range=-100,100")) == set(rows)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("size=0", "size=0 must be above 0"),
        ("jpeg_quality=101", "jpeg_quality=101 must be between 1 and 100"),
        ("no_face=skip", "no_face='skip' is not one of refuse, mask"),
        ("dims=valence,valence", "dims=valence,valence must list each target exactly once"),
        ("label_range=1,0", "label_range=1,0: expected LOW,HIGH"),
        ("label_range=0,x", "label_range=0,x: expected LOW,HIGH"),
        ("time_unit=min", "time_unit='min' is not one of s, ms, frame"),
        ("unused_rows=keep", "unused_rows='keep' is not one of refuse, drop"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, option, message):
    with pytest.raises(InputError, match=message):
        build_tracks(tmp_path, option)
