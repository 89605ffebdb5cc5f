"""Predictions frame by frame as frames come, the state of the network carried along."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32
from ml_collections import ConfigDict

from va_jax.data import sequences
from va_jax.models import inflate
from va_jax.models.regressor import Regressor
from va_jax.types import InputError

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Variables, the state before a frame, inputs without batch and time -> pred [dims], new state."""


def make_step(network: Regressor) -> Step:
    """The jitted pass of one frame; the memory of the old state is used for the new one."""

    def step(variables: Any, state: Any, inputs: Any) -> tuple[Any, Any]:
        row = jax.tree.map(lambda x: x[None, None], inputs)
        pred, state = network.apply(variables, **row, state=state, train=False)
        return pred[0, 0], state

    return jax.jit(step, donate_argnums=1)


def check(network: Regressor, config: ConfigDict) -> None:
    """Raise an InputError for a network that needs frames which have not come yet.

    One that was evaluated on windows is a UserWarning: here its state runs on instead.
    """
    ahead = inflate.reach(network.backbone.times())
    both_ways = network.recurrent is not None and network.recurrent.bidirectional
    if ahead or both_ways:
        key = "model.bidirectional=True" if both_ways else f"model.inflation: {ahead} frames ahead"
        raise InputError(
            f"this network sees what comes later ({key}), so no frame can be predicted as it "
            "comes; call the model on whole sequences, or train one that sees the past alone, "
            "such as --config=configs/quickstart.py"
        )
    if network.recurrent is not None and config.eval.state == "window":
        warnings.warn(
            f"eval.state='window': this network is evaluated on windows of {config.eval.length} "
            "frames that begin anew, a stream's state runs on; its numbers differ from those",
            stacklevel=3,
        )


class Stream:
    """One face through time, for one thread; begins before the first frame of a track.

    With a stride of s the network sees every s-th frame: s states take turns, one a frame.
    """

    def __init__(
        self,
        step: Step,
        variables: Any,  # on the one device that works
        network: Regressor,
        size: int,
        stride: int,
    ):
        self._step, self._variables, self._network = step, variables, network
        self._size, self._stride = size, stride
        self._device = next(iter(jax.tree.leaves(variables)[0].devices()))
        self.reset()
        self.push(None, face=False, landmarks=self._unknown())  # compiles
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a track."""
        like = jax.eval_shape(lambda: self._network.initial_state(1))

        def zeros(x: Any) -> Any:  # each in memory of its own, for it is given away
            return jnp.zeros(x.shape, x.dtype, device=self._device)

        self._states = [jax.tree.map(zeros, like) for _ in range(self._stride)]
        self._pushed = 0

    def push(
        self, frame: Any, face: bool = True, landmarks: Any = None
    ) -> Float32[np.ndarray, " dims"]:
        """The prediction for the next frame, float32 [dims].

        `frame` is uint8 RGB [size, size, 3]; without a face it may be None. `landmarks` are
        float32 [points, 2] in units of the frame's side, for a network that takes some. Where
        `face` is False a recurrent network repeats what it said `stride` frames before. Raises
        InputError as the model does; the stream then stays as it was.
        """
        if frame is None and not face:
            frame = np.zeros((self._size, self._size, 3), np.uint8)
        inputs = {
            "frames": sequences.checked_frames(frame, self._size, ()),
            "face": sequences.checked_face(face, ()),
        }
        points = sequences.checked_landmarks(landmarks, (), self._network.landmark_points)
        if points is not None:
            inputs["landmarks"] = sequences.as_fed(points[None], inputs["face"][None])[0]
        phase = self._pushed % self._stride
        pred, self._states[phase] = self._step(self._variables, self._states[phase], inputs)
        self._pushed += 1
        return np.asarray(pred)

    def _unknown(self) -> Any:
        points = self._network.landmark_points
        return np.full((points, 2), np.nan, np.float32) if points else None
