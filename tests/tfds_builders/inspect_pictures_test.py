"""Edited copies of videos are found before a build, in whichever split they are."""

import fractions

import av
import cv2
import numpy as np
import pytest

from tests import edited_copies
from tests.edited_copies import EDITS, FPS, recording
from tfds_builders.inspect_recording import Thoroughness
from tfds_builders.inspect_tree import inspect_tree

SIDE = 128
HOW = Thoroughness(find_faces=False)


def write(path, frames, fps):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=fractions.Fraction(fps))
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            large = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            for packet in stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)


def inspected(folder, videos):
    """Inspect videos, given as {name: (split, frames, frames per second)}."""
    folder.mkdir()
    lines = ["video,labels,subject,split"]
    for name, (split, frames, fps) in videos.items():
        write(folder / f"{name}.mp4", np.ascontiguousarray(frames), fps)
        lines.append(f"{name}.mp4,,{name},{split}")
    (folder / "videos.csv").write_text("\n".join(lines) + "\n")
    return inspect_tree("video_folder", folder, folder.parent / "data", how=HOW)


def drawn(count):
    return {f"s{subject}": ("train", recording(subject, 0), FPS) for subject in range(count)}


@pytest.mark.slow
def test_ten_edited_copies_of_videos_are_found_and_nothing_else(tmp_path):
    copies = {edit: ("test", *each) for edit, each in edited_copies.copies().items()}
    report = inspected(tmp_path / "in", drawn(12) | copies)
    found = [str(each) for each in report.findings if "same pictures" in str(each)]
    assert len(found) == len(EDITS) == 10
    for subject, edit in enumerate(EDITS):
        assert any(f"s{subject}.mp4" in line and f"{edit}.mp4" in line for line in found)


def test_a_copy_in_the_same_split_is_only_a_note(tmp_path):
    copy = {"copy": ("train", recording(0, 0)[:, :, ::-1], FPS)}
    report = inspected(tmp_path / "in", drawn(2) | copy)
    assert not [each for each in report.findings if "same pictures" in str(each)]
    assert len(report.notes) == 1
    assert "s0.mp4" in report.notes[0]
