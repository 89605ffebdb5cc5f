"""Pages of evaluations, comparisons and audiences in a browser: curves, values, faces, tables."""

import dataclasses
import json
import pathlib

import cv2
import numpy as np
import pytest

from tests.evaluation.score_table_test import trace
from tests.report.page_test import evaluation, named, split
from va_jax.pages.columns import pack_columns
from va_jax.pages.render import render
from va_jax.report import audience_page, page
from va_jax.scoring import compare_page
from va_jax.scoring.audience import Curve
from va_jax.scoring.compare import compare

pytestmark = pytest.mark.slow

FPS, SECONDS = 10.0, 40


def recording(number, group=""):
    """Return a recording whose label rises from -1 to 1 and whose prediction is 0.1 higher."""
    frames = int(FPS * SECONDS)
    target = np.stack([np.linspace(-1, 1, frames), np.full(frames, 0.5)], 1).astype(np.float32)
    face = np.ones(frames, bool)
    face[100:150] = False
    times = np.arange(frames, dtype=np.float32) / FPS
    source = trace(number, frames, group, fps=FPS)
    return dataclasses.replace(source, pred=target + 0.1, target=target, face=face, time_s=times)


def grey(name, index, frames):
    """Return faces that are grey as their frame number; every seventh is missing."""
    pictures = (np.full((96, 96, 3), frame * 255 // 400, np.uint8) for frame in frames)
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    return [b"" if place % 7 == 4 else jpeg for place, jpeg in enumerate(jpegs)]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    traces = [recording(number, "ab"[number % 2]) for number in range(6)]
    traces.append(named(recording(9), "</script><b>late"))
    splits = {"dev": split(traces), "test": split(traces)}
    page.write(folder, evaluation(traces, splits=splits, faces=grey))
    return folder / "report.html"


def drawn(shown, place=0, where="#traces"):
    """Scroll to a recording, and return the place of its first panel."""
    shown.evaluate(f"document.querySelectorAll('{where} .recording')[{place}].scrollIntoView(true)")
    shown.evaluate("scrollBy(0, -120)")
    host = f"{where} .recording[data-drawn] .u-over"
    shown.wait_for_selector(host)
    shown.wait_for_timeout(200)
    return shown.locator(host).first.bounding_box()


def test_the_values_and_the_face_under_the_pointer_are_shown(report, visit):
    shown = visit(report)
    area = drawn(shown)
    shown.mouse.move(area["x"] + area["width"] * 0.75, area["y"] + 20)
    shown.wait_for_timeout(300)
    values = shown.locator("#traces .recording[data-drawn] .values").first.inner_text()
    assert values.split("\n") == ["0:29.9", "label +0.50", "prediction +0.60", "processed +0.54"]
    grey_level = shown.evaluate("""() => {
      const strip = document.querySelector("#traces .recording[data-drawn] .strip");
      const left = 34 + 0.75 * (strip.clientWidth - 42);
      const place = Math.round(strip.width * left / strip.clientWidth);
      return strip.getContext("2d").getImageData(place, strip.height / 2, 1, 1).data[0];
    }""")
    assert grey_level == pytest.approx(299 * 255 / 400, abs=8)
    assert shown.problems() == ([], [])


def test_frames_that_are_not_scored_are_shaded(report, visit):
    shown = visit(report)
    drawn(shown)
    shares = (0.3, 0.45)  # the face is hidden from 10 to 15 s of 40
    levels = [
        shown.evaluate(f"""() => {{
          const canvas = document.querySelector("#traces .recording[data-drawn] canvas");
          const pen = canvas.getContext("2d"), left = 34, right = 8;
          const x = left + {share} * (canvas.clientWidth - left - right);
          const scale = canvas.width / canvas.clientWidth;
          return pen.getImageData(x * scale, 106 * scale, 1, 1).data[3];
        }}""")
        for share in shares
    ]
    assert levels[0] > 0
    assert levels[1] == 0


def test_recordings_are_drawn_when_they_come_into_view_and_removed_after(report, visit):
    shown = visit(report)
    assert shown.locator("[data-drawn]").count() == 0
    drawn(shown)
    first = shown.locator("[data-drawn]").count()
    assert first >= 1
    shown.evaluate("scrollTo(0, 0)")
    shown.wait_for_timeout(500)
    assert shown.locator("[data-drawn]").count() == 0


def test_every_recording_is_drawn_for_the_printer_and_then_removed_again(report, visit):
    shown = visit(report, color_scheme="dark")
    shown.evaluate("""() => { window.print = () => {
      window.printed = [document.querySelectorAll("#traces [data-drawn]").length,
        document.querySelector("#traces canvas").clientWidth,
        getComputedStyle(document.body).backgroundColor];
      dispatchEvent(new Event("afterprint"));
    }; }""")
    shown.click("#print")
    while not (printed := shown.evaluate("window.printed")):
        shown.wait_for_timeout(50)
    count, width, ground = printed
    assert count == 7
    assert 600 < width < 700  # A4 and Letter are 794 and 816 wide, with their margins
    assert ground == "rgb(255, 255, 255)"
    shown.wait_for_timeout(500)
    assert shown.locator("[data-drawn]").count() == 0
    assert shown.problems() == ([], [])


def test_a_value_between_gaps_is_drawn_as_a_dot(tmp_path, visit):
    """A label at every fiftieth frame, as of raters who paused the video."""
    source = recording(1)
    target = source.target.copy()
    target[np.arange(len(target)) % 50 > 0] = np.nan
    target[:, 0] = np.where(np.isnan(target[:, 0]), np.nan, -0.8)  # far from the prediction
    source = dataclasses.replace(source, target=target, pred=np.full_like(target, 0.5))
    page.write(tmp_path, evaluation([source], splits={"dev": split([source])}, faces=grey))
    shown = visit(tmp_path / "report.html")
    drawn(shown)
    ink = shown.evaluate("""() => {
      const plot = document.querySelector("#traces .recording[data-drawn] canvas");
      const pen = plot.getContext("2d"), scale = plot.width / plot.clientWidth;
      const over = plot.parentElement.querySelector(".u-over");
      const seen = place => {
        const x = (over.offsetLeft + place * over.clientWidth) * scale;
        const y = (over.offsetTop + 0.9 * over.clientHeight) * scale;
        const { data } = pen.getImageData(x - 2, y - 2, 5, 5);
        const dark = Array.from({ length: 25 }, (_, pixel) => data[4 * pixel] < 60
          && data[4 * pixel + 3] > 200);  // red and alpha
        return dark.filter(Boolean).length;
      };
      return [seen(250 / 399), seen(275 / 399)];
    }""")
    assert ink[0] >= 4
    assert ink[1] == 0


def test_a_folded_split_opens_when_its_link_is_followed(report, visit):
    shown = visit(report)
    assert not shown.locator("#split-dev table").first.is_visible()
    shown.click("nav a[href='#split-dev']")
    assert shown.locator("#split-dev table").first.is_visible()


def test_groups_are_sorted_by_a_click(report, visit):
    shown = visit(report)
    table = shown.locator("#split-test table.sortable")
    names = "table => [...table.tBodies[0].rows].map(row => row.cells[0].textContent)"
    table.locator("thead button").nth(0).click()
    rising = table.evaluate(names)
    table.locator("thead button").nth(0).click()
    assert rising == sorted(rising)
    assert table.evaluate(names) == rising[::-1]
    assert len(rising) == 2


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_narrow_and_dark_screens(report, visit, width, scheme):
    shown = visit(report, width=width, color_scheme=scheme)
    drawn(shown)
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.problems() == ([], [])


def write_run(folder, offset):
    """Write the traces of a run: a rising label, and predictions that miss it by `offset`."""
    for number in range(8):
        path = folder / "traces" / "test" / f"r{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["frame,time_s,valence,valence_target,valid"]
        for frame in range(100):
            if 40 <= frame < 50:
                continue
            label = frame / 100 + 0.01 * number
            lines.append(f"{frame},{frame / FPS:.2f},{label + offset:.6f},{label:.6f},1")
        path.write_text("\n".join(lines) + "\n")
    return str(folder)


def test_a_comparison_shows_both_systems_on_every_recording(tmp_path, visit):
    result = compare(write_run(tmp_path / "a", 0.1), write_run(tmp_path / "b", -0.4))
    path = tmp_path / "compared.html"
    compare_page.write(path, result)
    shown = visit(path)
    assert "A is better by" in shown.inner_text("h1")
    area = drawn(shown)
    shown.mouse.move(area["x"] + area["width"] * 0.25, area["y"] + 20)
    shown.wait_for_timeout(300)
    values = shown.locator(".recording[data-drawn] .values").first.inner_text().split("\n")
    assert values == ["0:02.5", "label +0.25", "A +0.35", "B \N{MINUS SIGN}0.15"]
    shown.mouse.move(area["x"] + area["width"] * 0.46, area["y"] + 20)  # a gap in the frames
    shown.wait_for_timeout(300)
    values = shown.locator(".recording[data-drawn] .values").first.inner_text().split("\n")
    assert values[1:] == ["label \N{EN DASH}", "A \N{EN DASH}", "B \N{EN DASH}"]
    button = shown.locator("table.recordings thead button").nth(4)
    button.click()
    assert shown.problems() == ([], [])


def test_columns_arrive_as_they_were(tmp_path, visit):
    rng = np.random.default_rng(0)
    columns = [
        np.arange(1000) / 29.97,
        rng.normal(size=1000),
        np.where(rng.random(1000) < 0.2, np.nan, rng.normal(size=1000)),
        rng.random(1000) < 0.5,
        np.full(1000, np.nan),
        np.linspace(-199_999, 199_999, 1000),
    ]
    template = tmp_path / "columns.html"
    template.write_text(
        "{% extends 'base.html' %}{% block body %}"
        "<script type='text/plain' id='block'>{{ block }}</script>{% endblock %}"
    )
    text = render(template, {"block": pack_columns(columns)}, ["unpack.js", "columns.js"])
    path = pathlib.Path(tmp_path, "page.html")
    path.write_text(text)
    shown = visit(path)
    read = shown.evaluate("unpack('block').then(bytes => JSON.stringify(readColumns(bytes)))")
    for sent, received in zip(columns, json.loads(read), strict=True):
        got = np.array([np.nan if each is None else each for each in received])
        np.testing.assert_allclose(got, np.asarray(sent, float), atol=0.5001e-4)


def test_thinned_curves_keep_their_extremes(tmp_path, visit):
    template = tmp_path / "thin.html"
    template.write_text("{% extends 'base.html' %}{% block body %}{% endblock %}")
    path = tmp_path / "page.html"
    path.write_text(render(template, {}, ["unpack.js", "thin.js"]))
    shown = visit(path)
    thinned = shown.evaluate("""() => {
      const times = Array.from({ length: 100000 }, (_, i) => i / 100);
      const values = times.map((_, i) => i === 54321 ? 9 : i === 70001 ? -9 : Math.sin(i));
      const gap = times.map((_, i) => i > 20000 && i < 40000 ? null : 0.5);
      const all = thin([times, values, gap], 0, 1000, 500);
      const part = thin([times, values, gap], 10, 12, 500);
      return { rows: all[0].length, high: Math.max(...all[1]), low: Math.min(...all[1]),
        rising: all[0].every((time, i) => !i || time >= all[0][i - 1]),
        missing: all[2].filter(value => value === null).length / all[2].length,
        part: part[0].length, first: part[0][0], last: part[0].at(-1) };
    }""")
    assert thinned["rows"] == 1000
    assert (thinned["high"], thinned["low"]) == (9, -9)
    assert thinned["rising"]
    assert thinned["missing"] == pytest.approx(0.2, abs=0.01)
    assert 200 <= thinned["part"] <= 204
    assert thinned["first"] <= 10
    assert thinned["last"] >= 12


def test_the_page_of_audience_curves_shows_means_and_peaks(tmp_path, visit):
    times = np.arange(200) / 5
    values = np.exp(-((times - 20) ** 2) / 8)[None, :, None] + 0.02 * np.arange(4)[:, None, None]
    curve = Curve("a <film>", ("valence",), times, tuple("abcd"), values)
    path = tmp_path / "audience.html"
    path.write_text(audience_page.html([curve], [curve.peaks(0.1)]))
    shown = visit(path)
    area = drawn(shown, where="main")
    shown.mouse.move(area["x"] + area["width"] * times[100] / times[-1], area["y"] + 20)
    shown.wait_for_timeout(300)
    line = shown.locator(".recording[data-drawn] .values").first.inner_text()
    assert line.split("\n")[1] in ("mean +1.02", "mean +1.03")
    assert "20.0 s" in shown.inner_text("table")
    assert shown.problems() == ([], [])
