"""Measure the speed and memory of a build, relative to the bare work on the same frames.

    python -m benchmarks.build [--video=CLIP] [--rounds=3] [--minutes 1 10] [--json]

The bare work is the part that no builder can leave out. For a video: decode it, detect the face in
every frame, decode again (crops need the whole track), cut each crop and encode it. For a folder of
ready crops: read and decode every image, because damaged ones must be found. The bare work writes
no records, keeps no account and cannot be resumed.

The build and the bare work alternate in fresh processes, with one worker and with two. Each is
timed on a small and on a large tree: the difference in time gives the speed, and the remaining time
is start-up (imports, compilation). The command prints medians, then the peak memory of a process
that builds a short and a long video. Without --video, drawn faces are used. The detector is faster
on them than on real pictures.
"""

import argparse
import functools
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import av
import cv2
import numpy as np
import simplejpeg

from tfds_builders.material import Recording
from tfds_builders.synthetic_faces import synthetic_faces_dataset_builder as synthetic
from tfds_builders.synthetic_faces.render import render
from va_jax import faces
from va_jax.video import jpeg
from va_jax.video.read import read_frames

FPS = 25
WIDTH, HEIGHT = 640, 360
CROP_SIZE = 112
TRACKS = 2  # tracks in a tree, one for each of two workers
PIECE_FRAMES = 250  # played forwards and backwards, so that the face never jumps
SUBJECT = 3  # the detector finds this drawn face in every frame
MAX_SIDE = 1280  # the builder's default


def drawn_pictures(size: int = 200) -> list[np.ndarray]:
    """Return frames of one subject of `synthetic_faces/large` in front of a grey wall."""
    (large,) = (each for each in synthetic.Builder.BUILDER_CONFIGS if each.name == "large")
    details = {"subject": SUBJECT, "number": SUBJECT, "frames": PIECE_FRAMES}
    scene = synthetic.script(Recording("t", "v", "s", details=details), large)
    pictures = []
    for face in render(scene.who, scene.motion, size, np.random.default_rng(0)):
        picture = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
        top, left = (HEIGHT - size) // 2, (WIDTH - size) // 2
        picture[top : top + size, left : left + size] = face
        pictures.append(picture)
    return pictures


def write_video(path: pathlib.Path, pictures: Sequence[np.ndarray], frames: int) -> None:
    """Write a video that plays the pictures forwards and backwards."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        endless = itertools.cycle([*pictures, *pictures[::-1]])
        for picture in itertools.islice(endless, frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_crops(folder: pathlib.Path, pictures: Sequence[np.ndarray], frames: int) -> None:
    """Write a folder of numbered square JPEG crops."""
    folder.mkdir()
    height = pictures[0].shape[0]
    squares = (cv2.resize(each[:, :height], (CROP_SIZE, CROP_SIZE)) for each in pictures)
    endless = itertools.cycle([jpeg.encode(each) for each in squares])
    for number, data in enumerate(itertools.islice(endless, frames), 1):
        (folder / f"{number:06}.jpg").write_bytes(data)


def write_tree(folder: pathlib.Path, kind: str, pictures, frames: int, tracks: int) -> None:
    """Write a tree for `video_folder`: `tracks` recordings of `frames` frames each."""
    folder.mkdir()
    names = [f"{n}.mp4" if kind == "videos" else f"{n}" for n in range(tracks)]
    for name in names:
        (write_video if kind == "videos" else write_crops)(folder / name, pictures, frames)
    lines = [f"{name},,train" for name in names]
    (folder / "videos.csv").write_text("\n".join(["video,labels,split", *lines]))


def bare_work(source: pathlib.Path) -> None:
    """Do the work that no builder can leave out, on a video or a folder of crops."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            simplejpeg.decode_jpeg(path.read_bytes(), colorspace="RGB")
        return
    read = functools.partial(read_frames, source, MAX_SIDE)
    detector = faces.Detector()
    found = [detector(image).landmarks for _, image in read()]
    place = next(each[0] for each in found if len(each))
    for (_, image), each in zip(read(), found, strict=True):
        place = each[0] if len(each) else place
        jpeg.encode(faces.align(image, place, CROP_SIZE)[0])


def spend(*commands: Sequence[str]) -> tuple[float, float]:
    """Run commands in parallel; return the seconds until all end, and the largest peak in MiB."""
    start, peaks = time.perf_counter(), []
    with tempfile.TemporaryFile("w+") as errors:
        running = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
            for command in commands
        ]
        for process in running:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peaks.append(usage.ru_maxrss / 1024)
        if any(process.returncode for process in running):
            errors.seek(0)
            sys.exit(errors.read())
    return time.perf_counter() - start, max(peaks)


def build(tree: pathlib.Path, jobs: int) -> tuple[float, float]:
    """Return the time and memory that the command takes to build the tree."""
    with tempfile.TemporaryDirectory() as data_dir:
        command = [sys.executable, "-m", "tfds_builders.build", f"video_folder/{CROP_SIZE}"]
        return spend([*command, f"--data_dir={data_dir}", f"--manual_dir={tree}", f"--jobs={jobs}"])


def bare(tree: pathlib.Path, jobs: int) -> tuple[float, float]:
    """Return the time and memory of the bare work, with the tracks split among `jobs` processes."""
    names = [line.split(",")[0] for line in (tree / "videos.csv").read_text().splitlines()[1:]]
    paths = [str(tree / name) for name in names]
    command = [sys.executable, "-m", "benchmarks.build", "--bare"]
    return spend(*([*command, *paths[worker::jobs]] for worker in range(jobs)))


def speeds(folder: pathlib.Path, sizes: dict[str, tuple[int, int]], pictures, rounds: int) -> list:
    """Return speed and start-up time for builds and bare work, by kind of tree and worker count."""
    rows = []
    for kind, lengths in sizes.items():
        if lengths[1] <= lengths[0]:
            continue
        trees = [folder / f"{kind}{frames}" for frames in lengths]
        for tree, frames in zip(trees, lengths, strict=True):
            write_tree(tree, kind, pictures, frames, TRACKS)
        for jobs in (1, 2):
            times = {build: [], bare: []}
            for _, (run, seconds) in itertools.product(range(rounds), times.items()):
                seconds.append([run(tree, jobs)[0] for tree in trees])
            more = TRACKS * (lengths[1] - lengths[0])
            row = {"of": kind, "jobs": jobs}
            for run, seconds in times.items():
                fps = statistics.median(more / (long_s - short_s) for short_s, long_s in seconds)
                whole_s = statistics.median(long_s for _, long_s in seconds)
                row[f"{run.__name__}_fps"] = fps
                row[f"{run.__name__}_start_s"] = whole_s - TRACKS * lengths[1] / fps
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=pathlib.Path, help="clip with a face; default: drawn faces")
    parser.add_argument(
        "--seconds", type=int, default=20, help="length of each of the two videos; 0: no videos"
    )
    parser.add_argument(
        "--crops", type=int, default=20_000, help="images in each of the two folders; 0: no crops"
    )
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each variant")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="*",
        default=[1, 10],
        help="lengths of the videos whose peak memory is measured",
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bare", nargs="+", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        for path in args.bare:
            bare_work(path)
        return

    if args.video:
        frames = itertools.islice(read_frames(args.video, MAX_SIDE), PIECE_FRAMES)
        pictures = [image for _, image in frames]
    else:
        pictures = drawn_pictures()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sizes = {"videos": (FPS, FPS * args.seconds), "crops": (100, args.crops)}
        rows = speeds(folder, sizes, pictures, args.rounds)
        peaks = {}
        for minutes in args.minutes:
            tree = folder / f"{minutes:g}min"
            write_tree(tree, "videos", pictures, round(60 * FPS * minutes), tracks=1)
            peaks[f"{minutes:g}"] = build(tree, 1)[1]
    if args.json:
        print(json.dumps({"speed": rows, "peak_mib_by_minutes": peaks}))
        return
    if rows:
        print(f"{'':8}jobs   build frames/s (start, s)   bare frames/s (start, s)   build / bare")
    for row in rows:
        ours, limit = (
            f"{row[f'{way}_fps']:.1f} ({row[f'{way}_start_s']:.1f})" for way in ("build", "bare")
        )
        ratio = row["build_fps"] / row["bare_fps"]
        print(f"{row['of']:8}{row['jobs']:4}   {ours:>26}   {limit:>25}   {ratio:12.2f}")
    for minutes, mib in peaks.items():
        print(f"video of {minutes:>4} min: peak memory {mib:.0f} MiB")


if __name__ == "__main__":
    main()
