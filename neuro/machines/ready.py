"""Ready-made workloads: well-known networks as shape tables, counted without building them.

Knows layer shapes; knows nothing of weights or machines. Every count is checked against torch in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from neuro.errors import MachineError
from neuro.machines.workload import Op, Workload

Size = tuple[int, int]


def list_workloads() -> tuple[str, ...]:
    """Names of the ready-made workloads."""
    return tuple(_READY)


@cache
def ready_workload(name: str) -> Workload:
    """A ready-made workload by name."""
    if name not in _READY:
        raise MachineError(f"workload {name!r}", "there is no such ready-made workload", f"Use one of {', '.join(_READY)}")
    return _READY[name]()


def conv(name: str, size: Size, cin: int, cout: int, kernel: Size = (1, 1), *, stride: int = 1, groups: int = 1) -> Op:
    """A convolution that yields `size`, with batch norm (2 parameters a channel) in place of a bias."""
    k = cin // groups * kernel[0] * kernel[1]
    pixels = size[0] * size[1]
    return Op(
        name,
        "conv" if cin > groups else "depthwise" if groups > 1 else "shallow",
        m=pixels,
        k=k,
        n=cout // groups,
        groups=groups,
        adds=pixels * cout,
        parameters=k * cout + 2 * cout,
        weights=k * cout,
        inputs=pixels * stride * stride * cin,
        outputs=pixels * cout,
    )


def fc(name: str, k: int, n: int, *, rows: int = 1, repeats: int = 1, bias: bool = True) -> Op:
    """A fully connected layer on `rows` vectors."""
    parameters = k * n + n * bias
    return Op(name, "fc", rows, k, n, 1, repeats, rows * n * bias, parameters, None, rows * k, rows * n)


def mlp(name: str, sizes: Iterable[int]) -> Workload:
    """A chain of fully connected layers with biases."""
    sizes = tuple(sizes)
    return Workload(name, tuple(fc(f"fc{i}", k, n) for i, (k, n) in enumerate(zip(sizes, sizes[1:], strict=False), 1)))


def kws_scaled(copies: int) -> Workload:
    """The keyword network of Blouw 2019 with `copies` parallel chains of ten 256-neuron layers, merged before the output."""
    if copies == 0:
        return kws_mlp()
    chains = replace(fc("chains", 256, 256), repeats=10 * copies)
    layers = (fc("in", 390, 256), chains, fc("merge", 256 * copies, 256), fc("out", 256, 29))
    return Workload(f"KWS scaling net C={copies}", layers)


def kws_mlp() -> Workload:
    return mlp("KWS 390-256-256-29", (390, 256, 256, 29))


def _pool(name: str, size: Size, channels: int, window: int, stride: int) -> Op:
    pixels = size[0] * size[1] * channels
    return Op(name, "pool", adds=pixels * window, inputs=pixels * stride * stride, outputs=pixels)


def _add(name: str, size: Size, channels: int) -> Op:
    values = size[0] * size[1] * channels
    return Op(name, "elementwise", adds=values, inputs=values)


def _resnet50() -> Workload:
    ops = [conv("conv1", (112, 112), 3, 64, (7, 7), stride=2), _pool("maxpool", (56, 56), 64, 9, 2)]
    cin = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        side = 56 >> (stage - 1)
        size = (side, side)
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            before = (side * stride, side * stride)
            ops.append(conv(f"{name}.conv1", before, cin, width))
            ops.append(conv(f"{name}.conv2", size, width, width, (3, 3), stride=stride))
            ops.append(conv(f"{name}.conv3", size, width, 4 * width))
            if block == 0:
                ops.append(conv(f"{name}.shortcut", size, cin, 4 * width, stride=stride))
            ops.append(_add(f"{name}.add", size, 4 * width))
            cin = 4 * width
    ops += [_pool("avgpool", (1, 1), cin, 49, 7), fc("fc", cin, 1000)]
    return Workload("ResNet-50", tuple(ops), ("224 x 224 image, stride in the 3 x 3 convolution",))


def _resnet8() -> Workload:
    ops = [conv("conv1", (32, 32), 3, 16, (3, 3))]
    cin = 16
    for stage, width in enumerate((16, 32, 64), 1):
        stride = 1 if stage == 1 else 2
        side = 32 >> (stage - 1)
        size = (side, side)
        ops.append(conv(f"stage{stage}.conv1", size, cin, width, (3, 3), stride=stride))
        ops.append(conv(f"stage{stage}.conv2", size, width, width, (3, 3)))
        if stride == 2:
            ops.append(conv(f"stage{stage}.shortcut", size, cin, width, stride=2))
        ops.append(_add(f"stage{stage}.add", size, width))
        cin = width
    ops += [_pool("avgpool", (1, 1), 64, 64, 8), fc("fc", 64, 10)]
    return Workload("ResNet-8 IC", tuple(ops), ("MLPerf Tiny image classification, 32 x 32 image",))


def _mobilenet(name: str, side: int, width: float, classes: int) -> Workload:
    channels = [int(c * width) for c in (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)]
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    side //= 2
    ops = [conv("conv1", (side, side), 3, channels[0], (3, 3), stride=2)]
    for i, (cin, cout, stride) in enumerate(zip(channels, channels[1:], strides, strict=False), 1):
        side //= stride
        ops.append(conv(f"dw{i}", (side, side), cin, cin, (3, 3), stride=stride, groups=cin))
        ops.append(conv(f"pw{i}", (side, side), cin, cout))
    ops += [_pool("avgpool", (1, 1), channels[-1], side * side, side), fc("fc", channels[-1], classes)]
    return Workload(name, tuple(ops))


def _ds_cnn() -> Workload:
    ops = [conv("conv1", (25, 5), 1, 64, (10, 4), stride=2)]
    for i in range(1, 5):
        ops += [conv(f"dw{i}", (25, 5), 64, 64, (3, 3), groups=64), conv(f"pw{i}", (25, 5), 64, 64)]
    ops += [_pool("avgpool", (1, 1), 64, 125, 1), fc("fc", 64, 12)]
    return Workload("DS-CNN KWS", tuple(ops), ("MLPerf Tiny keyword spotting, 49 x 10 coefficients",))


B7 = (  # expansion, kernel, stride, input and output channels, repeats: EfficientNet-B0 times width 2.0 and depth 3.1
    (1, 3, 1, 64, 32, 4),
    (6, 3, 2, 32, 48, 7),
    (6, 5, 2, 48, 80, 7),
    (6, 3, 2, 80, 160, 10),
    (6, 5, 1, 160, 224, 10),
    (6, 5, 2, 224, 384, 13),
    (6, 3, 1, 384, 640, 4),
)


def _efficientnet_b7() -> Workload:
    side = 300
    ops = [conv("stem", (side, side), 3, 64, (3, 3), stride=2)]
    for stage, (expansion, kernel, stride, first, cout, repeats) in enumerate(B7, 1):
        cin = first
        for block in range(repeats):
            step = stride if block == 0 else 1
            ops += _mbconv(f"{stage}.{block}", side, cin, cout, expansion, kernel, step)
            side, cin = -(-side // step), cout
    ops += [conv("head", (side, side), 640, 2560), _pool("avgpool", (1, 1), 2560, side * side, side), fc("fc", 2560, 1000)]
    return Workload("EfficientNet-B7", tuple(ops), ("600 x 600 image",))


def _mbconv(name: str, side: int, cin: int, cout: int, expansion: int, kernel: int, stride: int) -> list[Op]:
    wide, squeeze, out = cin * expansion, max(1, cin // 4), -(-side // stride)
    ops = [conv(f"{name}.expand", (side, side), cin, wide)] if expansion > 1 else []
    ops.append(conv(f"{name}.dw", (out, out), wide, wide, (kernel, kernel), stride=stride, groups=wide))
    ops.append(_pool(f"{name}.squeeze", (1, 1), wide, out * out, out))
    ops += [fc(f"{name}.reduce", wide, squeeze), fc(f"{name}.excite", squeeze, wide)]
    ops.append(conv(f"{name}.project", (out, out), wide, cout))
    if stride == 1 and cin == cout:
        ops.append(_add(f"{name}.add", (out, out), cout))
    return ops


def _c3(name: str, side: int, cin: int, cout: int, repeats: int, shortcut: bool = True) -> list[Op]:
    size, half = (side, side), cout // 2
    ops = [conv(f"{name}.cv1", size, cin, half), conv(f"{name}.cv2", size, cin, half)]
    for i in range(repeats):
        ops += [conv(f"{name}.{i}.cv1", size, half, half), conv(f"{name}.{i}.cv2", size, half, half, (3, 3))]
        if shortcut:
            ops.append(_add(f"{name}.{i}.add", size, half))
    return [*ops, conv(f"{name}.cv3", size, cout, cout)]


def _yolov5l() -> Workload:
    ops = [conv("0", (320, 320), 3, 64, (6, 6), stride=2)]
    cin = 64
    for i, (side, cout, repeats) in enumerate(((160, 128, 3), (80, 256, 6), (40, 512, 9), (20, 1024, 3))):
        ops.append(conv(f"{2 * i + 1}", (side, side), cin, cout, (3, 3), stride=2))
        ops += _c3(f"{2 * i + 2}", side, cout, cout, repeats)
        cin = cout
    ops.append(conv("9.cv1", (20, 20), 1024, 512))
    ops += [_pool(f"9.pool{i}", (20, 20), 512, 25, 1) for i in range(3)]
    ops += [conv("9.cv2", (20, 20), 2048, 1024), conv("10", (20, 20), 1024, 512), *_c3("13", 40, 1024, 512, 3, False)]
    ops += [conv("14", (40, 40), 512, 256), *_c3("17", 80, 512, 256, 3, False)]
    ops += [conv("18", (40, 40), 256, 256, (3, 3), stride=2), *_c3("20", 40, 512, 512, 3, False)]
    ops += [conv("21", (20, 20), 512, 512, (3, 3), stride=2), *_c3("23", 20, 1024, 1024, 3, False)]
    ops += [_detect(f"24.{i}", side, cin) for i, (side, cin) in enumerate(((80, 256), (40, 512), (20, 1024)))]
    return Workload("YOLOv5l", tuple(ops), ("640 x 640 image, version 6 without non-maximum suppression",))


def _detect(name: str, side: int, cin: int) -> Op:
    """The 1 x 1 convolution to 255 channels, with a bias instead of a norm."""
    return replace(conv(name, (side, side), cin, 255), parameters=cin * 255 + 255)


def _transformer(layers: int, width: int, heads: int, rows: int, context: int) -> list[Op]:
    """`layers` blocks on `rows` tokens that attend to `context` tokens, whose keys and values are read from memory."""
    depth, scores, kept = width // heads, rows * context * heads, context * width
    return [
        fc("query, key, value", width, 3 * width, rows=rows, repeats=layers),
        Op("scores", "attention", rows, depth, context, heads, layers, inputs=rows * width + kept, outputs=scores),
        Op("softmax", "elementwise", repeats=layers, adds=2 * scores),
        Op("mix", "attention", rows, context, depth, heads, layers, inputs=scores + kept, outputs=rows * width),
        fc("output", width, width, rows=rows, repeats=layers),
        fc("up", width, 4 * width, rows=rows, repeats=layers),
        fc("down", 4 * width, width, rows=rows, repeats=layers),
        Op("norms", "elementwise", repeats=2 * layers, adds=4 * rows * width, parameters=2 * width),
    ]


def _bert_large(tokens: int) -> Workload:
    width = 1024
    table = (30522 + 512 + 2) * width
    embed = Op("embeddings", "lookup", adds=2 * tokens * width, parameters=table + 2 * width, weights=0, inputs=tokens * width)
    ops = (embed, *_transformer(24, width, 16, tokens, tokens), fc("pooler", width, width))
    return Workload(f"BERT-Large, {tokens} tokens", ops, ("encoder with pooler; every token attends to every token",))


def _gpt3(rows: int, context: int, name: str, note: str) -> Workload:
    width, vocabulary = 12288, 50257
    table = Op("embeddings", "lookup", adds=rows * width, parameters=(vocabulary + 2048) * width, weights=0, inputs=rows * width)
    last = replace(fc("logits", width, vocabulary, bias=False), parameters=0, weights=vocabulary * width)
    norm = Op("last norm", "elementwise", adds=4 * rows * width, parameters=2 * width)
    return Workload(name, (table, *_transformer(96, width, 96, rows, context), norm, last), (note,))


_READY: dict[str, Callable[[], Workload]] = {
    "resnet50": _resnet50,
    "efficientnet-b7": _efficientnet_b7,
    "bert-large": lambda: _bert_large(384),
    "bert-large-128": lambda: _bert_large(128),
    "gpt3-prefill": lambda: _gpt3(
        2048, 2048, "GPT-3 prefill, 2048 tokens", "one inference reads a prompt of 2048 tokens, unmasked"
    ),
    "gpt3-decode": lambda: _gpt3(
        1, 2048, "GPT-3 decode, 1 token", "one inference writes one token after 2048; keys and values kept"
    ),
    "yolov5l": _yolov5l,
    "mobilenet-v1": lambda: _mobilenet("MobileNetV1", 224, 1.0, 1000),
    "ds-cnn": _ds_cnn,
    "mobilenet-v1-vww": lambda: _mobilenet("MobileNetV1 VWW", 96, 0.25, 2),
    "resnet8": _resnet8,
    "autoencoder": lambda: mlp("Autoencoder AD", (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)),
    "kws-mlp": kws_mlp,
    "finn-kws-mlp": lambda: mlp("FINN MLP KWS 490-256-256-256-12", (490, 256, 256, 256, 12)),
}
