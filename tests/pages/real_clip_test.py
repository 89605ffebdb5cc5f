"""The page of a real clip, from the command to the browser."""

import csv
import shutil

import pytest

from tests.pages.prediction_test import VIDEO, box_drawn, ready
from va_jax.cli import command
from va_jax.predict import page

pytestmark = pytest.mark.slow


def test_the_page_of_a_real_clip_plays_and_shows_the_face(tmp_path, media, visit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = tmp_path / "smile.mp4"
    shutil.copy(media / "smile.mp4", clip)
    model = page.TEMPLATE.parents[1] / "published" / "model"
    flags = ["--page=seen.html", "--no-progress"]
    assert command.main(["predict", str(model), "smile.mp4", *flags]) == 0
    rows = list(csv.DictReader((tmp_path / "smile.csv").open()))
    times = [float(row["time_s"]) for row in rows]
    shown = ready(visit(tmp_path / "seen.html"))
    area = shown.locator(".u-over").first.bounding_box()
    shown.mouse.click(area["x"] + 1.5 / times[-1] * area["width"], area["y"] + 20)
    shown.wait_for_timeout(500)
    assert shown.evaluate(f"{VIDEO}.currentTime") == pytest.approx(1.5, abs=times[1])
    frame = int(shown.inner_text("#frame").removeprefix("frame "))
    assert times[frame] == pytest.approx(1.5, abs=1.01 * times[1])
    x, y, w, h = (float(rows[frame][name]) for name in "xywh")
    size = shown.evaluate(f"[{VIDEO}.videoWidth, {VIDEO}.videoHeight]")
    expected = [x / size[0], y / size[1], (x + w) / size[0], (y + h) / size[1]]
    assert box_drawn(shown) == pytest.approx(expected, abs=0.012)
    shown.keyboard.press("Home")
    shown.keyboard.press(" ")
    shown.wait_for_timeout(800)
    assert shown.evaluate(f"{VIDEO}.currentTime") > 0.2
    assert shown.problems() == ([], [])
