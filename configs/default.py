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
    config.data.max_bad_records = 0  # of a split, >= 0: so many that cannot be read are left out
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

    config.init = ConfigDict()  # at most one of the three sources; none: random parameters
    config.init.from_workdir = ""  # run whose best parameters to start from
    config.init.from_export = ""  # folder that `--mode=export` wrote
    config.init.weights = ""  # file of other people's weights
    config.init.format = "auto"  # of that file: auto, or a name in va_jax/weights
    config.init.inflate = "centred"  # 2-D kernels into 3-D ones: centred, copied
    config.init.rename = ()  # "OLD -> NEW" pairs of regular expressions on the source's paths
    config.init.leave_out = ()  # regular expressions: what of the source is not used
    config.init.fresh = ("params/recurrent.*", "params/head_.*")  # what may stay random

    config.model = ConfigDict()
    config.model.backbone = "resnet50"  # resnet18, resnet34, resnet50, resnet50_vggface2,
    # seresnet50, vgg16, vgg16bn; resnet, vgg: two 3x3 convolutions a block, own stage_sizes
    config.model.width = 64  # channels of the first stage; 64 is the published networks'
    config.model.stage_sizes = ()  # blocks (vgg: convolutions) per stage; (): the named backbone's
    config.model.zero_init_residual = False  # residual branches start at zero
    config.model.compute_dtype = "float32"  # of the backbone: float32, bfloat16
    config.model.remat = False  # compute each block again in the backward pass, to keep less
    config.model.input_mean = (0.485, 0.456, 0.406)  # of RGB in [0, 1]: ImageNet's; weights that
    config.model.input_std = (0.229, 0.224, 0.225)  # the run starts from bring their own
    config.model.inflation = ConfigDict()
    config.model.inflation.taps = 1  # frames a convolution sees, odd; 1: a 2-D network
    config.model.inflation.layout = (
        "spatial"  # spatial: every 3x3 and 7x7; kinetics: see inflate.py
    )
    config.model.inflation.dilation = ()  # frames between taps, per stage; (): 1
    config.model.inflation.strided = False  # time is strided with space: a value for many frames
    config.model.inflation.pool_taps = 1  # frames a pool sees, odd
    config.model.inflation.padding = "zero"  # before and behind the window in time: zero, edge
    config.model.frame_mask = 0.0  # share of a training window's frames hidden from it, [0, 1)
    config.model.pool = "mean"  # of the last map over space: mean, flatten
    config.model.fc = ()  # widths of fully connected layers with a ReLU each
    config.model.fc_dropout = 0.0  # between them, [0, 1)
    config.model.landmarks = "none"  # beside the features: none, before_fc, after_fc
    config.model.landmark_points = 68  # of each frame, (x, y) from -1 to 1 over the crop
    config.model.branches = ("fc",)  # what a recurrent stack each is fed: fc, pool, conv, fc+pool..
    config.model.dropout = 0.0  # on what the recurrent stacks, or the heads, are fed, [0, 1)
    config.model.recurrent = "lstm"  # lstm, gru, none (no recurrent stack)
    config.model.layers = 2  # recurrent layers, >= 1
    config.model.units = 256  # recurrent units per layer, >= 1
    config.model.recurrent_dropout = 0.0  # between recurrent layers, [0, 1)
    config.model.bidirectional = False  # needs eval.state "window"
    config.model.peepholes = False  # LSTM only
    config.model.bounded = False  # predictions pass through tanh

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
    config.optim.rates.fc = 1.0
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
    config.eval.state = "carry"  # carry: a track is one window; window: windows that begin anew
    config.eval.length = 64  # frames of a window, >= 1; with "carry" of a chunk: the longer it is,
    # the less of its ends an inflated network computes twice
    config.eval.hop = 64  # with state "window": frames between starts, 1..length
    config.eval.fusion = "mean"  # of overlapping windows: mean, median, extremum; last: the window
    # that a frame stands latest in; centre: the one whose middle is nearest

    config.post = ConfigDict()  # of traces; fitted on dev, kept where its CCC rises, see docs
    config.post.steps = ("median", "centre", "scale", "lag")  # any of these, in any order; (): none
    config.post.medians_s = (0.4, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)  # windows to try, > 0
    config.post.scale = "about_mean"  # about_mean: of the predictions; avec: about 0, bias and all
    config.post.max_lag_s = 10.0  # longest delay to try, either way, [0, 60]

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 2  # newest ones, >= 1, besides the best by dev CCC

    config.log = ConfigDict()
    config.log.tensorboard = True
    config.log.profile_steps = 0  # steps to trace into workdir/profile once warm, >= 0
    config.log.hlo = False  # write the compiled step to workdir/step.hlo.txt
    config.log.progress = True  # progress bar on standard error
    return config.lock()
