"""The behaviour of a synthetic subject: latent valence and arousal, and motion that reveals them.

None of this depends on pixels, so the labels and the ceiling of a split can be computed without
rendering a frame. All numbers in this file are our choice.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

UNITS = ("corner", "cheek", "part", "raise", "frown", "open")
"""Action units, with their FACS numbers: mouth corners up (12; down: 15), cheeks up (6), lips apart
(25, 26), brows up (1, 2), brows together and down (4), eyes wide (5). 0 is the average neutral
face, and 1 is a strong expression."""

VALENCE_TO_UNITS = np.array([1.0, 0.9, 0.1, 0.2, -0.8, -0.2])
AROUSAL_TO_UNITS = np.array([0.1, 0.15, 0.6, 0.7, 0.25, 0.8])

GRID_HZ = 50  # minimum rate of the simulation, which is then sampled at the frame times
WARM_UP_S = 10.0  # time simulated before time 0, so that the first label has a past
BLINK_S = 0.2
SPEECH_S = 2.0  # mean duration of speech
ENTRY_S = 0.5  # time a hand takes to reach the face


@dataclasses.dataclass(kw_only=True)
class Behaviour:
    """The constants of the generator; the second group makes single frames ambiguous.

    Times are in seconds. Spreads are standard deviations. Those of action units are on the scale of
    `UNITS`, on which the expression itself has a spread of about 0.5.
    """

    # latent state
    latent_s: float = 3.5  # correlation time (integral of the autocorrelation) of both dimensions
    latent_gain: float = 0.6  # latent = tanh(gain * unit Gaussian process)
    correlation: float = 0.2  # between the two Gaussian processes

    # ambiguity of a single frame
    neutral_spread: float = 0.35  # spread of resting faces across identities
    tremor: float = 0.4  # flicker of each action unit within a recording
    tremor_s: float = 0.15  # correlation time of the flicker
    speech_share: float = 0.5  # fraction of time with speech, which moves the lips and corners
    speech: float = 0.6  # size of the mouth movement in speech
    blink_hz: float = 0.3  # rate of blinks
    energy: float = 1.4  # log of the head and mouth movement per unit of arousal

    camera_noise: float = 4.0  # spread in grey levels, 0 to 255

    # raters
    lag_s: float = 0.6  # reaction lag of every rater
    response_s: float = 0.3  # additional mean delay of the raters' smooth response
    raters: int = 6
    rater_gain: float = 0.15  # spread of the log gain across raters
    rater_bias: float = 0.08  # spread of the constant bias across raters
    rater_drift: float = 0.4  # spread of a rater's slow drift within a recording
    drift_s: float = 4.0  # correlation time of the drift
    careless: int = 0  # number of raters, the first ones, who are careless in part of the time
    careless_share: float = 0.4  # fraction of time in which each of them is careless
    careless_s: float = 8.0  # mean duration of the careless episodes
    careless_drift: float = 1.0  # spread of a careless trace, which ignores the face

    # hidden faces
    hand_hz: float = 0.03  # rate at which a hand covers the face
    missing_hz: float = 0.02  # rate at which the face leaves the image
    event_s: float = 1.5  # mean duration of both kinds of events


class Latent(NamedTuple):
    """The latent state of one recording on the simulation grid, which starts at `-WARM_UP_S`."""

    values: np.ndarray  # float64 [grid, 2]: valence, arousal in (-1, 1)
    step_s: float
    every: int  # number of grid steps per frame
    frames: int

    def at_frames(
        self, signal: Float[np.ndarray, "grid *channels"]
    ) -> Float[np.ndarray, "frames *channels"]:
        """Sample a signal on the grid at the frame times; frame i is at i / fps seconds."""
        start = len(self.values) - self.frames * self.every
        return signal[start :: self.every]


class Motion(NamedTuple):
    """The input of the renderer: one row per frame, and the noise level of the camera."""

    units: np.ndarray  # float64 [frames, units], including neutral offset and disturbances
    blink: np.ndarray  # float64 [frames], 0 open .. 1 closed
    gaze: np.ndarray  # float64 [frames, 2], right and down, about -1 .. 1
    pose: np.ndarray  # float64 [frames, 3]: yaw, pitch, roll in radians
    place: np.ndarray  # float64 [frames, 3]: shift right and down in crop sides; log of the scale
    light: np.ndarray  # float64 [frames, 3]: log gain, slope to the right, slope downwards
    hand: np.ndarray  # float64 [frames, 2]: centre of the hand in crop sides, or NaN
    present: np.ndarray  # bool [frames]: False if the crop shows only background
    noise: float  # spread of the camera noise, grey levels

    def cut(self, start: int, stop: int) -> "Motion":
        """Return the motion in frames `start` to `stop` (excluded)."""
        rows = {name: getattr(self, name)[start:stop] for name in self._fields if name != "noise"}
        return self._replace(**rows)


def simulate(rng: np.random.Generator, frames: int, fps: float, constants: Behaviour) -> Latent:
    """Draw a smooth, bounded random path of (valence, arousal) over `frames` frames."""
    every = int(np.ceil(GRID_HZ / fps))
    step_s = 1 / (fps * every)
    steps = int(np.ceil(WARM_UP_S / step_s)) + frames * every
    path = smooth_noise(rng, steps, 2, constants.latent_s, step_s)
    rho = constants.correlation
    path[:, 1] = rho * path[:, 0] + np.sqrt(1 - rho**2) * path[:, 1]
    return Latent(np.tanh(constants.latent_gain * path), step_s, every, frames)


def perform(
    rng: np.random.Generator,
    latent: Latent,
    neutral: Float[np.ndarray, "units"],
    constants: Behaviour,
) -> Motion:
    """Draw the motion of a face that expresses a latent path.

    Args:
        rng: Random generator.
        latent: The latent path.
        neutral: Resting offset of each action unit, drawn from a unit normal distribution.
        constants: Constants of the generator.
    """
    steps, step_s = len(latent.values), latent.step_s

    def noise(channels: int, time_s: float) -> np.ndarray:
        return smooth_noise(rng, steps, channels, time_s, step_s)

    def weights(*values: float) -> np.ndarray:
        return np.array(values)

    energy = np.exp(constants.energy * latent.values[:, 1:])
    units = latent.values @ np.stack([VALENCE_TO_UNITS, AROUSAL_TO_UNITS])
    units += constants.neutral_spread * neutral
    units += constants.tremor * noise(len(UNITS), constants.tremor_s)
    talking = episodes(rng, steps, step_s, constants.speech_share, SPEECH_S)[:, None]
    mouth = constants.speech * talking * np.sqrt(energy) * noise(2, 0.12)
    units[:, UNITS.index("corner")] += mouth[:, 0]
    units[:, UNITS.index("part")] += np.abs(mouth[:, 1])

    blink = _events(rng, steps, step_s, constants.blink_hz, BLINK_S, ramp_s=BLINK_S / 2)
    pose = weights(0.16, 0.1, 0.06) * noise(3, 3.0)
    pose += weights(0.1, 0.07, 0.05) * energy * noise(3, 0.3)
    place = weights(0.02, 0.02, 0.05) * noise(3, 4.0)
    place += weights(0.012, 0.012, 0.01) * energy * noise(3, 0.3)
    light = weights(0.12, 0.15, 0.1) * noise(3, 6.0)
    light += weights(0.1, 0.15, 0.1) * rng.standard_normal(3)
    at = latent.at_frames
    return Motion(
        units=at(units),
        blink=at(blink),
        gaze=at(0.4 * noise(2, 0.8)),
        pose=at(pose),
        place=at(place),
        light=at(light),
        hand=at(_hand(rng, steps, step_s, constants)),
        present=at(_events(rng, steps, step_s, constants.missing_hz, constants.event_s)) < 0.5,
        noise=constants.camera_noise,
    )


def face_shown(motion: Motion) -> Bool[np.ndarray, "frames"]:
    """Return whether each crop shows the face, which must be present and not covered by a hand.

    A hand covers the face if the hand's centre is within 0.15 crop sides of the crop's centre.
    """
    near = np.hypot(*(motion.hand - 0.5).T) < 0.15  # NaN (no hand) compares as False
    return motion.present & ~near


def smooth_noise(
    rng: np.random.Generator, steps: int, channels: int, time_s: float, step_s: float
) -> Float[np.ndarray, "steps channels"]:
    """Draw stationary unit Gaussian noise with the autocorrelation (1 + |t|/tau) exp(-|t|/tau).

    This is white noise filtered with a gamma kernel with tau = time_s / 2 (a critically damped
    Ornstein-Uhlenbeck process); `time_s` is the integral of the autocorrelation from 0 to infinity.
    """
    kernel = gamma_kernel(time_s / 2, step_s)
    white = rng.standard_normal((len(kernel) - 1 + steps, channels))
    return filtered(white, kernel / np.linalg.norm(kernel))[len(kernel) - 1 :]


def gamma_kernel(tau_s: float, step_s: float) -> Float[np.ndarray, "taps"]:
    """Return t exp(-t/tau) on the grid, not normalised; the mean delay is 2 tau."""
    time = np.arange(max(2, int(np.ceil(8 * tau_s / step_s)) + 1)) * step_s
    return time * np.exp(-time / tau_s)


def filtered(
    signal: Float[np.ndarray, "steps channels"], kernel: Float[np.ndarray, "taps"]
) -> Float[np.ndarray, "steps channels"]:
    """Filter a signal causally, as if it were zero before the first step."""
    size = 1 << (len(signal) + len(kernel) - 2).bit_length()
    spectrum = np.fft.rfft(signal, size, axis=0) * np.fft.rfft(kernel, size)[:, None]
    return np.fft.irfft(spectrum, size, axis=0)[: len(signal)]


def _events(
    rng: np.random.Generator,
    steps: int,
    step_s: float,
    rate_hz: float,
    mean_s: float,
    ramp_s: float = 0.0,
) -> Float[np.ndarray, "steps"]:
    """Draw a signal that rises linearly from 0 to 1 in events that last `mean_s` on average."""
    level = np.zeros(steps)
    time = np.arange(steps) * step_s
    for start in rng.uniform(0, steps * step_s, rng.poisson(rate_hz * steps * step_s)):
        length = mean_s * rng.uniform(0.5, 1.5)
        inside = np.minimum(time - start, start + length - time)
        rise = inside / ramp_s if ramp_s else np.where(inside > 0, 1.0, 0.0)
        level = np.maximum(level, np.clip(rise, 0, 1))
    return level


def episodes(
    rng: np.random.Generator, steps: int, step_s: float, share: float, mean_s: float
) -> Float[np.ndarray, "steps"]:
    """Draw a signal that is 1 in a `share` of the time, in episodes of `mean_s`, and else 0."""
    if not 0 < share < 1:
        return np.full(steps, float(share >= 1))
    level = np.zeros(steps)
    edge, talking = 0.0, bool(rng.random() < share)
    while edge < steps:
        length = rng.exponential(mean_s if talking else mean_s * (1 - share) / share) / step_s
        level[int(edge) : int(edge + length)] = talking
        edge, talking = edge + length, not talking
    return level


def _hand(
    rng: np.random.Generator, steps: int, step_s: float, constants: Behaviour
) -> Float[np.ndarray, "steps 2"]:
    """Draw the path of a hand that comes from below, rests on the face and leaves again."""
    centre = np.full((steps, 2), np.nan)
    time = np.arange(steps) * step_s
    for start in rng.uniform(0, steps * step_s, rng.poisson(constants.hand_hz * steps * step_s)):
        length = 2 * ENTRY_S + constants.event_s * rng.uniform(0.5, 1.5)
        inside = np.minimum(time - start, start + length - time)
        there = inside > 0
        up = np.clip(inside[there] / ENTRY_S, 0, 1)[:, None]
        goal = np.array([rng.uniform(0.25, 0.75), rng.uniform(0.5, 0.9)])
        centre[there] = np.array([goal[0], 1.3]) * (1 - up) + goal * up
    return centre
