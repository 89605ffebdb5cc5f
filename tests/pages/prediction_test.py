"""The page of a prediction, in a browser: video, curves, boxes and plane show the same moment."""

import csv
import dataclasses
import io
import pathlib
import shutil

import cv2
import numpy as np
import pytest

from tests.pages.videos import write_video
from va_jax.predict import page
from va_jax.predict.inputs import InputFile
from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.types import InputError

pytestmark = pytest.mark.slow

FPS, FRAMES, WIDTH, HEIGHT = 25, 100, 320, 240
VIDEO = "document.getElementById('video')"


def boxes():
    """Return the boxes of a face that moves to the right by a pixel a frame."""
    left = 40 + np.arange(FRAMES)
    return np.stack([left, np.full(FRAMES, 60), left + 80, np.full(FRAMES, 160)], 1)


def result_of(path, times, tracks=1, **changes):
    tracked = []
    for number in range(tracks):
        shown = np.ones(len(times), bool)
        shown[70:80] = False
        values = np.stack([np.linspace(-0.5, 0.5, len(times)), np.full(len(times), 0.25)], 1)
        values = (values + 0.1 * number).astype(np.float32)
        own = (boxes()[: len(times)] + 60 * number).astype(np.float32)
        tracked.append(
            TrackResult(number, shown, np.where(shown[:, None], own, np.nan), shown * 0.9, values)
        )
    given = (path, np.asarray(times, float), tracked, ("valence", "arousal"), WIDTH, HEIGHT)
    return dataclasses.replace(VideoResult(*given), **changes)


def frames():
    """Yield frames that are grey as their number, so that a screenshot tells which is shown."""
    for number in range(FRAMES):
        yield np.full((HEIGHT, WIDTH, 3), 20 + 2 * number, np.uint8)


def file_of(path):
    return InputFile(path, path.parent, pathlib.PurePath(path.stem))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    video = write_video(folder / "clip.mp4", frames(), FPS)
    path = folder / "seen.html"
    page.write(path, file_of(video), result_of(video, np.arange(FRAMES) / FPS))
    return path


@pytest.fixture
def opened(made, visit):
    return ready(visit(made))


def ready(shown):
    shown.wait_for_selector("body[data-ready]")
    for _ in range(100):  # `wait_for_function` would break the page's security policy
        shown.wait_for_timeout(100)
        if shown.evaluate(f"{VIDEO}.readyState") >= 2:
            return shown
    raise AssertionError("the video was not loaded within ten seconds")


def moment(shown):
    shown.wait_for_timeout(250)
    return shown.evaluate(f"{VIDEO}.currentTime")


def click_curve(shown, time, panel=0):
    area = shown.locator(".u-over").nth(panel).bounding_box()
    share = time / ((FRAMES - 1) / FPS)
    shown.mouse.click(area["x"] + share * area["width"], area["y"] + area["height"] / 2)


def grey_shown(shown):
    """Return the frame number that the video shows, from its grey level."""
    level = shown.evaluate(f"""() => {{
      const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
      pen.drawImage({VIDEO}, 0, 0, 8, 8);
      return pen.getImageData(4, 4, 1, 1).data[0];
    }}""")
    return (level - 20) / 2


@pytest.mark.parametrize("panel", [0, 1])
def test_a_click_on_a_curve_moves_the_video_there(opened, panel):
    click_curve(opened, 1.5, panel)
    assert moment(opened) == pytest.approx(1.5, abs=1 / FPS)
    assert grey_shown(opened) == pytest.approx(37, abs=2)
    assert opened.inner_text("#time") in ("0:01.48", "0:01.52")
    assert opened.problems() == ([], [])


def test_the_values_at_the_moment_are_read_out(opened):
    click_curve(opened, 2.0)
    opened.mouse.move(5, 5)
    opened.wait_for_timeout(200)
    frame = int(opened.inner_text("#frame").removeprefix("frame "))
    assert frame == pytest.approx(50, abs=1)
    valence = -0.5 + frame / (FRAMES - 1)
    shown = float(opened.inner_text("#value-valence").replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(valence, abs=0.006)
    click_curve(opened, 3.0)  # the face is hidden from 2.8 to 3.2 s
    opened.mouse.move(5, 5)
    opened.wait_for_timeout(200)
    assert opened.inner_text("#value-valence") == "\N{EN DASH}"
    assert opened.is_visible("#unseen")


def box_drawn(shown):
    """Return the box on the canvas as left, top, right and bottom, in shares of its size."""
    return shown.evaluate("""() => {
      const canvas = document.getElementById("boxes"), { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const xs = [], ys = [];
      for (let place = 3; place < data.length; place += 4) {
        if (data[place] < 250) continue;
        xs.push((place >> 2) % width); ys.push(Math.floor((place >> 2) / width));
      }
      const ends = (places, size) => places.length
        ? [places.reduce((a, b) => Math.min(a, b)) / size,
           places.reduce((a, b) => Math.max(a, b)) / size] : [];
      const [left, right] = ends(xs, width), [top, bottom] = ends(ys, height);
      return [left, top, right, bottom];
    }""")


def test_the_box_lies_on_the_face_in_the_frame_that_is_shown(opened):
    for time in (0.5, 2.4):
        click_curve(opened, time)
        opened.wait_for_timeout(300)
        frame = round(grey_shown(opened))
        left, top, right, bottom = boxes()[frame]
        expected = [left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT]
        assert box_drawn(opened) == pytest.approx(expected, abs=0.012)
    click_curve(opened, 3.0)
    opened.wait_for_timeout(300)
    assert box_drawn(opened) == [None] * 4


def test_no_curve_is_drawn_where_the_face_is_hidden(opened):
    coloured = """([first, last]) => {
      const canvas = document.querySelector(".uplot canvas"), pen = canvas.getContext("2d");
      const area = document.querySelector(".u-over"), scale = canvas.width / canvas.clientWidth;
      const left = (area.offsetLeft + first * area.clientWidth) * scale;
      const width = (last - first) * area.clientWidth * scale;
      const { data } = pen.getImageData(left, 0, width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) {
        count += data[i + 3] > 200 && data[i + 2] - data[i] > 60;
      }
      return count;
    }"""
    last = (FRAMES - 1) / FPS
    assert opened.evaluate(coloured, [2.84 / last, 3.12 / last]) == 0
    assert opened.evaluate(coloured, [2.0 / last, 2.7 / last]) > 100


def test_the_keyboard_plays_steps_and_zooms(opened):
    opened.keyboard.press("ArrowRight")
    opened.wait_for_timeout(200)
    assert opened.inner_text("#frame") == "frame 1"
    for _ in range(3):
        opened.keyboard.press("ArrowRight")
        opened.wait_for_timeout(150)
    assert opened.inner_text("#frame") == "frame 4"
    opened.keyboard.press("ArrowLeft")
    opened.wait_for_timeout(200)
    assert opened.inner_text("#frame") == "frame 3"
    opened.keyboard.press("Shift+ArrowRight")
    assert moment(opened) == pytest.approx(1.12, abs=0.05)
    opened.keyboard.press("End")
    assert moment(opened) == pytest.approx((FRAMES - 1) / FPS, abs=0.001)
    opened.keyboard.press("Home")
    assert moment(opened) == 0
    opened.keyboard.press(" ")
    opened.wait_for_timeout(1000)
    assert opened.inner_text("#play") == "Pause"
    assert int(opened.inner_text("#frame").removeprefix("frame ")) > 5
    opened.keyboard.press(" ")
    assert opened.evaluate(f"{VIDEO}.paused")
    assert opened.problems() == ([], [])


def test_the_keyboard_zooms_around_the_moment(opened):
    last = (FRAMES - 1) / FPS
    area = opened.locator(".u-over").first.bounding_box()
    end = area["x"] + area["width"] - 2, area["y"] + 20
    opened.keyboard.press("+")
    opened.keyboard.press("+")
    opened.mouse.click(*end)
    assert moment(opened) == pytest.approx(last / 4, abs=0.03)
    opened.keyboard.press("-")
    opened.keyboard.press("0")
    opened.mouse.click(*end)
    assert moment(opened) == pytest.approx(last, abs=0.03)


def test_dragging_zooms_and_a_double_click_shows_everything(opened):
    area = opened.locator(".u-over").first.bounding_box()
    x, y, width = area["x"], area["y"] + 20, area["width"]
    opened.mouse.move(x + width / 4, y)
    opened.mouse.down()
    opened.mouse.move(x + width / 2, y, steps=5)
    opened.mouse.up()
    opened.wait_for_timeout(200)
    assert moment(opened) == 0  # dragging moves nothing
    click_curve(opened, 0.0)  # the left edge
    assert moment(opened) == pytest.approx((FRAMES - 1) / FPS / 4, abs=0.04)
    opened.mouse.dblclick(x + width / 2, y)
    opened.wait_for_timeout(200)
    click_curve(opened, 0.0)
    assert moment(opened) == pytest.approx(0, abs=0.04)


def test_playing_moves_the_playhead(opened):
    place = "document.querySelector('.playhead').getBoundingClientRect().left"
    before = opened.evaluate(place)
    opened.click("#play")
    opened.wait_for_timeout(1000)
    opened.click("#play")
    opened.wait_for_timeout(200)
    area = opened.locator(".u-over").first.bounding_box()
    moved = (opened.evaluate(place) - before) / area["width"] * (FRAMES - 1) / FPS
    assert moved == pytest.approx(opened.evaluate(f"{VIDEO}.currentTime"), abs=2 / FPS)
    assert moved > 0.3


def test_the_csv_can_be_downloaded(opened, made):
    with opened.expect_download() as download:
        opened.click("#download")
    assert download.value.suggested_filename == "clip.csv"
    rows = list(csv.DictReader(io.StringIO(pathlib.Path(download.value.path()).read_text())))
    assert len(rows) == FRAMES
    assert rows[10]["valence"] == f"{np.float32(-0.5 + 10 / 99):.6f}"
    assert rows[75]["valid"] == "0"


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_narrow_and_dark_screens(made, visit, width, scheme):
    shown = ready(visit(made, width=width, color_scheme=scheme))
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    light = np.mean([int(part) for part in ground.strip("rgb()").split(",")]) > 128
    assert light == (scheme == "light")
    assert shown.problems() == ([], [])


def test_another_face_can_be_chosen_from_the_list_and_in_the_picture(tmp_path, visit):
    video = write_video(tmp_path / "two.mp4", frames(), FPS)
    path = tmp_path / "two.html"
    page.write(path, file_of(video), result_of(video, np.arange(FRAMES) / FPS, tracks=2))
    shown = ready(visit(path))
    first = shown.inner_text("#value-arousal")
    shown.select_option("#face", "1")
    shown.wait_for_timeout(200)
    assert (first, shown.inner_text("#value-arousal")) == ("+0.25", "+0.35")
    area = shown.locator("#boxes").bounding_box()
    scale = area["width"] / WIDTH
    shown.mouse.click(area["x"] + 60 * scale, area["y"] + 80 * scale)  # in the first box only
    shown.wait_for_timeout(200)
    assert shown.input_value("#face") == "0"
    assert shown.inner_text("#value-arousal") == "+0.25"


def test_frames_at_irregular_times_are_found_by_their_time(tmp_path, visit):
    times = np.cumsum([0.0, *np.resize([0.02, 0.1, 0.04], FRAMES - 1)])
    video = write_video(tmp_path / "uneven.mp4", frames(), FPS, times=times)
    path = tmp_path / "uneven.html"
    page.write(path, file_of(video), result_of(video, times))
    shown = ready(visit(path))
    for frame in (10, 11, 12, 60):
        shown.evaluate(f"{VIDEO}.currentTime = {(times[frame] + times[frame + 1]) / 2}")
        shown.wait_for_timeout(300)
        seen = int(shown.inner_text("#frame").removeprefix("frame "))
        assert seen == pytest.approx(grey_shown(shown), abs=0.6)  # what the browser really shows
        assert seen == pytest.approx(frame, abs=1)


def test_several_rows_of_a_frame_have_their_own_values(tmp_path, visit):
    rows = np.arange(2 * FRAMES)
    video = write_video(tmp_path / "fine.mp4", frames(), FPS)
    path = tmp_path / "fine.html"
    short = result_of(video, rows[:FRAMES] / FPS)
    track = short.tracks[0]
    fine = dataclasses.replace(
        track,
        shown=np.ones(2 * FRAMES, bool),
        boxes=np.repeat(boxes(), 2, 0).astype(np.float32),
        scores=np.ones(2 * FRAMES),
        values=np.stack([rows / 200, rows / 400], 1).astype(np.float32),
    )
    made = dataclasses.replace(
        short, time_s=rows / (2 * FPS), tracks=[fine], frames=np.repeat(np.arange(FRAMES), 2)
    )
    page.write(path, file_of(video), made, "none")
    shown = visit(path)
    shown.wait_for_selector("body[data-ready]")
    for _ in range(3):
        shown.keyboard.press("ArrowRight")
    assert shown.inner_text("#frame") == "frame 1"
    assert shown.inner_text("#time") == "0:00.06"
    assert shown.inner_text("#value-valence") in ("+0.01", "+0.02")


def test_a_video_beside_the_page_is_played_and_missed(tmp_path, visit):
    folder = tmp_path / "some clips #1"
    folder.mkdir()
    video = write_video(folder / "a b%.mp4", frames(), FPS)
    path = tmp_path / "beside.html"
    page.write(path, file_of(video), result_of(video, np.arange(FRAMES) / FPS), "beside")
    assert path.stat().st_size < 150_000
    shown = ready(visit(path))
    click_curve(shown, 1.5)
    assert moment(shown) == pytest.approx(1.5, abs=1 / FPS)
    assert shown.problems() == ([], [video.as_uri()])
    shutil.move(video, tmp_path / "moved.mp4")
    missing = visit(path)
    missing.wait_for_selector("#problem:visible")
    assert "some clips #1/a b%.mp4" in missing.inner_text("#problem")
    click_curve(missing, 1.5)
    missing.wait_for_timeout(200)
    assert missing.inner_text("#frame") in ("frame 37", "frame 38")  # curves work without it


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_a_video_that_browsers_cannot_play_is_encoded(tmp_path, visit, codec):
    video = write_video(tmp_path / "old.avi", frames(), FPS, codec=codec)
    path = tmp_path / "old.html"
    result = result_of(video, np.arange(FRAMES) / FPS)
    page.write(path, file_of(video), result)
    shown = ready(visit(path))
    click_curve(shown, 1.5)
    assert moment(shown) == pytest.approx(1.5, abs=1 / FPS)
    assert grey_shown(shown) == pytest.approx(37, abs=3)
    for video_mode in ("embed", "beside"):
        with pytest.raises(InputError, match=r"old.avi: browsers cannot play .* encode or none"):
            page.write(path, file_of(video), result, video_mode)


def test_a_page_without_the_video_shows_its_curves(tmp_path, visit):
    video = write_video(tmp_path / "private.mp4", frames(), FPS)
    path = tmp_path / "private.html"
    page.write(path, file_of(video), result_of(video, np.arange(FRAMES) / FPS), "none")
    shown = visit(path)
    shown.wait_for_selector("body[data-ready]")
    assert shown.locator("video, img, #boxes").count() == 0
    click_curve(shown, 1.5)
    assert shown.inner_text("#frame") in ("frame 37", "frame 38")
    assert shown.problems() == ([], [])


def test_an_image_has_a_page_without_curves(tmp_path, visit):
    image = tmp_path / "one.png"
    cv2.imwrite(str(image), next(frames()))
    path = tmp_path / "one.html"
    page.write(path, file_of(image), result_of(image, [0.0]))
    shown = visit(path)
    shown.wait_for_selector("body[data-ready]")
    assert shown.evaluate("document.querySelector('#stage img').naturalWidth") == WIDTH
    assert shown.inner_text("#value-valence") == "\N{MINUS SIGN}0.50"
    assert shown.locator(".u-over").count() == 0
    assert shown.problems() == ([], [])


@pytest.mark.parametrize("name", [
    "</script><script>document.title='owned'<", "a,b\"c'd&amp;.mp4", "line\nbreak.mp4",
    "<img src=x onerror=alert(1)>.mp4", "=1+1.mp4",
])  # fmt: skip
def test_names_cannot_run_anything(tmp_path, visit, name):
    video = write_video(tmp_path / "clip.mp4", frames(), FPS)
    named = tmp_path / name.replace("/", "\N{DIVISION SLASH}")
    video.rename(named)
    path = tmp_path / "seen.html"
    result = result_of(named, np.arange(FRAMES) / FPS, note="<b>note</b>")
    page.write(path, file_of(named), result)
    shown = ready(visit(path))
    assert shown.title().split() == named.name.split()
    assert "<b>note</b>" in shown.inner_text("body")
    click_curve(shown, 1.5)
    shown.mouse.move(5, 5)
    shown.wait_for_timeout(200)
    assert shown.inner_text("#value-arousal") == "+0.25"  # the rows were read
    assert shown.problems() == ([], [])
