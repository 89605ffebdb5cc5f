"""Folders and files are found even if renamed, nested twice or in another case."""

import pytest

from tests.tfds_builders.layouts import write_text
from tfds_builders.trees import files_by_name, find_folder, require_folder, videos_by_name
from va_jax.types import InputError


def make(root, *folders):
    for folder in folders:
        (root / folder).mkdir(parents=True)


def test_alternatives_any_case_and_doubled_folders_are_found(tmp_path):
    make(tmp_path, "BBoxs/train/Train/a", "other")
    found = find_folder(tmp_path, ("bboxes", "bboxs"), "train")
    assert found == tmp_path / "BBoxs" / "train" / "Train"
    assert find_folder(tmp_path, "bboxes") is None
    assert find_folder(tmp_path, "other") == tmp_path / "other"


def test_one_level_deeper_only_where_asked(tmp_path):
    make(tmp_path, "6th Annotations/VA_Set")
    assert find_folder(tmp_path, "va_set") is None
    assert find_folder(tmp_path, "*/va_set") == tmp_path / "6th Annotations" / "VA_Set"
    with pytest.raises(InputError, match="no folder VA_Set/Train or train_set"):
        require_folder(tmp_path, "*/VA_Set", ("Train", "train_set"))


def test_files_go_by_name_without_hidden_ones_and_twins(tmp_path):
    for name in ("a.TXT", "b.txt", "._b.txt", "c.csv"):
        write_text(tmp_path / name, "")
    assert sorted(files_by_name(tmp_path, [".txt"])) == ["a", "b"]
    write_text(tmp_path / "b.csv", "")
    with pytest.raises(InputError, match=r"b\.txt: differs from b\.csv only in its suffix"):
        files_by_name(tmp_path, [".txt", ".csv"])


def test_videos_are_found_in_two_levels_but_not_among_crops(tmp_path):
    for name in ("a.mp4", "x/b.AVI", "x/y/c.mkv", "x/y/z/d.mp4", "cropped/e/f.mp4", "x/g.txt"):
        write_text(tmp_path / name, "")
    assert sorted(videos_by_name(tmp_path)) == ["a", "b", "c"]
