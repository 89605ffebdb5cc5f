"""Build a set of rendered faces whose latent state, raters and best possible score are known."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import base
from tfds_builders.material import Recording, Tally
from tfds_builders.parts import Extract
from tfds_builders.raters import AgreementSums, agreement, agreement_sums, fuse_raters, spread
from tfds_builders.synthetic_faces import behaviour, identity, raters, render
from va_jax.types import CLIP_FRAMES, DIMS, SPLITS, Clip, InputError
from va_jax.video import jpeg

SUBJECT, PLAY, RATING, CAMERA, PANEL = range(5)  # independent random streams from one seed
BATCH_FRAMES = 4 * CLIP_FRAMES  # frames rendered at once, which limits memory for long recordings


THREE_RATERS: dict[str, Any] = {
    "train": 60,
    "raters": 3,
    "rater_drift": 0.15,
    "keep_raters": True,
    "noise_free": ("test",),
}
"""Options of the configurations that differ in the raters alone."""


@dataclasses.dataclass
class SyntheticFacesConfig(tfds.core.BuilderConfig, behaviour.Behaviour):
    """Options of this builder and of `Behaviour`, set with `--config_options key=value`."""

    size: int = 48  # side of the crops, pixels
    fps: float = 10.0
    train: int = 200  # number of subjects, also in dev and test
    dev: int = 30
    test: int = 40
    recordings: int = 1  # number of recordings per subject
    lengths: tuple[int, ...] = (320,)  # numbers of frames, used for the recordings in rotation
    seed: int = 0
    jpeg_quality: int = jpeg.QUALITY
    keep_raters: bool = False  # whether to store the spread between raters, and their agreement
    noise_free: tuple[str, ...] = ()  # splits labelled by a rater without any noise

    def __post_init__(self):
        try:
            self.lengths = tuple(int(length) for length in self.lengths)
        except ValueError as error:
            raise InputError(f"lengths={self.lengths} must be whole numbers of frames") from error
        if not self.lengths or min(self.lengths) < 2:
            raise InputError(f"lengths={self.lengths} must be at least 2 frames each")
        if not set(self.noise_free) <= {*SPLITS, ""}:
            raise InputError(f"noise_free={','.join(self.noise_free)}: use {','.join(SPLITS)}")
        if not 0 <= self.careless <= self.raters or not 0 < self.careless_share < 1:
            raise InputError(
                f"careless={self.careless}, careless_share={self.careless_share}: careless must "
                f"be 0 to raters={self.raters}, and careless_share between 0 and 1"
            )
        times = ("latent_s", "tremor_s", "drift_s", "careless_s")
        for name in ("fps", "train", "recordings", "raters", *times):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0")
        if self.size < 16:
            raise InputError(f"size={self.size} is too small for a face; set it to at least 16")
        delay_s = self.lag_s + 4 * self.response_s
        if self.lag_s < 0 or self.response_s <= 0 or delay_s > behaviour.WARM_UP_S:
            raise InputError(
                f"lag_s={self.lag_s}, response_s={self.response_s}: lag_s must be at least 0, "
                f"response_s above 0, and lag_s + 4 * response_s at most {behaviour.WARM_UP_S:g}"
            )


class Script(NamedTuple):
    """Everything about one recording except its pixels."""

    who: identity.Identity
    motion: behaviour.Motion
    perceived: np.ndarray  # float64 [frames, 2], the trace of a noise-free rater
    target: np.ndarray  # float32 [frames, 2], the raters' fused labels
    face: np.ndarray  # bool [frames]
    spread: np.ndarray | None  # float32 [frames, 2], if it is stored
    agreement: list[AgreementSums]  # of both dimensions, if the spread is stored


def script(recording: Recording, config: SyntheticFacesConfig) -> Script:
    """Draw a recording, which depends only on the seed, the config and the recording's number."""
    subject, number, frames = (recording.details[key] for key in ("subject", "number", "frames"))
    who = _subject(config, subject)
    play = _stream(config, PLAY, number)
    latent = behaviour.simulate(play, frames, config.fps, config)
    motion = behaviour.perform(play, latent, who.neutral, config)
    ratings = raters.rate(_stream(config, RATING, number), latent, panel(config), config)
    by_dim = [ratings[..., d] for d in range(len(DIMS))]
    target = np.stack([fuse_raters(each) for each in by_dim], -1)
    perceived = raters.perceived(latent, config)
    if noise_free := recording.details["noise_free"]:
        target = perceived
    keep = config.keep_raters and not noise_free
    return Script(
        who,
        motion,
        perceived,
        target.astype(np.float32),
        behaviour.face_shown(motion),
        np.stack([spread(each) for each in by_dim], -1).astype(np.float32) if keep else None,
        [agreement_sums(each) for each in by_dim] if keep else [],
    )


def panel(config: SyntheticFacesConfig) -> raters.Panel:
    """Draw the raters, who are the same for all recordings in a set."""
    return raters.draw_panel(_stream(config, PANEL), config)


def extract(
    recording: Recording, config: SyntheticFacesConfig, tally: Tally
) -> tuple[float, Iterator[Clip]]:
    """Return the frame rate and the clips of one recording."""
    return config.fps, _clips(script(recording, config), recording, config)


def _clips(scene: Script, recording: Recording, config: SyntheticFacesConfig) -> Iterator[Clip]:
    points = render.landmarks(scene.who, scene.motion).astype(np.float32)
    time_s = (np.arange(len(scene.face)) / config.fps).astype(np.float32)
    camera = _stream(config, CAMERA, recording.details["number"])
    for start in range(0, len(scene.face), BATCH_FRAMES):
        motion = scene.motion.cut(start, start + BATCH_FRAMES)
        pixels = render.render(scene.who, motion, config.size, camera)
        for first in range(0, len(pixels), CLIP_FRAMES):
            at = slice(start + first, start + min(first + CLIP_FRAMES, len(pixels)))
            crops = pixels[first : first + CLIP_FRAMES]
            jpegs = [jpeg.encode(crop, config.jpeg_quality) for crop in crops]
            between = None if scene.spread is None else scene.spread[at]
            yield Clip(jpegs, scene.target[at], scene.face[at], time_s[at], points[at], between)


class Observer(NamedTuple):
    """The best possible model: a linear function of a noise-free rater's trace.

    Scale and offset are fitted on train, so that the function has the mean and the spread of the
    labels. This maximises the CCC for a given correlation.
    """

    scale: np.ndarray  # float64 [2]
    offset: np.ndarray  # float64 [2]

    @classmethod
    def fit(cls, scripts: Sequence[Script]) -> "Observer":
        """Fit scale and offset to the labels of the train split."""
        perceived, target = _used(scripts)
        scale = target.std(0) / perceived.std(0)
        return cls(scale, target.mean(0) - scale * perceived.mean(0))

    def ccc(self, scripts: Sequence[Script]) -> dict[str, float]:
        """Return {dim: CCC}, pooled over the frames that show the face, with population moments."""
        perceived, target = _used(scripts)
        pred = self.scale * perceived + self.offset
        covariance = ((pred - pred.mean(0)) * (target - target.mean(0))).mean(0)
        gap = (pred.mean(0) - target.mean(0)) ** 2
        ccc = 2 * covariance / (pred.var(0) + target.var(0) + gap)
        return dict(zip(DIMS, ccc.tolist(), strict=True))


class Builder(base.TrackBuilder):
    """Rendered faces that express latent valence and arousal, labelled by simulated raters."""

    BUILDER_CONFIGS: ClassVar = [
        SyntheticFacesConfig(
            name="quickstart",
            description="270 subjects, 2.4 hours at 48 px and 10 frames per second.",
        ),
        SyntheticFacesConfig(
            name="tiny",
            description="For tests: 8 subjects, tracks of 70 and 45 frames at 32 px.",
            size=32,
            train=4,
            dev=2,
            test=2,
            recordings=2,
            lengths=(70, 45),
            missing_hz=0.15,
            hand_hz=0.15,
        ),
        SyntheticFacesConfig(
            name="large",
            description="340 subjects, 28 hours at 112 px and 25 frames per second.",
            size=112,
            fps=25.0,
            train=240,
            dev=40,
            test=60,
            lengths=(7500,),
        ),
        SyntheticFacesConfig(
            name="careful_raters",
            description="60 training subjects, rated by three equally good raters; the test labels "
            "are free of noise.",
            **THREE_RATERS,
        ),
        SyntheticFacesConfig(
            name="careless_rater",
            description="The same, but one of the raters is careless for 40 % of the time.",
            careless=1,
            careless_drift=2.0,
            **THREE_RATERS,
        ),
    ]

    @property
    def extract(self) -> Extract:
        return extract

    @property
    def points(self) -> int:
        return len(render.LANDMARKS)

    @property
    def has_spread(self) -> bool:
        return self.builder_config.keep_raters

    @property
    def crop(self) -> dict[str, Any]:
        return {
            "size": self.builder_config.size,
            "source": "drawn",
            "margin": 0.0,
            "alignment": "none",
            "jpeg_quality": self.builder_config.jpeg_quality,
        }

    def recordings(self, manual_dir=None) -> dict[str, list[Recording]]:
        """Return {split: recordings}; subjects are numbered across splits, so none is shared."""
        config, first, result = self.builder_config, 0, {}
        for split in SPLITS:
            subjects = range(first, first + getattr(config, split))
            numbers = range(config.recordings)
            clean = split in config.noise_free
            result[split] = [_recording(config, s, n, clean) for s in subjects for n in numbers]
            first = subjects.stop
        return result

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        config = self.builder_config
        scripts = {
            split: [script(each, config) for each in tracks] for split, tracks in recordings.items()
        }
        observer, chosen = Observer.fit(scripts["train"]), panel(config)
        truth = {
            "lag_s": config.lag_s,
            "response_s": config.response_s,
            "delay_s": config.lag_s + config.response_s,
            "raters": config.raters,
            "rater_gain": chosen.gain.tolist(),
            "rater_bias": chosen.bias.tolist(),
            "rater_drift": config.rater_drift,
            "observer_scale": dict(zip(DIMS, observer.scale.tolist(), strict=True)),
            "observer_offset": dict(zip(DIMS, observer.offset.tolist(), strict=True)),
        }
        ceiling = {split: observer.ccc(each) for split, each in scripts.items()}
        if not config.keep_raters:
            return {"ceiling": ceiling, "truth": truth}
        sums = {
            split: [s.agreement for s in each if s.agreement] for split, each in scripts.items()
        }
        agreed = {split: agreement(each, DIMS) for split, each in sums.items() if each}
        return {"ceiling": ceiling, "truth": truth, "rater_agreement": agreed}


def _used(scripts: Sequence[Script]) -> tuple[np.ndarray, np.ndarray]:
    """Return the perceived traces and labels, [frames, 2], in all frames that show the face."""
    perceived = np.concatenate([each.perceived[each.face] for each in scripts])
    target = np.concatenate([each.target[each.face] for each in scripts])
    return perceived, target.astype(np.float64)


def _recording(
    config: SyntheticFacesConfig, subject: int, repeat: int, noise_free: bool
) -> Recording:
    number = subject * config.recordings + repeat
    name = f"s{subject:04d}"
    frames = config.lengths[number % len(config.lengths)]
    return Recording(
        track_id=f"{name}_{repeat}",
        video_id=f"{name}_{repeat}",
        subject_id=name,
        group="glasses" if _subject(config, subject).glasses else "no_glasses",
        details=dict(subject=subject, number=number, frames=frames, noise_free=noise_free),
    )


def _subject(config: SyntheticFacesConfig, subject: int) -> identity.Identity:
    return identity.identity(_stream(config, SUBJECT, subject))


def _stream(config: SyntheticFacesConfig, purpose: int, number: int = 0) -> np.random.Generator:
    return np.random.default_rng([config.seed, purpose, number])
