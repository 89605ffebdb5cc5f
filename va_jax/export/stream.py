"""Streams: run a network on frames as they arrive, carrying its state along."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from va_jax.config import Config
from va_jax.data import sequences
from va_jax.models import inflate
from va_jax.models.regressor import Regressor
from va_jax.types import InputError

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Function of (variables, state, inputs without batch and time) that returns (pred [dims], new
state)."""


def make_step(network: Regressor) -> Step:
    """Return a jitted function that processes one frame and reuses the old state's memory."""

    def step(variables: Any, state: Any, inputs: Any) -> tuple[Any, Any]:
        row = jax.tree.map(lambda array: array[None, None], inputs)
        pred, state = network.apply(variables, **row, state=state, train=False)
        return pred[0, 0], state

    return jax.jit(step, donate_argnums=1)


def check_causal(network: Regressor, config: Config) -> None:
    """Check that the network's predictions do not depend on later frames.

    Warn if the network is evaluated on windows, since a stream carries its state along instead.

    Raises:
        InputError: the network uses later frames.
    """
    ahead = inflate.reach(network.backbone.times())
    bidirectional = network.temporal is not None and network.temporal.bidirectional
    if ahead or bidirectional:
        cause = "model.bidirectional=True" if bidirectional else f"model.inflation: {ahead} frames"
        raise InputError(
            f"Cannot predict frame by frame: this network uses later frames ({cause}). Call the "
            "model on whole sequences, or use a network that uses only earlier frames, such as the "
            "one in configs/quickstart.py."
        )
    if network.temporal is not None and config.eval.state == "window":
        warnings.warn(
            f"eval.state='window': this network is evaluated on windows of {config.eval.length} "
            "frames that each start with an empty state, but a stream carries its state along, so "
            "its values differ from those in the evaluation",
            stacklevel=3,
        )


class Stream:
    """Running predictions for a single face; not safe for use by several threads at once.

    With a stride of s, the network sees every s-th frame: s states are used in rotation.
    """

    def __init__(
        self,
        step: Step,
        variables: Any,  # on a single device
        network: Regressor,
        size: int,  # side of a frame in pixels
        stride: int,  # in frames
    ):
        self._step, self._variables, self._network = step, variables, network
        self._size, self._stride = size, stride
        self._device = next(iter(jax.tree.leaves(variables)[0].devices()))
        self.reset()
        points = network.landmark_points
        unknown = np.full((points, 2), np.nan, np.float32) if points else None
        self.push(None, face=False, landmarks=unknown)  # compiles
        self.reset()

    def reset(self) -> None:
        """Forget all previous frames, so that the next one is the first in a track."""
        state = jax.eval_shape(lambda: self._network.initial_state(1))

        def zeros(leaf: Any) -> Any:  # no two arrays may share memory, because they are donated
            return jnp.zeros(leaf.shape, leaf.dtype, device=self._device)

        self._states = [jax.tree.map(zeros, state) for _ in range(self._stride)]
        self._pushed = 0

    def push(
        self, frame: Any, face: bool = True, landmarks: Any = None
    ) -> Float32[np.ndarray, " dims"]:
        """Return the prediction for the next frame.

        Args:
            frame: uint8 RGB [size, size, 3]; may be None if `face` is False.
            face: whether the frame shows the face. If not, a temporal stack repeats its
                prediction from `stride` frames earlier.
            landmarks: float32 [points, 2] in units of the frame's side, for a network that takes
                landmarks.

        Raises:
            InputError: an input is invalid; the stream is left unchanged.
        """
        if frame is None and not face:
            frame = np.zeros((self._size, self._size, 3), np.uint8)
        inputs = {
            "frames": sequences.checked_frames(frame, self._size, ()),
            "face": sequences.checked_face(face, ()),
        }
        points = sequences.checked_landmarks(landmarks, (), self._network.landmark_points)
        if points is not None:
            inputs["landmarks"] = sequences.network_landmarks(points[None], inputs["face"][None])[0]
        turn = self._pushed % self._stride
        pred, self._states[turn] = self._step(self._variables, self._states[turn], inputs)
        self._pushed += 1
        return np.asarray(pred)
