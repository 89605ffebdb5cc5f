"""Measure random training windows per second: this pipeline, the bare JPEG decoder, and tf.data.

    python -m benchmarks.input_pipeline --data_dir=data --name=synthetic_faces/large [--json]

The bare decoder decodes the same frames from memory with the same number of threads and does
nothing else, so its speed is the upper limit. tf.data, if TensorFlow is installed, reads windows
that were cut beforehand into a TFRecord file with one record per window, the layout that suits it
best. The variants alternate. The command prints the median numbers of windows per second of
wall-clock time and per second of CPU time.
"""

import argparse
import concurrent.futures
import importlib.util
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import simplejpeg

from va_jax.config import Augment, Config, Data, Train, Window
from va_jax.data import sources, windows
from va_jax.data.pipeline import TrainingData
from va_jax.types import CLIP_FRAMES


def jpegs_of(source: sources.Source, window: windows.Window, length: int) -> list[bytes]:
    """Return the stored JPEG frames of a window that lies within its track."""
    first = source.tracks[window.track].first_record
    numbers = windows.frame_numbers(window, length, 1)
    clips = np.unique(numbers // CLIP_FRAMES)
    records = source._records((first + clips).tolist())
    frames = {clip: record["frames"] for clip, record in zip(clips, records, strict=True)}
    return [frames[n // CLIP_FRAMES][n % CLIP_FRAMES] for n in numbers]


def decoder(material: list[list[bytes]], batch: int, threads: int) -> Iterator[int]:
    """Repeatedly decode windows that are in memory; yield the number of windows in each batch."""

    def decode(jpegs: list[bytes]) -> np.ndarray:
        return np.stack([simplejpeg.decode_jpeg(jpeg, colorspace="RGB") for jpeg in jpegs])

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        endless = itertools.cycle(material)
        waiting = [pool.submit(decode, next(endless)) for _ in range(2 * threads)]
        while True:
            for _ in range(batch):
                waiting.append(pool.submit(decode, next(endless)))
                waiting.pop(0).result()
            yield batch


def tf_data(material: list[list[bytes]], batch: int, threads: int, size: int) -> Iterator[int]:
    """Read the same windows from a TFRecord file with tf.data; yield the number in each batch."""
    import tensorflow as tf

    length = len(material[0])
    path = pathlib.Path(tempfile.mkdtemp()) / "windows.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for jpegs in material:
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=jpegs))
            example = tf.train.Example(features=tf.train.Features(feature={"frames": feature}))
            writer.write(example.SerializeToString())

    def parse(record):
        spec = {"frames": tf.io.FixedLenFeature([length], tf.string)}
        jpegs = tf.io.parse_single_example(record, spec)["frames"]
        frames = tf.map_fn(tf.io.decode_jpeg, jpegs, fn_output_signature=tf.uint8)
        return tf.ensure_shape(frames, (length, size, size, 3))

    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    dataset = tf.data.TFRecordDataset(str(path)).repeat().shuffle(64, seed=0)
    dataset = dataset.map(parse, num_parallel_calls=threads).batch(batch).prefetch(threads + 1)
    for frames in dataset.with_options(options).as_numpy_iterator():
        yield len(frames)


def speed(stream: Iterator[int], seconds: float) -> tuple[float, float]:
    """Return windows per second of wall-clock time and of CPU time, over about `seconds`."""
    next(stream)
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        count += next(stream)
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--name", default="synthetic_faces/quickstart")
    parser.add_argument("--length", type=int, default=64, help="frames in a window")
    parser.add_argument("--batch", type=int, default=8, help="windows in a batch")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    source = sources.open_split(args.data_dir, args.name, "train")
    config = Config(
        data=Data(name=args.name),
        window=Window(length=args.length, hop=args.length, remainder="drop"),
        augment=Augment(flip=False),
        train=Train(batch_size=args.batch),
    )
    data = TrainingData(source, config)
    chosen = np.random.default_rng(0).permutation(len(data.windows))[:400]
    material = [jpegs_of(source, data.windows[i], args.length) for i in chosen]

    def ours() -> Iterator[int]:
        for batch in data.batches(0, args.threads):
            yield len(batch["frames"])

    variants: dict[str, Callable[[], Iterator[int]]] = {
        "pipeline": ours,
        "bare decoder": lambda: decoder(material, args.batch, args.threads),
    }
    if importlib.util.find_spec("tensorflow"):
        variants["tf.data"] = lambda: tf_data(material, args.batch, args.threads, source.size)
    streams = {name: make() for name, make in variants.items()}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in streams}
    for _ in range(args.rounds):
        for name, stream in streams.items():
            measured[name].append(speed(stream, args.seconds))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in measured.items()
    }
    if args.json:
        keys = ("windows_per_s", "windows_per_cpu_s")
        print(json.dumps({name: dict(zip(keys, m, strict=True)) for name, m in medians.items()}))
        return
    print(f"{args.length} frames of {source.size} px per window, {args.threads} threads")
    for name, (wall, cpu) in medians.items():
        of_wall, of_cpu = (m / o for m, o in zip(medians["pipeline"], (wall, cpu), strict=True))
        print(
            f"{name:14}{wall:9.1f} windows/s{cpu:9.1f} windows/CPU-s   "
            f"pipeline / this: {of_wall:.2f} ({of_cpu:.2f} per CPU-s)"
        )


if __name__ == "__main__":
    main()
