"""ResNet + LSTM, first on videos in the wild, then on RECOLA: Tzirakis et al. (2021).

"Facial Emotion Recognition using Deep Residual Networks in Real-World Environments", arXiv
2111.02717.

Usage: `configs/tzirakis2021.py:NETWORK,WORDS`. NETWORK is resnet50_lstm, resnet34_lstm or
resnet18_lstm. WORDS are

pretrain: the first stage, on Aff-Wild2 instead of the paper's private videos; you can use any set
    of labelled videos (`--config.data.name`)
recola: the second stage, which is initialized from a run of the first (see chains.md)
tiny: a run of a few seconds, for tests

From the abstract: the two stages, the LSTM, and the CCC on RECOLA. From the first author's code for
such networks: RGB at 96 px in [0, 1], 96 px crops from 110 px, colour changes, the 2048 pooled
features, 2 x LSTM(256), windows of 150 frames, 1 - CCC over the whole batch, Adam with learning
rate 1e-4, two windows per batch. The group's toolkit trains for 30 epochs; the number of steps in
the second stage corresponds to 30 epochs over nine recordings of 7,500 frames.

Difference from that code: the side of a crop varies from 96/110 to the full image. Not known, so
our choice: the initial weights, the amount of colour change, the number of steps in the first
stage, carrying the state along a recording in evaluation, and networks other than ResNet-50.

Parameters and forward GFLOP per frame at 96 px, as counted by `--mode=summary` (without padding):

resnet50_lstm  26,394,178  1.40
resnet34_lstm  22,597,954  1.12
resnet18_lstm  12,489,794  0.56
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

ROWS = ("resnet50_lstm", "resnet34_lstm", "resnet18_lstm")


def get_config(variant: str = ROWS[0]) -> ConfigDict:
    """Return the config for a variant, NETWORK,WORDS."""
    words = variants.read(
        "configs/tzirakis2021.py",
        variant,
        {"network": ROWS, "stage": ("pretrain", "recola"), "tiny": ("tiny",)},
    )
    config = defaults()
    config.data.name = "aff_wild2/112"
    config.data.size = 96
    config.window.length = config.window.hop = 150
    config.augment.flip = False
    config.augment.crop = 96 / 110
    config.augment.brightness = config.augment.contrast = config.augment.saturation = 0.2
    config.augment.hue = 0.05
    config.model.backbone = words["network"].removesuffix("_lstm")
    config.model.input_mean = (0.0, 0.0, 0.0)
    config.model.input_std = (1.0, 1.0, 1.0)
    config.optim.name = "adam"
    config.train.steps = 20_000
    config.train.batch_size = 2
    config.eval.length = config.eval.hop = 150
    config.eval.every_steps = config.checkpoint.every_steps = 1000
    if words.get("stage") == "recola":
        config.data.name = "recola/112"
        config.train.steps = 6_750
        config.eval.every_steps = config.checkpoint.every_steps = 225
    else:
        config.init.leave_out = ("params/head_.*",)
    return variants.shrink(config) if "tiny" in words else config
