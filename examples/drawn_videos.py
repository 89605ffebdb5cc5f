"""Make a folder of short videos of drawn faces with label files, to try out the commands.

    python examples/drawn_videos.py my_videos

The folder has the layout of `video_folder`: mp4 files, a csv file of labels for each, and
`videos.csv`. Rendering them takes a minute or two.
"""

import argparse
import pathlib
import sys

import av
import numpy as np

from tfds_builders.material import Recording
from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as synthetic
from tfds_builders.synthetic_faces.render import render
from va_jax.io import write_csv
from va_jax.types import DIMS

SUBJECTS = {0: "train", 1: "train", 2: "train", 3: "train", 9: "dev", 10: "test"}
"""Drawn people whose faces the detector finds in most frames, and their splits."""

FRAMES, FPS = 150, 10
WIDTH, HEIGHT, SIDE = 320, 240, 220  # of the image and of the drawn square in it, pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    if folder.exists():
        sys.exit(f"error: {folder} exists; choose the name of a new folder")
    folder.mkdir(parents=True)
    config = next(each for each in synthetic.Builder.BUILDER_CONFIGS if each.name == "quickstart")
    listing = []
    for subject, split in SUBJECTS.items():
        details = {"subject": subject, "number": subject, "frames": FRAMES, "noise_free": False}
        scene = synthetic.script(Recording("t", "v", "s", details=details), config)
        name = f"person_{len(listing) + 1:02}"
        write_video(folder / f"{name}.mp4", scene, np.random.default_rng(subject))
        rows = [
            [f"{n / FPS:.1f}", *(f"{v:.3f}" for v in row)] for n, row in enumerate(scene.target)
        ]
        write_csv(folder / f"{name}.csv", ["time_s", *DIMS], rows)
        listing.append([f"{name}.mp4", f"{name}.csv", name, split])
    write_csv(folder / "videos.csv", ["video", "labels", "subject", "split"], listing)
    print(f"{folder}: {len(listing)} videos of {FRAMES / FPS:g} s, with labels and videos.csv")


def write_video(path: pathlib.Path, scene: synthetic.Script, rng: np.random.Generator) -> None:
    """Write the face on a grey background, as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for start in range(0, FRAMES, 20):
            for face in render(scene.who, scene.motion.cut(start, start + 20), SIDE, rng):
                picture = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
                top, left = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
                picture[top : top + SIDE, left : left + SIDE] = face
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
