"""Make the files that `va_jax selftest` compares an installation with.

    python examples/published_files.py WORK [--out=va_jax/published]

Run it in the root of the repository. WORK receives the rendered faces and the run, which takes a
few minutes on two cores; a run that is there already is used. Files in OUT are replaced.
"""

import argparse
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
from va_jax.io import write_csv
from va_jax.predict import preprocessing, selftest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NETWORK = ("--config.model.width=8", "--config.model.units=16")

SUBJECT = 257  # of the test split; the detector finds this face in every frame with a high score
FIRST, FRAMES = 35, 60  # of its recording: 6 s with large changes of valence and arousal
WIDTH, HEIGHT, SIDE = 320, 240, 180  # of the image and of the drawn square in it, pixels
HIDDEN = (*range(26, 34), *range(56, 60))  # frames without a face: a gap, and the end
NOISE = 1.0  # grey levels; low, because noise makes large files


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
    run("va_jax", "export", "run", "--out=model", folder=work)
    shutil.rmtree(out / "model", ignore_errors=True)
    shutil.copytree(work / "model", out / "model")
    write_clip(out / "clip.mp4")
    flags = ("--csv=expected.csv", "--overwrite")
    run("va_jax", "predict", "model", "clip.mp4", *flags, folder=out)
    (out / "expected.json").unlink()  # names the folder of this machine
    write_values(out)


def run(module, *flags, folder):
    """Run a command of the package in `folder`, on the CPU only."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # no local paths in the serialised functions
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run(
        [sys.executable, "-m", module, *flags], cwd=folder, env=os.environ | settings, check=True
    )


def write_clip(path):
    """Write the face on a grey background, 10 frames per second, as H.264."""
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
    """Write the values of the network for crops at the boxes in `expected.csv`."""
    model = va_jax.load(folder / "model")
    crops, _ = preprocessing.from_metadata(model.metadata)
    boxes = selftest.read_rows(folder / "expected.csv")
    rows = selftest.values_at_boxes(model, crops, folder / "clip.mp4", boxes)
    write_csv(folder / selftest.VALUES, list(rows[0]), [list(row.values()) for row in rows])


def drawn_faces():
    """Return frames, uint8 RGB [FRAMES, SIDE, SIDE, 3]; those in `HIDDEN` show no face."""
    config = next(each for each in synthetic.Builder.BUILDER_CONFIGS if each.name == "quickstart")
    details = {"subject": SUBJECT, "number": SUBJECT, "frames": config.lengths[0]}
    details["noise_free"] = False
    scene = synthetic.script(Recording("t", "v", "s", details=details), config)
    motion = scene.motion.cut(FIRST, FIRST + FRAMES)
    present = ~np.isin(np.arange(FRAMES), HIDDEN)
    motion = motion._replace(present=present, noise=NOISE)
    return render(scene.who, motion, SIDE, np.random.default_rng(0))


if __name__ == "__main__":
    main()
