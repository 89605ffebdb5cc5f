"""A trained network in Python: loaded from an export or a run, called on the frames of a face."""

import os
import pathlib
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32
from ml_collections import ConfigDict

from va_jax import config as configuration
from va_jax.data import eval_plan, sequences
from va_jax.data.sources import Source
from va_jax.evaluation.postprocess import Chain
from va_jax.evaluation.predict_split import Predict, make_predict, predict_split
from va_jax.export import export, metadata, stream
from va_jax.export.stream import Stream
from va_jax.models import build, inflate
from va_jax.models.regressor import Regressor
from va_jax.train import checkpoints, sharding
from va_jax.train.state import abstract_variables
from va_jax.types import InputError, Trace, Track

DECIDING = ("state", "length", "hop", "fusion")
"""What of the config's `eval` changes predictions."""

SHOWN = 5
"""How many of the arrays that do not fit a message names."""


class Model:
    """A network that predicts what the run's evaluation predicts, for frames from anywhere.

    `dims` names the columns of its output, `size` is the side of the crops it takes, in pixels,
    `passport` all that is known of it, `config` that of its run, `chain` its post-processing, None
    where none was fitted. Works on all devices of this process; one may be asked by many threads.
    """

    def __init__(
        self,
        predict: Predict,
        variables: Any,  # a copy on every device of `mesh`
        config: ConfigDict,
        known: dict[str, Any],
        mesh: jax.sharding.Mesh,
    ):
        self.passport, self.config = known, config
        self.dims: tuple[str, ...] = predict.model.dims
        self.size: int = known["input"]["size"]
        self.chain = _chain(known)
        self._predict, self._variables, self._mesh = predict, variables, mesh
        self._step = stream.make_step(predict.model)

    def __call__(
        self,
        frames: Any,
        face: Any = None,
        landmarks: Any = None,
        processed: bool = False,
        time_s: Any = None,
    ) -> Float32[np.ndarray, "*batch time dims"]:
        """Predictions for every frame of a track, or of several tracks of one length.

        `frames` is uint8 RGB [time, size, size, 3] or [batch, time, size, size, 3], of any length;
        `face`, bool [.., time], says which of them show the face, all where it is left out;
        `landmarks`, float32 [.., time, points, 2] in units of the frame's side, NaN where unknown,
        are for a network that takes some. `processed` applies the fitted post-processing, which
        counts in seconds: `time_s`, float32 [.., time], or else the passport's frame rate. Raises
        InputError, a ValueError, for all else. The device holds a few batches, however long.

            pred = model(crops)
        """
        axes = ("batch", "time") if np.ndim(frames) == 5 else ("time",)
        frames = sequences.checked_frames(frames, self.size, axes)
        shape = frames.shape[: len(axes)]
        face = sequences.checked_face(face, shape)
        points = self._predict.model.landmark_points
        landmarks = sequences.checked_landmarks(landmarks, shape, points)
        times = self._times(time_s, shape)
        if processed and self.chain is None:
            raise InputError(
                "processed=True, but no post-processing is known; run --mode=eval before "
                "--mode=export, or leave it out"
            )
        whole = (frames, face, landmarks, times)
        if len(axes) == 1:
            whole = tuple(None if each is None else each[None] for each in whole)
        traces = self.traces(sequences.source_of(*whole, self.dims))
        preds = [trace.pred for trace in traces]
        if processed:
            preds = [self.chain.apply(trace.pred, trace.time_s, self.dims) for trace in traces]
        return np.stack(preds) if len(axes) == 2 else preds[0]

    def traces(self, source: Source, stride: int | None = None) -> list[Trace]:
        """A trace for every track of `source`, as the evaluation of the run gives it.

        `stride` takes the place of the config's `window.stride`, for frames that lie otherwise in
        time. Crops of another size are scaled to `size`.
        """
        config = ConfigDict(self.config.to_dict())
        config.data.size = self.size
        if stride is not None:
            if stride < 1:
                raise InputError(f"stride={stride} is below 1; give a whole number of frames")
            config.window.stride = stride
        points = self._predict.model.landmark_points
        if source.landmarks != points:
            raise InputError(
                f"the source has {source.landmarks or 'no'} landmarks a frame, the network takes "
                f"{points or 'none'}; open it with landmarks={points}"
            )
        config.eval.batch_size = self._rows(source.tracks, config)
        return predict_split(config, self._predict, self._variables, source, self._mesh)

    def stream(self) -> Stream:
        """A face whose frames come one by one: `push` predicts each as it comes.

        Gives what the model gives for the whole track, if that is evaluated with its state
        carried along. Raises InputError for a network that sees what comes later.

            stream = model.stream()
            valence, arousal = stream.push(crop)
        """
        network = self._predict.model
        stream.check(network, self.config)
        here = jax.tree.map(lambda x: x.addressable_data(0), self._variables)
        return Stream(self._step, here, network, self.size, self.config.window.stride)

    def _rows(self, tracks: list[Track], config: ConfigDict) -> int:
        """Rows of a batch: no more than can be filled, so that a single track is not padded.

        A multiple of the devices.
        """
        stride, asked = config.window.stride, config.eval
        if asked.state == "window" and inflate.reach(self._predict.model.backbone.times()):
            pieces = eval_plan.separate_windows(tracks, 1, asked.length, asked.hop, stride)
        else:
            pieces = eval_plan.lanes_of(tracks, stride)
        devices = self._mesh.size
        each = -(-len(pieces) // devices)
        return min(asked.batch_size, devices * each)

    def _times(self, time_s: Any, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
        if time_s is not None:
            return sequences.checked_times(time_s, shape)
        line = np.arange(shape[-1]) / self.passport["fps"]
        return np.broadcast_to(line.astype(np.float32), shape)


def load(path: str | os.PathLike[str]) -> Model:
    """The network in an export, or that of the best checkpoint in the workdir of a run.

    Raises InputError that names the file where the folder is neither, or does not fit together.
    """
    folder = pathlib.Path(path)
    exported = (folder / export.PARAMETERS).exists()
    if not exported and not (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder}: {_missing(folder)}; give the workdir of a run, or the folder that "
            "`python -m va_jax.main --mode=export` wrote"
        )
    if jax.process_count() > 1:
        raise InputError(
            f"{folder}: loaded in one of {jax.process_count()} processes; a model works in a "
            "single one, start without --coordinator"
        )
    config = _config(folder)
    known = metadata.read(folder) if exported else metadata.of_run(folder)
    network = _network(folder, config, tuple(known["dims"]))
    _check_passport(folder, known, config, network.landmark_points)
    devices = jax.devices()
    if config.eval.batch_size % len(devices):
        devices = devices[:1]
    mesh = sharding.make_mesh(devices)
    target = abstract_variables(network, known["input"]["size"], sharding.replicated(mesh))
    if exported:
        variables = sharding.replicate(mesh, _variables(folder, target))
    else:
        variables, _ = checkpoints.restore_best(folder, target)
    return Model(make_predict(network, mesh), variables, config, known, mesh)


def _missing(folder: pathlib.Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    if (folder / metadata.NAME).exists():
        return f"{export.PARAMETERS} is missing"
    return f"neither {export.PARAMETERS} nor checkpoints/ are there"


def _config(folder: pathlib.Path) -> ConfigDict:
    path = folder / "config.json"
    try:
        config = configuration.load(folder)
        configuration.check(config)
    except InputError as error:
        raise InputError(_in_file(path, error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the config of a run ({error!r}); restore it") from error
    return config


def _network(folder: pathlib.Path, config: ConfigDict, dims: tuple[str, ...]) -> Regressor:
    path = folder / "config.json"
    try:
        network = build.build(config.model, dims)
    except InputError as error:
        raise InputError(_in_file(path, error)) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the config of a run ({error!r}); restore it") from error
    return network


def _check_passport(
    folder: pathlib.Path, known: dict[str, Any], config: ConfigDict, points: int
) -> None:
    """Raise an InputError where passport and config were not written together."""
    told = {f"evaluation.{key}": (known["evaluation"][key], config.eval[key]) for key in DECIDING}
    told["stride"] = known["stride"], config.window.stride
    told["input.landmarks.points"] = known["input"]["landmarks"]["points"], points
    for key, (there, here) in told.items():
        if there != here:
            raise InputError(
                f"{folder / metadata.NAME}: {key}={there}, but {here} in config.json; "
                "export the run anew"
            )


def _in_file(path: pathlib.Path, error: InputError) -> str:
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def _variables(folder: pathlib.Path, target: Any) -> Any:
    """The arrays of an export as the tree `target`, whose shapes and types they must have."""
    there, here = export.read(folder), flatten_dict(target, sep="/")
    differing = [
        f"{name} ({_told(there.get(name))} there, {_told(here.get(name))} in the network)"
        for name in sorted(there.keys() | here.keys())
        if _told(there.get(name)) != _told(here.get(name))
    ]
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise InputError(
            f"{folder / export.PARAMETERS} is not of the network in config.json: "
            f"{', '.join(differing[:SHOWN])}{more}; export the run anew"
        )
    return unflatten_dict(there, sep="/")


def _told(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype} {tuple(array.shape)}"


def _chain(known: dict[str, Any]) -> Chain | None:
    tree = known["post_processing"]
    return None if tree is None else Chain.from_json(tree, f"{metadata.NAME}: post_processing")
