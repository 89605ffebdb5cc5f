"""Make the pictures of the README and the documentation from a run and the clip of the package.

    python docs/pictures.py runs/quickstart

The run is that of the README's first command. This requires Chromium, and the packages that
`pip install -e '.[test]'` installs.
"""

import argparse
import io
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from va_jax.config.data import Data
from va_jax.data.splits import open_split
from va_jax.video.read import read_frames

DOCS = pathlib.Path(__file__).parent
PUBLISHED = DOCS.parent / "va_jax" / "published"

PICTURES = (
    "overlay.gif", "plot.png", "page.png", "page_narrow.png", "index.png", "report.png",
    "recording.png", "compared.png", "preview.jpg", "synthetic_faces.jpg",
)  # fmt: skip
"""Every picture that `main` makes; dataflow.svg is drawn by hand."""

GIF_WIDTH, GIF_FPS, PREVIEW_WIDTH = 420, 10, 1000
FACES_APART_S, MOST_FACES = 2.0, 12
WIDTH, HEIGHT, NARROW = 1280, 860, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="workdir of the quickstart")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        work = pathlib.Path(folder)
        make_results(work, run)
        draw_gif(work / "seen.mp4", DOCS / "overlay.gif")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        photograph(browser, work)
        browser.close()
    draw_faces(DOCS / "synthetic_faces.jpg")


def draw_faces(path: pathlib.Path) -> None:
    """Draw pictures of five test subjects, `FACES_APART_S` apart."""
    source = open_split(Data(name="synthetic_faces/quickstart"), "test")
    rows = []
    for number in range(5):
        track = source.tracks[number]
        frames = np.arange(0, track.frames, round(FACES_APART_S * track.fps))
        jpegs = [jpeg for jpeg in source.jpegs(number, frames) if jpeg]
        pictures = [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs[:MOST_FACES]]
        rows.append(np.hstack(pictures))
    width = min(row.shape[1] for row in rows)
    Image.fromarray(np.vstack([row[:, :width] for row in rows])).save(path, quality=85)


def make_results(work: pathlib.Path, run: pathlib.Path) -> None:
    """Predict the clip, evaluate the run in two ways, and draw a preview of its data."""
    model, clip = str(PUBLISHED / "model"), str(PUBLISHED / "clip.mp4")
    va_jax("predict", model, clip, f"--out={work}", f"--overlay={work}/seen.mp4",
           f"--page={work}/seen.html", f"--plot={work}/plot.png")  # fmt: skip
    with Image.open(work / "plot.png") as picture:
        picture.save(DOCS / "plot.png")  # without the path of the clip, which a plot contains
    clips = work / "clips"
    clips.mkdir()
    for number in range(1, 4):
        shutil.copy(clip, clips / f"P{number}.mp4")
    va_jax("predict", model, str(clips), f"--page={work}/pages")
    va_jax("evaluate", str(run), f"--out={work}/a")
    va_jax("evaluate", str(run), "--eval.state=window", "--eval.fusion=last", f"--out={work}/b")
    va_jax("compare", f"{work}/a", f"{work}/b", f"--page={work}/compared.html")
    va_jax("preview", "synthetic_faces/quickstart", f"--out={work}/preview.png")
    with Image.open(work / "preview.png") as picture:
        picture.thumbnail((PREVIEW_WIDTH, picture.height))
        picture.convert("RGB").save(DOCS / "preview.jpg", quality=85)


def va_jax(*words: str) -> None:
    print("va_jax", *words, flush=True)
    subprocess.run([sys.executable, "-m", "va_jax", *words], check=True, stdout=subprocess.DEVNULL)


def draw_gif(video: pathlib.Path, path: pathlib.Path) -> None:
    """Write a video as a GIF of `GIF_WIDTH` pixels and `GIF_FPS` frames per second."""
    pictures, due = [], 0.0
    for time_s, image in read_frames(video):
        if time_s < due:
            continue
        due += 1 / GIF_FPS
        picture = Image.fromarray(image)
        picture.thumbnail((GIF_WIDTH, 10 * GIF_WIDTH))
        pictures.append(picture.quantize(64, dither=Image.Dither.NONE))
    first, *rest = pictures
    first.save(path, append_images=rest, save_all=True, duration=1000 // GIF_FPS, loop=0)


def photograph(browser: Browser, work: pathlib.Path) -> None:
    """Take the pictures of all pages."""

    def visit(name: str, width: int = WIDTH, dark: bool = False) -> Page:
        scheme = "dark" if dark else "light"
        viewport = {"width": width, "height": HEIGHT}
        page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto((work / name).as_uri())
        page.wait_for_timeout(1000)
        return page

    for name, width, dark in (("page.png", WIDTH, False), ("page_narrow.png", NARROW, True)):
        page = visit("seen.html", width, dark)
        point_at(page, ".u-over", 0.6, click=True)
        page.mouse.move(5, 5)
        page.wait_for_timeout(500)
        shoot(page, name)
    shoot(visit("pages/index.html"), "index.png", height=260)
    shoot(visit("a/report.html"), "report.png")
    page = visit("a/report.html")
    scroll_to(page, "#worst h3")
    point_at(page, "#worst .u-over", 0.4)
    shoot(page, "recording.png", height=420)
    page = visit("compared.html")
    scroll_to(page, "#traces .recording")
    point_at(page, "#traces .u-over", 0.4)
    shoot(page, "compared.png", height=420)


def scroll_to(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector('{selector}').scrollIntoView()")
    page.evaluate("scrollBy(0, -70)")
    page.wait_for_timeout(1000)


def point_at(page: Page, selector: str, share: float, click: bool = False) -> None:
    """Move the pointer to a share of the width of the first curve."""
    area = page.locator(selector).first.bounding_box()
    assert area is not None
    place = area["x"] + share * area["width"], area["y"] + area["height"] / 3
    if click:
        page.mouse.click(*place)
    else:
        page.mouse.move(*place)
    page.wait_for_timeout(500)


def shoot(page: Page, name: str, height: int = HEIGHT) -> None:
    """Save the top of what is visible, with few colours, which is a fraction of the size."""
    width = page.viewport_size["width"] if page.viewport_size else WIDTH
    path = DOCS / name
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": width, "height": height})
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
