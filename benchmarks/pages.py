"""Measure the size of large pages, and how long a browser takes to open and scroll them.

    python -m benchmarks.pages --recordings 200 --seconds 300
    python -m benchmarks.pages --video 600

The first command writes the report of random smooth curves at 25 frames per second, with faces from
the clip of the package. The second one writes the page of a prediction of that many seconds,
without its video. A headless Chromium opens them; it draws on the CPU.
"""

import argparse
import pathlib
import shutil
import tempfile
import time

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from va_jax.evaluation import score_table
from va_jax.predict import page as prediction
from va_jax.predict.inputs import InputFile
from va_jax.predict.results import TrackResult, VideoResult
from va_jax.report import page
from va_jax.report.page import Evaluation, Split
from va_jax.types import DIMS, Trace, Track
from va_jax.video.read import read_frames

FPS, SIDE, SMOOTH = 25, 96, 75
CLIP = pathlib.Path(page.__file__).parents[1] / "published" / "clip.mp4"

SCROLL = """async () => {
  document.querySelector("#traces").scrollIntoView();
  let frames = 0, longest = 0, last = performance.now();
  const end = last + 10000;
  await new Promise(done => {
    const next = now => {
      longest = Math.max(longest, now - last);
      last = now;
      frames++;
      scrollBy(0, 40);
      if (now < end) requestAnimationFrame(next); else done();
    };
    requestAnimationFrame(next);
  });
  return { perSecond: frames / 10, longest };
}"""


def smooth(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return two random curves [frames, 2]."""
    noise = rng.normal(size=(frames + SMOOTH - 1, 2))
    kernel = np.full(SMOOTH, 2 / SMOOTH)
    return np.stack([np.convolve(column, kernel, "valid") for column in noise.T], 1)


def report(folder: pathlib.Path, recordings: int, seconds: int) -> pathlib.Path:
    """Write the report of random curves."""
    rng, frames = np.random.default_rng(0), seconds * FPS
    traces = []
    for number in range(recordings):
        name = f"r{number}"
        track = Track(name, name, name, "ab"[number % 2], FPS, frames, 0)
        pred, target = (smooth(rng, frames).astype(np.float32) for _ in range(2))
        times = (np.arange(frames) / FPS).astype(np.float32)
        traces.append(Trace(track, pred, target, np.ones(frames, bool), times))
    jpegs = [
        cv2.imencode(".jpg", cv2.resize(image, (SIDE, SIDE))[..., ::-1])[1].tobytes()
        for _, image in read_frames(CLIP)
    ]
    processed = [0.9 * trace.pred for trace in traces]
    table = score_table.metrics_table(traces, DIMS, resamples=100)
    split = Split(table, traces, processed)
    faces = lambda name, index, numbers: [jpegs[n % len(jpegs)] for n in numbers]  # noqa: E731
    page.write(folder, Evaluation("pages", {}, DIMS, {"test": split}, faces=faces))
    return folder / "report.html"


def predicted(folder: pathlib.Path, seconds: int) -> pathlib.Path:
    """Write the page of random curves of one face."""
    frames = seconds * FPS
    values = smooth(np.random.default_rng(0), frames).astype(np.float32)
    boxes = np.tile(np.array([100, 80, 300, 320], np.float32), (frames, 1))
    track = TrackResult(0, np.ones(frames, bool), boxes, np.ones(frames, np.float32), values)
    result = VideoResult("clip.mp4", np.arange(frames) / FPS, [track], DIMS, 640, 360)
    file = InputFile(CLIP, folder, pathlib.PurePath("clip"))
    prediction.write(folder / "seen.html", file, result, "none")
    return folder / "seen.html"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=300, help="length of a recording")
    parser.add_argument("--video", type=int, help="seconds of a prediction, instead of a report")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        began = time.perf_counter()
        if args.video:
            path = predicted(pathlib.Path(folder), args.video)
        else:
            path = report(pathlib.Path(folder), args.recordings, args.seconds)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", end="")
        print(f", written in {time.perf_counter() - began:.0f} s")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 860})
        began = time.perf_counter()
        opened.goto(path.as_uri())
        opened.wait_for_selector("[data-ready]" if args.video else "main")
        print(f"opened in {time.perf_counter() - began:.2f} s")
        if not args.video:
            print(opened.evaluate(SCROLL))
        browser.close()


if __name__ == "__main__":
    main()
