"""2D-CNN + LSTM and inflated 3D-CNN on SEWA: Teixeira, Granger and Koerich (2021).

"Continuous Emotion Recognition with Spatiotemporal Convolutional Neural Networks", Applied Sciences
11(24), 11738. `configs/teixeira2021.py:NETWORK,WORDS`, NETWORK vgg16, vgg16bn or resnet50, WORDS:

frame, lstm, i3d_copied, i3d_centred: the 2-D network frame by frame, under an LSTM, inflated to
    three taps in time; the last three start from a run of the first (see chains.md)
length=16|32|64, overlap=.2|.5|.8: frames of a window, and the share that the next one repeats
fusion=mean|extremum: of what overlapping windows predict for a frame
init=random|imagenet|vggface|rafdb: what the file of `--config.init.weights` was trained on; for
    vggface VGG-Face's vgg16, or VGGFace2's resnet50, whose strides are Caffe's
tiny: a run of seconds, for tests

The abstract names the two ways to time and the inflation of a trained network; the code of the
authors' lab has both inflations, three taps and pools of one frame, so that every frame gets a
value. Its code for another task fine-tunes an inflated VGG on 16-frame clips, four a batch, at
2.5e-6, a new head at 5e-4, with weight decay 1e-3, flips, turns of 20 degrees and changes of
colour: the defaults here. Not known of the paper, hence ours: split, loss, optimiser, learning
rates of frame and lstm, size of the LSTM, dropout, steps, crops, the padding in time by the edge
frame (with which a copied network starts as the 2-D one where a face holds still), and which
length, overlap and fusion belongs to which result.

Parameters and forward GFLOP a frame at 224 px, as `--mode=summary` counts them (without padding):

           frame                lstm                 i3d_copied, i3d_centred
vgg16      134,268,738  29.97   139,243,842  29.98   163,689,666  89.44
vgg16bn    134,277,186  30.01   139,252,290  30.02   163,698,114  89.48
resnet50    23,512,130   7.95    26,394,178   7.95    46,165,442  15.27
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

TORCH = {"random": "auto", "imagenet": "torchvision", "rafdb": "torchvision"}
FORMATS = {  # network -> what its weights were trained on -> format of their file
    "vgg16": TORCH | {"vggface": "auto"},
    "vgg16bn": TORCH,
    "resnet50": TORCH | {"vggface": "vggface2"},
}
FORMS = ("frame", "lstm", "i3d_copied", "i3d_centred")
ROWS = tuple(f"{network},{form}" for network in FORMATS for form in FORMS)


def get_config(variant: str = ROWS[0]) -> ConfigDict:
    formats = FORMATS.get(variant.partition(",")[0], {})
    words = variants.read(
        "configs/teixeira2021.py",
        variant,
        {
            "network": tuple(FORMATS),
            "form": FORMS,
            "length": ("length=16", "length=32", "length=64"),
            "overlap": ("overlap=.2", "overlap=.5", "overlap=.8"),
            "fusion": ("fusion=mean", "fusion=extremum"),
            "init": tuple(f"init={name}" for name in formats),
            "tiny": ("tiny",),
        },
    )
    network, form, init = words["network"], words.get("form", "frame"), words.get("init")
    length, overlap = int(words.get("length", 16)), float(words.get("overlap", 0.5))

    config = defaults()
    config.data.name = "sewa/224"
    config.data.size = 224
    config.window.length = config.eval.length = length
    config.window.hop = config.eval.hop = round(length * (1 - overlap))
    config.augment.crop = 0.875
    config.augment.rotation_deg = 20.0
    config.augment.brightness = config.augment.contrast = config.augment.saturation = 0.2
    config.augment.hue = 0.1
    config.init.format = formats[init or "random"]
    config.model.backbone = "resnet50_vggface2" if config.init.format == "vggface2" else network
    if network != "resnet50":
        config.model.pool = "flatten"
        config.model.fc = (4096, 4096)
        config.model.fc_dropout = config.model.dropout = 0.5
    config.optim.weight_decay = 1e-3
    config.train.steps = 20_000
    config.train.batch_size = 4
    config.eval.fusion = words.get("fusion", "mean")
    config.eval.every_steps = config.checkpoint.every_steps = 1000
    if form == "lstm":
        config.init.leave_out = ("params/head_.*",)  # as wide as the 2-D network's features
    else:
        config.model.recurrent = "none"
    if form != "frame":
        config.eval.state = "window"
    if form.startswith("i3d"):
        config.model.inflation.taps = 3
        config.model.inflation.padding = "edge"
        config.init.inflate = form.removeprefix("i3d_")
        if init != "random":
            config.optim.learning_rate = 5e-4
            config.optim.rates.backbone = config.optim.rates.fc = 0.005
    return variants.shrink(config) if "tiny" in words else config
