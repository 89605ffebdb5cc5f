"""The whole way with real clips: build, train from another model, evaluate, a row a frame."""

import csv
import json
import shutil

import jax
import pytest

from tests.tfds_builders.layouts import build
from tests.train.loop_test import tiny
from va_jax.data import sources
from va_jax.evaluation.evaluate import evaluate
from va_jax.train.loop import train

LISTING = """video,labels,subject,split
smile.mp4,smile.csv,one,train
tears_to_laughter.mp4,tears_to_laughter.csv,two,dev
no_face.mp4,,three,test
"""
FRAMES = {"dev": ("tears_to_laughter", 472), "test": ("no_face", 95)}


@pytest.mark.slow
def test_annotated_clips_become_a_trained_model_and_a_trace_row_for_every_frame(
    tmp_path, tiny_run, media
):
    manual = tmp_path / "manual"
    shutil.copytree(media, manual)
    (manual / "videos.csv").write_text(LISTING)
    build("video_folder/112", tmp_path / "data", manual, options=["no_face=mask"])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        changes = {"data.name": "video_folder/112", "data.size": 32}
        changes["init.from_workdir"] = str(tiny_run)
        config = tiny(tmp_path / "data", **changes)
        train(config, tmp_path / "run")
        evaluate(config, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "metrics.json").read_text())["splits"]
    assert result["dev"]["scores"]["valence"]["pooled"]["n"] == 472
    assert result["test"]["frames_that_count"] == 0
    for split, (name, frames) in FRAMES.items():
        source = sources.open_split(str(tmp_path / "data"), "video_folder/112", split)
        (track,) = source.tracks
        assert track.frames == frames
        path = tmp_path / "run" / "traces" / split / f"{track.track_id}.csv"
        rows = list(csv.DictReader(path.open()))
        assert name in track.track_id
        assert [int(row["frame"]) for row in rows] == list(range(frames))
        assert {row["valid"] for row in rows} == {"1" if split == "dev" else "0"}
        assert all(-10 < float(row["valence"]) < 10 for row in rows)
