"""Make random weights of small width under published names, by loops over the layers."""

import numpy as np

RNG = np.random.default_rng(0)
WIDTH = 4  # of the first stage; the published networks have 64
RESNETS = {  # blocks of each stage, convolutions of each block
    "resnet18": ((2, 2, 2, 2), 2),
    "resnet34": ((3, 4, 6, 3), 2),
    "resnet50": ((3, 4, 6, 3), 3),
}


def rand(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def norm_arrays(name, width):
    roles = ("weight", "bias", "running_mean", "running_var")
    arrays = {f"{name}.{role}": rand(width) for role in roles}
    return arrays | {f"{name}.num_batches_tracked": np.int64(7)}


def norm_places(name, ours):
    return {
        f"{name}.weight": f"params/{ours}/scale",
        f"{name}.bias": f"params/{ours}/bias",
        f"{name}.running_mean": f"batch_stats/{ours}/mean",
        f"{name}.running_var": f"batch_stats/{ours}/var",
    }


def torchvision(stage, block, part):
    block = f"layer{stage}.{block}."
    shortcut = {"conv0": "downsample.0", "bn0": "downsample.1"}
    return part if stage == 0 else block + shortcut.get(part, part)


def huggingface(stage, block, part):
    kind, number = ("convolution", part[4:]) if part[:4] == "conv" else ("normalization", part[2:])
    if stage == 0:
        return f"resnet.embedder.embedder.{kind}"
    place = f"layer.{int(number) - 1}" if number != "0" else "shortcut"
    return f"resnet.encoder.stages.{stage - 1}.layers.{block}.{place}.{kind}"


def pytorchvideo(stage, block, part, pool=True):
    kind, number = ("conv", part[4:]) if part[:4] == "conv" else ("norm", part[2:])
    if stage == 0:
        return f"blocks.0.{kind}"
    place = f"branch2.{kind}_{' abc'[int(number)]}" if number != "0" else f"branch1_{kind}"
    return f"blocks.{stage + (pool and stage > 1)}.res_blocks.{block}.{place}"


def slow_r50(stage, block, part):
    return pytorchvideo(stage, block, part, pool=False)


def resnet(naming, kind, classifier="fc", classes=1000, taps=None):
    """Return the arrays of a ResNet, and our path of each except counters and classifier."""
    sizes, convs = RESNETS[kind]
    arrays, places, fed = {}, {}, WIDTH

    def add(stage, block, number, side, inputs, outputs):
        ours = f"backbone/layer{stage}_{block}/" if stage else "backbone/"
        names = (f"conv{number}", f"bn{number}") if number else ("downsample_conv", "downsample_bn")
        depth = () if taps is None else (taps(stage, block, number),)
        conv = f"{naming(stage, block, f'conv{number}')}.weight"
        arrays[conv] = rand(outputs, inputs, *depth, side, side)
        places[conv] = f"params/{ours}{names[0]}/kernel"
        bn = naming(stage, block, f"bn{number}")
        arrays.update(norm_arrays(bn, outputs))
        places.update(norm_places(bn, ours + names[1]))

    add(0, 0, 1, 7, 3, WIDTH)
    for stage, size in enumerate(sizes, 1):
        inner = WIDTH * 2 ** (stage - 1)
        out = inner * (4 if convs == 3 else 1)
        for block in range(size):
            if convs == 3:
                plan = [(1, fed, inner), (3, inner, inner), (1, inner, out)]
            else:
                plan = [(3, fed, inner), (3, inner, inner)]
            for number, (side, inputs, outputs) in enumerate(plan, 1):
                add(stage, block, number, side, inputs, outputs)
            if fed != out:
                add(stage, block, 0, 1, fed, out)
            fed = out
    arrays |= {f"{classifier}.weight": rand(classes, fed), f"{classifier}.bias": rand(classes)}
    return arrays, places


def i3d_taps(stage, block, number):
    """Return how many frames a kernel of I3D-ResNet-50 sees (Wang et al., 2018): 5, then 3 or 1."""
    if stage == 0:
        return 5
    return 3 if number == 1 and (stage == 1 or block % 2 == (stage == 4)) else 1


VGG_INDICES = {  # batch norm -> indices of the convolutions in `features`
    False: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    True: (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
}
LAST, HIDDEN = WIDTH * 8, 6  # channels of the last map; units of the fully connected layers


def vgg_layers():
    """Yield stage and number of each convolution as VGG-Face writes them, inputs and outputs."""
    fed = 3
    for stage, (size, times) in enumerate([(2, 1), (2, 2), (3, 4), (3, 8), (3, 8)], 1):
        for number in range(1, size + 1):
            yield f"{stage}_{number}", fed, WIDTH * times
            fed = WIDTH * times


def torchvision_vgg(batch_norm=False):
    arrays = {}
    for index, (_, fed, width) in zip(VGG_INDICES[batch_norm], vgg_layers(), strict=True):
        arrays |= {f"features.{index}.weight": rand(width, fed, 3, 3)}
        arrays |= {f"features.{index}.bias": rand(width)}
        arrays |= norm_arrays(f"features.{index + 1}", width) if batch_norm else {}
    shapes = {0: (HIDDEN, LAST * 49), 3: (HIDDEN, HIDDEN), 6: (1000, HIDDEN)}
    arrays |= {f"classifier.{index}.weight": rand(*shape) for index, shape in shapes.items()}
    return arrays | {f"classifier.{index}.bias": rand(shape[0]) for index, shape in shapes.items()}


def vggface(hwio=False, weight=".weight", bias=".bias"):
    """Return VGG-Face as in vgg_face_dag.pth, or with its kernels as MatConvNet stores them."""
    arrays = {}
    for place, fed, width in vgg_layers():
        kernel = rand(width, fed, 3, 3)
        arrays[f"conv{place}{weight}"] = kernel.transpose(2, 3, 1, 0) if hwio else kernel
        arrays[f"conv{place}{bias}"] = rand(width)
    for name, rows, side, outs in (("fc6", LAST, 7, HIDDEN), ("fc7", HIDDEN, 1, HIDDEN),
                                   ("fc8", HIDDEN, 1, 2622)):  # fmt: skip
        kernel = rand(side, side, rows, outs) if hwio else rand(outs, rows * side**2)
        arrays |= {f"{name}{weight}": kernel, f"{name}{bias}": rand(outs)}
    return arrays


def senet50():
    """Return VGGFace2's SE-ResNet-50: its blocks end in two 1x1 convolutions, conv4 and conv5."""
    arrays, _ = resnet(torchvision, "resnet50", classes=8631)
    for stage, size in enumerate((3, 4, 6, 3), 1):
        out, waist = WIDTH * 2 ** (stage + 1), WIDTH * 2 ** (stage + 1) // 16
        for block in (f"layer{stage}.{index}" for index in range(size)):
            arrays |= {f"{block}.conv4.weight": rand(waist, out, 1, 1)}
            arrays |= {f"{block}.conv4.bias": rand(waist)}
            arrays |= {f"{block}.conv5.weight": rand(out, waist, 1, 1)}
            arrays |= {f"{block}.conv5.bias": rand(out)}
    return arrays


def timm_vgg():
    """Return torchvision's VGG with its fully connected layers as convolutions."""
    arrays, renamed = torchvision_vgg(), ("pre_logits.fc1", "pre_logits.fc2", "head.fc")
    for old, new in zip(("classifier.0", "classifier.3", "classifier.6"), renamed, strict=True):
        arrays |= {f"{new}.{role}": arrays.pop(f"{old}.{role}") for role in ("weight", "bias")}
    arrays["pre_logits.fc1.weight"] = arrays["pre_logits.fc1.weight"].reshape(HIDDEN, LAST, 7, 7)
    arrays["pre_logits.fc2.weight"] = arrays["pre_logits.fc2.weight"][..., None, None]
    return arrays


def caffe_tensorflow():
    """Return VGG-Face as ethereon/caffe-tensorflow writes it: [in, out], the map as HWC."""
    arrays = vggface(hwio=True, weight="/weights", bias="/biases")
    return {
        n: a.reshape(-1, a.shape[-1]) if "fc" in n and "w" in n else a for n, a in arrays.items()
    }


def torch_rnn(gates, units=5, features=3, prefix=""):
    shapes = {"weight_ih": (gates * units, features), "weight_hh": (gates * units, units),
              "bias_ih": (gates * units,), "bias_hh": (gates * units,)}  # fmt: skip
    return {f"{prefix}{name}_l0": rand(*shape) for name, shape in shapes.items()}


def keras_rnn(kind, features, units):
    """Return kernel, recurrent kernel and bias of one layer."""
    columns = {"lstm": 4, "gru": 3}[kind] * units
    biases = {"lstm": (), "gru": (2,)}[kind]
    return [rand(features, columns), rand(units, columns), rand(*biases, columns)]
