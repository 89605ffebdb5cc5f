"""Make the files with which `python -m va_jax.selftest` tries an installation, see there.

    python examples/published_files.py WORK [--out=va_jax/published]

Run it in the root of the repository. WORK takes the rendered faces and the run, some minutes of two
cores; what is there already is used. A file that is made anew takes the place of the one in OUT.
"""

import argparse
import csv
import os
import pathlib
import shutil
import subprocess
import sys

import av
import numpy as np

import va_jax
from tfds_builders.material import Recording
from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as synthetic
from tfds_builders.synthetic_faces.render import render
from va_jax.predict import preprocessing, selftest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NETWORK = ("--config.model.width=8", "--config.model.units=16")

SUBJECT = 257  # of the test split; the detector is sure of this face in every frame
FIRST, FRAMES = 35, 60  # of its recording: 6 s in which valence and arousal change much
WIDTH, HEIGHT, SIDE = 320, 240, 180  # of the picture and of the drawn square in it, pixels
HIDDEN = (*range(26, 34), *range(56, 60))  # frames without a face: a gap, and the end
NOISE = 1.0  # grey levels; little, for noise makes large files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=pathlib.Path, metavar="WORK")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "va_jax/published")
    given = parser.parse_args()
    work, out = given.work.resolve(), given.out.resolve()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    config = f"--config={ROOT / 'configs/quickstart.py'}"
    run("va_jax.main", config, *NETWORK, "--workdir=run", folder=work)
    shutil.rmtree(work / "model", ignore_errors=True)
    run("va_jax.main", "--mode=export", "--workdir=run", "--out=model", folder=work)
    shutil.rmtree(out / "model", ignore_errors=True)
    shutil.copytree(work / "model", out / "model")
    write_clip(out / "clip.mp4")
    flags = ("--csv=expected.csv", "--overwrite")
    run("va_jax", "predict", "model", "clip.mp4", *flags, folder=out)
    (out / "expected.json").unlink()  # names the folder of this machine
    write_values(out)


def run(module, *flags, folder):
    """A command of the package, with the CPU alone, in `folder`."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # no paths of this machine in the functions
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(
        [sys.executable, "-m", module, *flags], cwd=folder, env=os.environ | settings, check=True
    )


def write_clip(path):
    """The face before a grey wall, 10 frames a second, as H.264."""
    with av.open(str(path), "w") as container:
        options = {"crf": "26", "preset": "veryslow", "threads": "1"}
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for face in drawn_faces():
            picture = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
            top, left = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
            picture[top : top + SIDE, left : left + SIDE] = face
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_values(folder):
    """What the network says of the crops at the boxes in `expected.csv`."""
    model = va_jax.load(folder / "model")
    how, _ = preprocessing.from_metadata(model.passport)
    places = selftest.read(folder / "expected.csv")
    found = selftest.cropped(model, how, folder / "clip.mp4", places)
    with (folder / selftest.VALUES).open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def drawn_faces():
    """Frames uint8 RGB [FRAMES, SIDE, SIDE, 3], those of `HIDDEN` without the face."""
    config = next(each for each in synthetic.Builder.BUILDER_CONFIGS if each.name == "quickstart")
    details = {"subject": SUBJECT, "number": SUBJECT, "frames": config.lengths[0]}
    scene = synthetic.script(Recording("t", "v", "s", details=details), config)
    motion = scene.motion.cut(FIRST, FIRST + FRAMES)
    present = ~np.isin(np.arange(FRAMES), HIDDEN)
    motion = motion._replace(present=present, noise=NOISE)
    return render(scene.who, motion, SIDE, np.random.default_rng(0))


if __name__ == "__main__":
    main()
