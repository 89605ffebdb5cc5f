"""Small source material for tests (numbered crops, videos), and helpers to build sets from it."""

import csv
import pathlib

import av
import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

from tfds_builders import build as command
from va_jax.types import InputError

KEYS = ("frames", "target", "face", "time_s")


def write_text(path, text):
    """Write a text file, and make its folders."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())  # line ends stay as they are
    return path


def write_crops(folder, numbers, size=112, shape=None, name="{:05d}.jpg"):
    """Write crops whose red channel encodes their number (see `shown`); return {number: bytes}."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    files = {}
    for number in numbers:
        image = np.zeros((*(shape or (size, size)), 3), np.uint8)
        image[..., 0] = 4 * number
        files[number] = simplejpeg.encode_jpeg(image, 95)
        (folder / name.format(number)).write_bytes(files[number])
    return files


def picture(number, width, height):
    """Return a picture whose red encodes its number; green and blue ramps give the position."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 4 * number
    image[..., 1] = np.linspace(0, 250, width, dtype=np.uint8)
    image[..., 2] = np.linspace(0, 250, height, dtype=np.uint8)[:, None]
    return image


def write_video(path, frames, width=64, height=48, fps=25, numbers=None):
    """Write a video of the pictures 0, 1, ... or of those with the given numbers."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(frames) if numbers is None else numbers:
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(jpeg):
    """Return the number that the red channel of a crop encodes."""
    return round(float(simplejpeg.decode_jpeg(jpeg)[..., 0].mean()) / 4)


def build(name, data_dir, manual_dir=None, options=(), **settings):
    """Build a set; return its directory, and whether it is new."""
    return command.build_set(
        command.BuildOptions(name, data_dir, manual_dir, config_options=options, **settings)
    )


def build_set(tmp_path, name, *options, **kwargs):
    """Build a set from tmp_path/in; return its metadata and {track: (row and split, frames)}."""
    data = tmp_path / "data"
    directory, _ = build(name, data, tmp_path / "in", options=options, overwrite=True, **kwargs)
    reader = tfds.builder_from_directory(directory)
    keys = [*KEYS, *(key for key in ("landmarks", "spread") if key in reader.info.features)]
    tracks = {}
    for split, rows in reader.info.metadata["tracks"].items():
        source = reader.as_data_source(split)
        for row in rows:
            first = row["first_record"]
            records = [source[first + n] for n in range(-(-row["frames"] // 32))]
            joined = {key: np.concatenate([each[key] for each in records]) for key in keys}
            tracks[row["track_id"]] = ({**row, "split": split}, joined)
    return reader.info.metadata, tracks


def report_of(tmp_path):
    """Return {track: its line of report.csv} of the only set built under tmp_path/data."""
    (path,) = (tmp_path / "data").rglob("report.csv")
    with path.open(newline="") as file:
        return {line["track_id"]: line for line in csv.DictReader(file)}


def labels_or_one_line(read, path):
    """Return the labels that `read()` gives, checked; None if it raises one line about `path`."""
    try:
        labels = read()
    except InputError as error:
        message = str(error)
    else:
        known = labels.values[np.isfinite(labels.values)]
        assert (np.abs(known) <= 1).all()
        assert len(labels.values)
        return labels
    assert message.startswith(str(path))
    assert "\n" not in message
    return None
