"""Every key of a run, with its unit and legal values; other configs start from here.

`python -m va_jax.main --config=configs/default.py --config.data.name=NAME ...` overrides any key on
the command line; an unknown key or a value outside the range is refused. Values are ours unless a
config that names a paper says otherwise.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0  # parameters, data order, augmentation and dropout all follow from it

    config.data = ConfigDict()
    config.data.name = ""  # built data set: "builder" or "builder/config"
    config.data.dir = "data"  # folder that holds the built data sets
    config.data.build_missing = False  # True: build an absent set first (generated sets only)
    config.data.train = "train"  # splits
    config.data.dev = "dev"  # chooses the best checkpoint
    config.data.test = "test"  # "" or a split without labels: predictions only, or none
    config.data.size = 0  # side of the model's input, pixels; 0: as stored
    config.data.threads = 2  # JPEG-decoding threads, >= 1; about the number of cores, at most 8

    config.window = ConfigDict()  # training windows
    config.window.length = 64  # frames, >= 1
    config.window.hop = 32  # frames from one window's start to the next one's, >= 1
    config.window.stride = 1  # frames from one frame of a window to the next, >= 1
    config.window.remainder = "pad"  # frames behind the last whole window: pad, drop, shift

    config.augment = ConfigDict()  # drawn once per window
    config.augment.flip = True  # mirror every second window
    config.augment.crop = 1.0  # smallest side of the random crop, fraction of the image, (0, 1]
    config.augment.rotation_deg = 0.0  # half-range, [0, 180]
    config.augment.brightness = 0.0  # relative half-ranges, [0, 1)
    config.augment.contrast = 0.0
    config.augment.saturation = 0.0
    config.augment.hue = 0.0  # half-range in turns, [0, 0.5]

    config.init = ConfigDict()
    config.init.from_workdir = ""  # run whose best parameters to start from; "": random ones

    config.model = ConfigDict()
    config.model.backbone = "resnet50"  # resnet18, resnet34, resnet50, resnet (own stage_sizes)
    config.model.width = 64  # channels of the first stage; 64 is the published networks'
    config.model.stage_sizes = ()  # residual blocks per stage; (): the named backbone's
    config.model.zero_init_residual = False  # residual branches start at zero
    config.model.recurrent = "lstm"  # lstm, gru, none (frame by frame)
    config.model.layers = 2  # recurrent layers, >= 1
    config.model.units = 256  # recurrent units per layer, >= 1
    config.model.dropout = 0.0  # on the features and between recurrent layers, [0, 1)
    config.model.compute_dtype = "float32"  # of the backbone: float32, bfloat16
    config.model.input_mean = (0.485, 0.456, 0.406)  # of RGB in [0, 1]: ImageNet's
    config.model.input_std = (0.229, 0.224, 0.225)

    config.loss = ConfigDict()  # weights, >= 0, not all 0
    config.loss.ccc = 1.0  # 1 - CCC over all frames of the global batch
    config.loss.mse = 0.0

    config.optim = ConfigDict()
    config.optim.name = "adamw"  # adam, adamw, sgd (Nesterov momentum 0.9)
    config.optim.learning_rate = 1e-4  # at the peak of the schedule, > 0
    config.optim.schedule = "constant"  # constant, cosine (to 0 at the last step)
    config.optim.warmup_steps = 0  # linear from 0, >= 0
    config.optim.weight_decay = 0.0  # decoupled; adamw and sgd; kernels only
    config.optim.clip_norm = 0.0  # global gradient norm, > 0; 0: no clipping
    config.optim.rates = ConfigDict()  # factors on the learning rate per part; 0 freezes the part
    config.optim.rates.backbone = 1.0  # frozen: its batch-norm statistics too
    config.optim.rates.recurrent = 1.0
    config.optim.rates.heads = 1.0

    config.train = ConfigDict()
    config.train.steps = 1000  # optimiser steps, >= 1
    config.train.batch_size = 8  # windows, over all devices and processes
    config.train.accumulate = 1  # pieces a batch is computed in; divides batch_size
    config.train.log_every_steps = 20

    config.eval = ConfigDict()
    config.eval.every_steps = 200  # dev split; a multiple of checkpoint.every_steps
    config.eval.batch_size = 8  # lanes (tracks or windows), over all devices and processes
    config.eval.state = "carry"  # carry: along the whole track; window: fresh in every window
    config.eval.length = 64  # frames per evaluated piece, >= 1
    config.eval.hop = 64  # with state "window": frames between starts, 1..length
    config.eval.fusion = "mean"  # of overlapping windows: mean, median, extremum

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 2  # newest ones, >= 1, besides the best by dev CCC

    config.log = ConfigDict()
    config.log.tensorboard = True
    config.log.progress = True  # progress bar on standard error
    return config.lock()
