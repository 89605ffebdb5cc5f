"""Simulate raters: delayed and smoothed traces with individual gain, bias, drift and care."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tfds_builders.synthetic_faces.behaviour import (
    Behaviour,
    Latent,
    episodes,
    filtered,
    gamma_kernel,
    smooth_noise,
)
from va_jax.types import LABEL_RANGE


class Panel(NamedTuple):
    """The raters of a whole data set, whose drift is drawn separately for each recording."""

    gain: np.ndarray  # float64 [raters, 2]
    bias: np.ndarray  # float64 [raters, 2]


def draw_panel(rng: np.random.Generator, constants: Behaviour) -> Panel:
    """Draw the raters of a data set."""
    shape = (constants.raters, 2)
    return Panel(
        gain=np.exp(constants.rater_gain * rng.standard_normal(shape)),
        bias=constants.rater_bias * rng.standard_normal(shape),
    )


def perceived(latent: Latent, constants: Behaviour) -> Float[np.ndarray, "frames 2"]:
    """Return a noise-free rater's trace: the latent state, smoothed and delayed by `lag_s`.

    The smoothing kernel is t/tau^2 exp(-t/tau) with tau = response_s / 2. Its mean delay is
    response_s, so the total delay is lag_s + response_s.
    """
    lag = round(constants.lag_s / latent.step_s)
    kernel = np.pad(gamma_kernel(constants.response_s / 2, latent.step_s), (lag, 0))
    return latent.at_frames(filtered(latent.values, kernel / kernel.sum()))


def rate(
    rng: np.random.Generator, latent: Latent, panel: Panel, constants: Behaviour
) -> Float[np.ndarray, "raters frames 2"]:
    """Draw each rater's trace, gain * perceived + bias + drift, or `_careless`."""
    steps = len(latent.values)
    channels = 2 * constants.raters
    drift = smooth_noise(rng, steps, channels, constants.drift_s, latent.step_s)
    drift = latent.at_frames(drift).reshape(latent.frames, constants.raters, 2).swapaxes(0, 1)
    signal = perceived(latent, constants)
    traces = panel.gain[:, None] * signal + panel.bias[:, None] + constants.rater_drift * drift
    for rater in range(constants.careless):
        careless, trace = _careless(rng, latent, constants)
        traces[rater] = np.where(careless[:, None], trace, traces[rater])
    return traces


def _careless(
    rng: np.random.Generator, latent: Latent, constants: Behaviour
) -> tuple[Bool[np.ndarray, "frames"], Float[np.ndarray, "frames 2"]]:
    """Draw the frames in which a rater is careless, and a drift in the range of the labels."""
    steps, step_s = len(latent.values), latent.step_s
    share, mean_s = constants.careless_share, constants.careless_s
    careless = episodes(rng, steps, step_s, share, mean_s) > 0
    drift = constants.careless_drift * smooth_noise(rng, steps, 2, constants.drift_s, step_s)
    return latent.at_frames(careless), np.clip(latent.at_frames(drift), *LABEL_RANGE)
