"""croissant.json: true to the files beside it, independent of the build, valid for mlcroissant."""

import hashlib
import importlib.util
import json
import pathlib

import pytest
import tensorflow_datasets as tfds

from tests.tfds_builders.layouts import build, write_crops, write_text
from tests.tfds_builders.toy import build_toy
from tfds_builders import shards
from tfds_builders.build import builder_class, make_builder
from tfds_builders.croissant import DESCRIPTIONS, NAME, Publication, first_paragraph
from tfds_builders.parts import features
from tfds_builders.video_folder.video_folder_dataset_builder import Builder

needs_mlcroissant = pytest.mark.skipif(
    not importlib.util.find_spec("mlcroissant"), reason="mlcroissant is not installed"
)
OWNERS = Publication("2019", "https://example.org/faces", "https://spdx.org/licenses/CC-BY-4.0")


@pytest.fixture
def source(tmp_path):
    """Write crops of three subjects, one of whom has a bad label file."""
    folder = tmp_path / "in"
    for name in ("anna", "bert", "carl"):
        write_crops(folder / name, range(1, 41), size=16)
    write_text(folder / "anna.csv", "frame,valence,arousal\n1,.1,.2\n40,.3,.4\n")
    write_text(folder / "carl.csv", "frame,valence,arousal\n1,.1,x\n40,.3,.4\n")
    rows = "anna,anna.csv,train\nbert,,test\ncarl,carl.csv,train\n"
    write_text(folder / "videos.csv", f"video,labels,split\n{rows}")
    return folder


def read(directory):
    return json.loads((directory / NAME).read_text())


def by_id(nodes):
    return {node["@id"]: node for node in nodes}


def record_set(content, name):
    return by_id(by_id(content["recordSet"])[name]["field"])


def test_every_shard_and_the_report_are_listed_with_their_size_and_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 50_000)
    directory = build_toy(tmp_path)
    files = by_id(each for each in read(directory)["distribution"] if "sha256" in each)
    there = {path.name for path in directory.glob("*.array_record*")}
    assert len(there) > 3
    assert set(files) == there | {"report.csv"}
    for name, node in files.items():
        content = (directory / name).read_bytes()
        assert node["sha256"] == hashlib.sha256(content).hexdigest()
        assert node["contentSize"] == f"{len(content)} B"
        assert node["contentUrl"] == name
    (shard_set,) = (each for each in read(directory)["distribution"] if "sha256" not in each)
    assert {path.name for path in directory.glob(shard_set["includes"])} == there


def test_each_feature_of_a_record_is_described_with_its_type_and_shape(tmp_path):
    fields = record_set(read(build_toy(tmp_path)), "clips")
    layout = features(("valence", "arousal"), 2)
    assert {name.removeprefix("clips/") for name in fields} == {*layout, "split"}
    assert set(layout) <= set(DESCRIPTIONS)
    kinds = {name.removeprefix("clips/"): field["dataType"] for name, field in fields.items()}
    assert kinds["frames"] == "sc:ImageObject"
    assert (kinds["target"], kinds["face"]) == ("cr:Float32", "sc:Boolean")
    assert (kinds["first_frame"], kinds["track_id"]) == ("cr:Int32", "sc:Text")
    assert fields["clips/target"]["arrayShape"] == "-1,2"
    assert fields["clips/landmarks"]["arrayShape"] == "-1,2,2"
    assert "arrayShape" not in fields["clips/track_id"]
    assert "valence, arousal" in fields["clips/target"]["description"]
    assert "[-1, 1]" in fields["clips/target"]["description"]


def test_the_sizes_of_the_splits_are_those_of_the_metadata(tmp_path):
    directory = build_toy(tmp_path)
    counts = tfds.builder_from_directory(directory).info.metadata["counts"]
    rows = by_id(read(directory)["recordSet"])["splits"]["data"]
    assert [row["splits/name"] for row in rows] == ["train", "dev"]
    for row in rows:
        for key in ("tracks", "frames", "face", "labelled", "used"):
            assert row[f"splits/{key}"] == counts[row["splits/name"]][key]


def test_the_recordings_have_the_columns_of_the_report(tmp_path):
    directory = build_toy(tmp_path)
    header = (directory / "report.csv").read_text().splitlines()[0].split(",")
    fields = record_set(read(directory), "recordings").values()
    assert [field["source"]["extract"]["column"] for field in fields] == header


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_file_depends_neither_on_the_place_nor_on_the_processes(tmp_path, source, jobs):
    (source / "carl.csv").write_text("frame,valence,arousal\n1,.1,.2\n40,.3,.4\n")
    first, _ = build("video_folder", tmp_path / "first", source)
    moved = source.rename(tmp_path / "moved")
    second, _ = build("video_folder", tmp_path / "second", moved, jobs=jobs)
    assert (first / NAME).read_bytes() == (second / NAME).read_bytes()
    assert str(tmp_path) not in (first / NAME).read_text()


def test_the_name_description_citation_and_version_are_those_of_the_builder(tmp_path, source):
    content = read(build("video_folder/112", tmp_path / "data", source)[0])
    assert (content["name"], content["version"]) == ("video_folder/112", "1.0.0")
    assert content["description"].startswith("This builder reads your own videos")
    assert "cropped to 112 x 112 pixels" in content["description"]
    assert "keeps the licence of its owners" in content["description"]
    assert content["citeAs"].startswith("@article{zhang2016joint")
    assert not {"license", "url", "datePublished"} & set(content)


def test_what_a_builder_knows_about_its_source_is_stated(tmp_path, source, monkeypatch):
    monkeypatch.setattr(Builder, "publication", OWNERS)
    content = read(build("video_folder", tmp_path / "data", source)[0])
    stated = (content["datePublished"], content["url"], content["license"])
    assert stated == (OWNERS.date, OWNERS.url, OWNERS.licence)


def test_a_generated_set_has_no_owners(tmp_path):
    assert builder_class("synthetic_faces").publication == Publication()
    assert "owners" not in read(build_toy(tmp_path))["description"]


def test_the_description_contains_no_markup():
    readme = make_builder("synthetic_faces", pathlib.Path("nowhere")).info.description
    assert "**" in readme
    assert first_paragraph(readme).startswith("Rendered faces that move, blink")
    assert not set("*`#[") & set(first_paragraph(readme))
    assert first_paragraph("# A\n\nSee [b c](../d.md) and `e`.\n\nMore") == "See b c and e."
    assert first_paragraph("") == first_paragraph("# Only a title") == ""


@needs_mlcroissant
def test_mlcroissant_accepts_the_file_and_reads_splits_and_recordings(
    tmp_path, source, monkeypatch
):
    import mlcroissant

    monkeypatch.setattr(Builder, "publication", OWNERS)
    directory, _ = build("video_folder", tmp_path / "data", source)
    dataset = mlcroissant.Dataset(directory / NAME)
    assert dataset.metadata.ctx.issues.report() == ""
    splits = {row["splits/name"]: row for row in dataset.records("splits")}
    assert splits["train"]["splits/frames"] == splits["test"]["splits/frames"] == 40
    rows = {row["recordings/track_id"].decode(): row for row in dataset.records("recordings")}
    assert set(rows) == {"anna", "bert", "carl"}
    assert rows["bert"]["recordings/status"] == b"built"
    assert rows["carl"]["recordings/status"] == b"refused"
    assert b"carl.csv" in rows["carl"]["recordings/reason"]
    assert rows["anna"]["recordings/frames"] == 40


@needs_mlcroissant
@pytest.mark.parametrize("name", ["synthetic_faces/tiny", "toy"])
def test_mlcroissant_accepts_generated_sets(tmp_path, name):
    import mlcroissant

    directory = build_toy(tmp_path) if name == "toy" else build(name, tmp_path / "data")[0]
    issues = mlcroissant.Dataset(directory / NAME).metadata.ctx.issues
    assert not issues.errors
    assert all("is recommended" in each for each in issues.warnings)
