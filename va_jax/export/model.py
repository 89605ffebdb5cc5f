"""A trained network as a Python function, loaded from an export or from a run."""

import os
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from va_jax.config import Config, with_values
from va_jax.data import eval_plan, sequences, sets
from va_jax.data.sources import Source
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor, make_predictor
from va_jax.export import arrays, chosen, stream
from va_jax.export import metadata as model_metadata
from va_jax.export.stream import Stream
from va_jax.models import inflate, set_heads
from va_jax.models.build import build_model, describe
from va_jax.train import checkpoints, sharding
from va_jax.train import workdir as run_config
from va_jax.train.exported import EXPORT_AGAIN
from va_jax.train.state import abstract_variables
from va_jax.types import InputError, Trace, Track


class Model:
    """A network that can be run on any frames, just as it was run in the evaluation.

    It uses all devices of this process, and can be called from several threads at once.

    Attributes:
        dims: names of the dimensions in the columns of its predictions.
        size: side of its input crops in pixels.
        metadata: all known facts about it (see docs/export.md).
        config: config of its run.
        post_processing: post-processing fitted on dev; None if there is none.
    """

    def __init__(
        self,
        predictor: SplitPredictor,
        variables: Any,  # a copy on every device of `mesh`
        config: Config,
        metadata: dict[str, Any],
        mesh: jax.sharding.Mesh,
    ):
        self.metadata, self.config = metadata, config
        self.dims: tuple[str, ...] = predictor.model.dims
        self.size: int = metadata["input"]["size"]
        fitted = metadata["post_processing"]
        where = f"{model_metadata.NAME}: post_processing"
        self.post_processing = None if fitted is None else PostProcessing.from_json(fitted, where)
        self._predictor, self._variables, self._mesh = predictor, variables, mesh
        self._step = stream.make_step(predictor.model)

    def __call__(
        self,
        frames: Any,
        face: Any = None,
        landmarks: Any = None,
        processed: bool = False,
        time_s: Any = None,
    ) -> Float32[np.ndarray, "*batch time dims"]:
        """Return predictions for every frame of a track, or of several tracks of equal length.

            pred = model(crops)

        Only a few batches at a time are on the device, no matter how long the tracks are.

        Args:
            frames: uint8 RGB [time, size, size, 3] or [batch, time, size, size, 3].
            face: bool [..., time], whether each frame shows the face; by default, all do.
            landmarks: float32 [..., time, points, 2] in units of the frame's side, NaN if unknown;
                only for a network that takes landmarks.
            processed: whether to apply the fitted post-processing.
            time_s: float32 [..., time], times of the frames for the post-processing; by default,
                frames are 1 / fps apart, using the frame rate of the training data.

        Raises:
            InputError: an input is not valid for the network.
        """
        axes = ("batch", "time") if np.ndim(frames) == 5 else ("time",)
        frames = sequences.checked_frames(frames, self.size, axes)
        shape = frames.shape[: len(axes)]
        face = sequences.checked_face(face, shape)
        points = self._predictor.model.landmark_points
        landmarks = sequences.checked_landmarks(landmarks, shape, points)
        if time_s is None:
            times = (np.arange(shape[-1]) / self.metadata["fps"]).astype(np.float32)
            times = np.broadcast_to(times, shape)
        else:
            times = sequences.checked_times(time_s, shape)
        self.check_processed(processed)
        if len(axes) == 1:
            frames, face, times = frames[None], face[None], times[None]
            landmarks = None if landmarks is None else landmarks[None]
        traces = self.traces(sequences.source_of(frames, face, landmarks, times, self.dims))
        preds = [trace.pred for trace in traces]
        if processed and self.post_processing is not None:
            preds = [
                self.post_processing.apply(trace.pred, trace.time_s, self.dims) for trace in traces
            ]
        return np.stack(preds) if len(axes) == 2 else preds[0]

    def __repr__(self) -> str:
        facts, window = self.metadata, self.config.window
        network = f"{describe(self.config.model)}: {', '.join(self.dims)} from {self.size} px"
        origin = f"{facts['data']['name']}, step {facts['checkpoint_step']:,}"
        frames = f"windows of {window.length} frames, stride {facts['stride']}"
        return f"<Model {network}; {origin}; {frames}, {facts['fps']:.4g} frames per second>"

    def check_processed(self, processed: bool) -> None:
        """Raise InputError if `processed` is True but there is no post-processing to apply."""
        if processed and self.post_processing is None:
            raise InputError(
                "Cannot apply processed=True: the model has no post-processing. Fit it with "
                "`va_jax evaluate RUN`, or omit the argument."
            )

    def traces(self, source: Source, stride: int | None = None) -> list[Trace]:
        """Return the trace of every track in a data set split, as the evaluation would.

        Args:
            source: an open split; crops of a different size are scaled to `size`.
            stride: number of frames between the frames that the network sees; by default
                `window.stride` from the config.

        Raises:
            InputError: the stride is below 1, or the source's landmarks do not suit the network.
        """
        if stride is None:
            stride = self.config.window.stride
        if stride < 1:
            raise InputError(f"stride={stride}: expected a whole number of frames, at least 1")
        points = self._predictor.model.landmark_points
        if source.landmarks != points:
            raise InputError(
                f"the source has {source.landmarks} landmarks per frame, but the network takes "
                f"{points}; open the source with landmarks={points}"
            )
        changes = {
            "data.size": self.size,
            "window.stride": stride,
            "eval.batch_size": self._batch_size(source.tracks, stride),
        }
        config = with_values(self.config, **changes)
        return predict_split(config, self._predictor, self._variables, source)

    def stream(self) -> Stream:
        """Return a stream, which processes the frames of a face one by one as they arrive.

            stream = model.stream()
            valence, arousal = stream.push(crop)

        The values equal those for the whole track if the network is evaluated with
        eval.state='carry'.

        Raises:
            InputError: the network uses later frames.
        """
        network = self._predictor.model
        stream.check_causal(network, self.config)
        variables = jax.tree.map(lambda array: array.addressable_data(0), self._variables)
        return Stream(self._step, variables, network, self.size, self.config.window.stride)

    def _batch_size(self, tracks: list[Track], stride: int) -> int:
        """Return a multiple of the number of devices, no larger than the tracks require."""
        settings = self.config.eval
        if settings.state == "window" and inflate.reach(self._predictor.model.backbone.times()):
            rows = eval_plan.plan_windows(tracks, 1, settings.length, settings.hop, stride)
        else:
            rows = eval_plan.subtracks(tracks, stride)
        devices = self._mesh.size
        return min(settings.batch_size, devices * -(-len(rows) // devices))


def load(path: str | os.PathLike[str], head: str = "") -> Model:
    """Load a network from an export, or from the best checkpoint in the workdir of a run.

    Args:
        path: export, or workdir of a run.
        head: for a run on several data sets, the data set to choose; see `chosen.set_of`.

    Raises:
        InputError: the folder is neither of these, or its files do not belong together; the message
            names the file.
    """
    folder = pathlib.Path(path)
    exported = (folder / arrays.SAFETENSORS).exists()
    if not exported and not (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder}: {_problem(folder)}; pass the workdir of a run, or a folder written by "
            "`va_jax export`"
        )
    if jax.process_count() > 1:
        raise InputError(
            f"Cannot load {folder} in a job of {jax.process_count()} processes. Start a single "
            "one, without --coordinator."
        )
    run = config = run_config.load(folder)
    number = 0
    if exported:
        metadata = model_metadata.read(folder)
    else:
        metadata = model_metadata.of_run(folder, head)
        name = chosen.set_of(run, folder, head)
        config, number = sets.named(run, name), run.data.names.index(name)
    try:
        network = build_model(config.model, tuple(metadata["dims"]))
    except InputError as error:
        raise InputError(f"{folder / run_config.NAME}: {error}") from error
    _check_fit(folder, metadata, config, network.landmark_points)
    devices = jax.devices()
    if config.eval.batch_size % len(devices):
        devices = devices[:1]
    mesh = sharding.make_mesh(devices)
    own = () if exported else set_heads.sets_with_heads(run)
    trained = build_model(config.model, network.dims, own)
    target = abstract_variables(trained, metadata["input"]["size"], sharding.replicated(mesh))
    if exported:
        variables = sharding.replicate(mesh, arrays.read_like(folder, target))
    else:
        stored, _ = checkpoints.restore_best(folder, target)
        variables = set_heads.of_set(stored, own, network.dims, number)
    predictor = make_predictor(network, mesh, config.eval)
    return Model(predictor, variables, config, metadata, mesh)


def _problem(folder: pathlib.Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    if (folder / model_metadata.NAME).exists():
        return f"{arrays.SAFETENSORS} is missing"
    return f"this folder contains neither {arrays.SAFETENSORS} nor checkpoints/"


def _check_fit(folder: pathlib.Path, metadata: dict[str, Any], config: Config, points: int) -> None:
    """Raise InputError if the metadata and the config do not belong together."""
    pairs = {
        f"evaluation.{key}": (metadata["evaluation"][key], getattr(config.eval, key))
        for key in model_metadata.EVAL_KEYS
    }
    pairs["stride"] = metadata["stride"], config.window.stride
    pairs["input.landmarks.points"] = metadata["input"]["landmarks"]["points"], points
    for key, (stored, configured) in pairs.items():
        if stored != configured:
            raise InputError(
                f"{folder / model_metadata.NAME}: {key}={stored} does not match "
                f"{configured} in config.json; {EXPORT_AGAIN}"
            )
