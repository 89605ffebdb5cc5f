"""The page of an evaluation: it is self-contained and shows every recording and every score."""

import base64
import dataclasses
import hashlib
import html
import html.parser
import json
import re
import shutil
import subprocess
import time

import numpy as np
import pytest

from tests.evaluation.score_table_test import DIMS, trace
from va_jax.evaluation import score_table
from va_jax.evaluation.lags import LagCurve
from va_jax.evaluation.metrics import METRICS
from va_jax.evaluation.score_table import scores
from va_jax.pages.columns import pack_columns
from va_jax.report import page
from va_jax.report.page import Evaluation, Split
from va_jax.types import InputError

VOID = {"meta", "link", "img", "br", "hr", "input"}
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwc"
    "KDcpLDAxNDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QA"
    "tRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0"
    "NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2"
    "t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APn+v//Z"
)  # a single grey pixel

HOSTILE = [
    "<script>alert(1)</script>",
    "a\"b'c&amp;<img src=x>",
    "../up/../and/down",
    "$x_1$ & é",
]


def named(source, name, **fields):
    track = dataclasses.replace(source.track, track_id=name)
    return dataclasses.replace(source, track=track, **fields)


def recordings():
    """Return recordings: ordinary, a single frame, constant, unlabelled, with a hole, hostile."""
    hole = trace(3, 120, "b")
    target = hole.target.copy()
    target[40:70] = np.nan
    constant = np.full((60, 2), 0.25, np.float32)
    return [
        trace(10, 90, "a"),
        trace(2, 90, "a"),
        named(trace(4, 1, "a"), "single"),
        named(trace(5, 60), "constant", target=constant, pred=constant),
        named(trace(6, 50), "unlabelled", target=np.full((50, 2), np.nan, np.float32)),
        named(hole, "hole", target=target),
        *(named(trace(20 + i, 40, "<b>"), name) for i, name in enumerate(HOSTILE)),
    ]


def split(traces):
    processed = [0.9 * each.pred for each in traces]
    table = score_table.metrics_table(traces, DIMS, {"valence": 0.1, "arousal": 0.0}, resamples=50)
    table["processed"] = {
        "fitted_on": "dev",
        "steps": dict.fromkeys(DIMS, "scale by 0.9 & <nothing> else"),
        "scores": scores(traces, processed, DIMS, resamples=50),
    }
    table["ceiling"] = {"valence": 0.875, "arousal": 0.9375}
    return Split(table, traces, processed)


def evaluation(traces, **fields):
    history = [{"step": n, "kind": "train", "loss": 1 / n} for n in (1, 2)]
    history += [{"step": 2, "kind": "dev", "ccc_valence": 0.1, "ccc_arousal": 0.2}]
    blank = [
        dataclasses.replace(each, target=np.full_like(each.target, np.nan)) for each in traces[:2]
    ]
    table = score_table.metrics_table(blank, DIMS, {"valence": 0.1, "arousal": 0.0})
    unlabelled = Split(table, blank)
    curve = LagCurve((-1.0, 0.0, 1.0), (0.1, 0.3, 0.2), 0.0, 0.3)
    values = {
        "title": "a run <i>of</i> a & b", "facts": {"data set": "set <1>"}, "dims": DIMS,
        "splits": {"dev": split(traces), "test": unlabelled}, "history": history, "step": 2,
        "lags": {"valence": curve},
        "faces": lambda name, index, numbers: [JPEG, *[b""] * (len(numbers) - 1)],
    }  # fmt: skip
    return Evaluation(**(values | fields))


class Reader(html.parser.HTMLParser):
    """Collects tags, ids, tables and text; fails if a tag is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.tables, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(["", ""])  # the number, and the small text under it

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1]["small" in self.open] += data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    source = evaluation(recordings())
    page.write(workdir, source)
    text = (workdir / "report.html").read_text()
    return workdir, source, text, Reader(text)


def test_the_page_loads_nothing_from_elsewhere(made):
    *_, text, reader = made
    for tag, attrs in reader.tags:
        assert not {"srcset", "action", "poster", "background", "onclick", "onload"} & set(attrs)
        assert attrs.get("src", "data:").startswith("data:"), tag
        assert attrs.get("href", "#").startswith(("#", "data:")), tag
    ours = re.sub(r'base64,[^"]*|<script type="text/plain".*?</script>|<script>.*?</script>', "",
                  text, flags=re.DOTALL)  # fmt: skip
    assert not re.search(r"https?:|file:|url\(|@import|//[a-z]", ours)
    policy = next(a["content"] for _, a in reader.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data: blob:; media-src blob:;")


def test_the_page_is_well_formed_and_its_links_have_targets(made):
    reader = made[-1]
    assert len(reader.ids) == len(set(reader.ids))
    links = [a["href"] for tag, a in reader.tags if tag == "a"]
    assert {link[1:] for link in links} <= set(reader.ids)
    assert len(links) > 20


def test_every_image_has_an_alternative_text(made):
    images = [attrs for tag, attrs in made[-1].tags if tag == "img"]
    assert len(images) >= 4
    assert all(len(attrs["alt"]) > 10 for attrs in images)


def list_of_recordings(reader):
    return next(table for table in reader.tables if table[0][0][0] == "recording")[1:]


def test_every_recording_of_the_last_split_with_labels_is_shown(made):
    _, source, text, reader = made
    heads = [head for head in re.findall(r"<article[^>]*><h3>(.*?) <small>", text)]
    names = [html.unescape(head) for head in heads]
    expected = [each.track.track_id for each in source.splits["dev"].traces]
    assert sorted(names) == sorted(expected)
    assert names.index("t2") < names.index("t10")
    assert [row[0][0] for row in list_of_recordings(reader)] == names
    blocks = [attrs["data-block"] for tag, attrs in reader.tags if "data-block" in attrs]
    assert set(blocks) <= set(reader.ids)
    assert len(set(blocks)) == len(names)


def test_names_cannot_become_markup(made):
    *_, text, reader = made
    scripts = [attrs for tag, attrs in reader.tags if tag == "script"]
    assert [each for each in scripts if "type" not in each] == [{}]  # the others are data
    assert not any(attrs.get("src") == "x" for _, attrs in reader.tags)
    for name in (*HOSTILE, "a run <i>of</i> a & b", "scale by 0.9 & <nothing> else", "set <1>"):
        assert name in reader.text, name
    assert "<i>" not in text
    assert "<b>" not in text.replace("<b>0", "").replace("<b>\N{MINUS SIGN}", "")


def shown(value):
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def test_the_page_shows_the_numbers_of_the_metrics_table(made):
    _, source, _, reader = made
    metrics_table = source.splits["dev"].metrics_table
    full = [table for table in reader.tables if len(table) > 12 and "PCC" in table[0][2]]
    for table, dim in zip(full, DIMS, strict=False):
        rows = [row for row in table[1:] if len(row) > 1]
        expected = [
            *metrics_table["scores"][dim].values(),
            *metrics_table["processed"]["scores"][dim].values(),
            *(baseline[dim]["pooled"] for baseline in metrics_table["baselines"].values()),
        ]
        assert len(rows) == len(expected) + 1  # and the ceiling
        for row, numbers in zip(rows, expected, strict=False):
            assert [cell for cell, _ in row[1:6]] == [shown(numbers[key]) for key in METRICS]
            counts = [f"{numbers[key]:,}" for key in ("n", "recordings", "undefined")]
            assert [cell for cell, _ in row[6:]] == counts
            for key, (_, under) in zip(METRICS, row[1:6], strict=True):
                ends = (numbers.get("interval") or {}).get(key)
                known = ends and None not in ends
                assert under == f"[{', '.join(map(shown, ends))}]" if known else True
        assert rows[-1][1][0] == shown(metrics_table["ceiling"][dim])


def test_the_band_around_the_labels_is_the_spread_between_the_raters_if_it_is_known(made, tmp_path):
    _, source, plain, _ = made
    traces = [
        dataclasses.replace(each, spread=np.full_like(each.target, width))
        for each, width in zip(source.splits["dev"].traces, (0.1, *[np.nan] * 99), strict=False)
    ]
    page.write(tmp_path, evaluation(traces))
    rated = (tmp_path / "report.html").read_text()
    assert "standard deviation between their values" in rated
    assert "pooled RMSE" in plain
    assert "standard deviation between their values" not in plain


def test_the_list_of_recordings_shows_the_scores_of_each(made):
    _, source, _, reader = made
    split = source.splits["dev"]
    frames = {each.track.track_id: each for each in split.traces}
    for row in list_of_recordings(reader):
        name, cells = row[0][0], [cell for cell, _ in row]
        each = frames[name]
        assert cells[3:5] == [f"{len(each.pred):,}", f"{each.mask.sum():,}"]
        found = split.metrics_table["recordings"].get(name)
        keys = [(dim, key) for dim in DIMS for key in ("ccc", "rmse")]
        if found:
            assert cells[5:] == [shown(found[dim][key]) for dim, key in keys]
        else:
            assert name == "unlabelled"
            assert set(cells[5:]) == {"\N{EN DASH}"}


def test_the_page_embeds_the_pictures_in_its_folder(made):
    workdir, *_, reader = made
    sources = {attrs["src"] for tag, attrs in reader.tags if tag == "img"}
    paths = sorted((workdir / "plots").rglob("*.png"))
    top = [path.name for path in paths if path.parent.name == "plots"]
    assert top == ["lag.png", "loss.png", "plane_dev.png", "scatter_dev.png"]
    for path in paths:
        data = base64.b64encode(path.read_bytes()).decode()
        assert f"data:image/png;base64,{data}" in sources, path


def test_the_worst_recordings_have_the_lowest_mean_ccc_among_those_long_enough(made):
    _, source, text, _ = made
    split = source.splits["dev"]
    long = {e.track.track_id for e in split.traces if e.mask.sum() / e.track.fps >= 2}
    means = {
        name: np.mean([row["ccc"] for row in found.values()])
        for name, found in split.metrics_table["recordings"].items()
        if name in long
    }
    section = text[text.index('id="worst"') : text.index('id="recordings"')]
    names = [html.unescape(n) for n in re.findall(r'<h3><a href="#trace-\d+">(.*?)</a>', section)]
    assert names == sorted(means, key=means.get)[:5]


@pytest.mark.slow
def test_the_test_split_comes_first_and_its_pictures_before_its_metrics(tmp_path):
    traces = recordings()[:1]
    both = {"dev": split(traces), "test": split(traces)}
    page.write(tmp_path, evaluation(traces, splits=both, lags={}, history=()))
    text = (tmp_path / "report.html").read_text()
    order = ["id=\"split-test\"", "valence-arousal plane, test\"", "against labels, test:",
             "<caption>valence", "id=\"worst\"", "id=\"traces\"",
             "<details id=\"split-dev\">"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "Curves of test" in text


def test_a_value_that_a_page_cannot_hold_is_one_line():
    with pytest.raises(InputError, match=r"a curve reaches 1e\+06, too far for a page"):
        pack_columns([np.array([0.0, -1e6])])


def test_pictures_of_an_earlier_evaluation_are_removed_and_no_others(tmp_path):
    for folder, name in ((".", "traces_test.png"), ("plots", "lag.png"), ("plots", "mine.png"),
                         (".", "traces_for_paper.png")):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).touch()
    traces = recordings()[:1]
    page.write(tmp_path, evaluation(traces, splits={"dev": split(traces)}, lags={}, history=()))
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == [
        "plots/mine.png", "plots/plane_dev.png", "plots/scatter_dev.png", "report.html",
        "traces_dev.png", "traces_for_paper.png",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_failed_evaluation_leaves_the_earlier_page(tmp_path):
    traces = recordings()[:2]
    page.write(tmp_path, evaluation(traces))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    def broken(name, index, numbers):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        page.write(tmp_path, evaluation(traces, faces=broken))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_data_set_with_one_dimension_and_no_labels_has_a_page(tmp_path):
    source = trace(1, 30)
    blank = dataclasses.replace(
        source, pred=source.pred[:, :1], target=np.full((30, 1), np.nan, np.float32)
    )
    table = score_table.metrics_table([blank], ("dominance",))
    page.write(tmp_path, Evaluation("t", {}, ("dominance",), {"test": Split(table, [blank])}))
    reader = Reader((tmp_path / "report.html").read_text())
    assert "predictions only" in reader.text
    assert "dominance: not scored" in reader.text


CHECK = """
addEventListener("load", () => {
  const pen = document.createElement("canvas").getContext("2d",
    { willReadFrequently: true });
  const seen = image => {
    pen.clearRect(0, 0, 1, 1);
    if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data[3] === 255;
  };
  const names = () => [...document.querySelectorAll(".recordings tbody a")]
    .map(a => a.getAttribute("href"));
  const asked = performance.getEntriesByType("resource")
    .filter(entry => !entry.name.startsWith("data:")).length;
  const button = document.querySelectorAll(".recordings thead button")[5];
  button.click();
  const rising = names();
  button.click();
  const images = [...document.images].map(seen);
  document.documentElement.dataset.seen = JSON.stringify(
    { images: images.length, bad: images.filter(good => !good).length, asked, rising,
      falling: names() });
});
"""
"""Runs before the document is dumped, so it must not wait for anything."""


def browse(path, profile):
    """Return the document after headless Chromium has run it, and its console output."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip(f"no browser found, none of {', '.join(names)}")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += ["--disable-dev-shm-usage", f"--user-data-dir={profile}", "--enable-logging=stderr"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    done = subprocess.run(
        [browser, *flags, "--window-size=1280,900", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def watched(workdir, text):
    """Write a copy of the page that runs `CHECK` and loads every image at once."""
    digest = base64.b64encode(hashlib.sha256(CHECK.encode()).digest()).decode()
    text = text.replace("script-src '", f"script-src 'sha256-{digest}' '")
    text = text.replace(' loading="lazy" decoding="async"', "")
    path = workdir / "watched.html"
    path.write_text(text.replace("</body>", f"<script>{CHECK}</script></body>"))
    return path


def test_a_browser_shows_all_images_sorts_the_list_and_requests_nothing(made, tmp_path):
    _, source, text, reader = made
    dom, console = browse(watched(tmp_path, text), tmp_path / "profile")
    assert console == []
    seen = json.loads(dict(Reader(dom).tags[0][1])["data-seen"])
    assert seen["images"] == [tag for tag, _ in reader.tags].count("img")
    assert (seen["bad"], seen["asked"]) == (0, 0)
    found = source.splits["dev"].metrics_table["recordings"]
    rows = [row[0][0] for row in list_of_recordings(reader)]  # anchors are numbered in this order
    value = {
        f"#trace-{i + 1}": found[n]["valence"]["ccc"] for i, n in enumerate(rows) if n in found
    }
    last = [f"#trace-{rows.index('unlabelled') + 1}"]
    rising = [value[anchor] for anchor in seen["rising"] if anchor in value]
    assert rising == sorted(value.values())
    assert seen["rising"][-1:] == seen["falling"][-1:] == last
    falling = [value[anchor] for anchor in seen["falling"] if anchor in value]
    assert falling == sorted(value.values(), reverse=True)


@pytest.mark.slow
def test_hundreds_of_recordings_make_a_page_that_opens(tmp_path):
    traces = [trace(n, 60, fps=25.0) for n in range(300)]
    source = evaluation(traces)
    began = time.process_time()
    page.write(tmp_path, source)
    assert time.process_time() - began < 0.05 * len(traces) + 20
    text = (tmp_path / "report.html").read_text()
    assert len(text) < 15e6
    dom, console = browse(watched(tmp_path, text), tmp_path / "profile")
    assert console == []
    seen = json.loads(dict(Reader(dom).tags[0][1])["data-seen"])
    assert (seen["bad"], seen["asked"]) == (0, 0)
