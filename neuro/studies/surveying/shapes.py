"""The survey's five networks by their public shapes, with random weights settled on random samples: ResNet-50, EfficientNet-B7,
YOLOv5l, BERT-Large and one decoder block of GPT-3. The same shapes as `neuro.machines.ready` counts.

Every size is an argument, so that tests can shrink it. Inputs are two samples, of noise on coarse patches or of normal values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.drawing import Drawing
from neuro.machines.ready import B7

SAMPLES = 2


def resnet50(d: Drawing, side: int = 224, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3), classes: int = 1000) -> None:
    """He et al. 2016, with the stride in the 3 x 3 convolution."""
    x = _pool(d, _relu(d, d.conv("conv1", d.input("image", images(side)), width, 7, 2)), 3, 2)
    for stage, count in enumerate(blocks):
        wide = width << stage
        for block in range(count):
            name, stride = f"layer{stage + 1}.{block}", 2 if block == 0 and stage else 1
            y = _relu(d, d.conv(f"{name}.conv1", x, wide))
            y = _relu(d, d.conv(f"{name}.conv2", y, wide, 3, stride))
            y = d.conv(f"{name}.conv3", y, 4 * wide)
            x = d.conv(f"{name}.shortcut", x, 4 * wide, 1, stride) if block == 0 else x
            x = _relu(d, d.add("add", y, x))
            d.forget(x)
    d.linear("fc", _flat(d, _mean(d, x)), classes)


def efficientnet_b7(
    d: Drawing, side: int = 600, stages: Sequence[tuple[int, ...]] = B7, stem: int = 64, head: int = 2560, classes: int = 1000
) -> None:
    """Tan and Le 2019: EfficientNet-B0 times width 2.0 and depth 3.1. stages: expansion, kernel, stride, in, out, repeats."""
    x = d.function("silu", d.conv("stem", d.input("image", images(side)), stem, 3, 2))
    for stage, (expansion, kernel, stride, before, out, repeats) in enumerate(stages, 1):
        for block in range(repeats):
            name, step = f"{stage}.{block}", stride if block == 0 else 1
            cin = before if block == 0 else out
            wide = cin * expansion
            y = d.function("silu", d.conv(f"{name}.expand", x, wide)) if expansion > 1 else x
            y = d.function("silu", d.conv(f"{name}.dw", y, wide, kernel, step, wide))
            gate = d.function("silu", d.conv(f"{name}.reduce", _mean(d, y), max(1, cin // 4)))
            y = d.add("multiply", y, d.function("sigmoid", d.conv(f"{name}.excite", gate, wide)))
            y = d.conv(f"{name}.project", y, out)
            x = d.add("add", y, x) if step == 1 and cin == out else y
            d.forget(x)
    d.linear("fc", _flat(d, _mean(d, d.function("silu", d.conv("head", x, head)))), classes)


def yolov5l(d: Drawing, side: int = 640, width: int = 64, depth: int = 3, boxes: int = 255) -> None:
    """Version 6, with its three heads as outputs, without what turns them into boxes."""
    x, kept = _silu(d, "0", d.input("image", images(side)), width, 6, 2), []
    for i, repeats in enumerate((depth, 2 * depth, 3 * depth, depth)):
        wide = width << (i + 1)
        x = _c3(d, f"{2 * i + 2}", _silu(d, f"{2 * i + 1}", x, wide, 3, 2), wide, repeats)
        kept.append(x)
        d.forget(*kept)
    half = 8 * width
    pools = [_silu(d, "9.cv1", x, half)]
    for _ in range(3):
        pools.append(_pool(d, pools[-1], 5, 1))
    top = _silu(d, "10", _silu(d, "9.cv2", _joined(d, *pools), 2 * half), half)
    middle = _c3(d, "13", _joined(d, _doubled(d, top), kept[2]), half, depth, False)
    low = _silu(d, "14", middle, half // 2)
    first = _c3(d, "17", _joined(d, _doubled(d, low), kept[1]), half // 2, depth, False)
    second = _c3(d, "20", _joined(d, _silu(d, "18", first, half // 2, 3, 2), low), half, depth, False)
    third = _c3(d, "23", _joined(d, _silu(d, "21", second, half, 3, 2), top), 2 * half, depth, False)
    for i, one in enumerate((first, second, third)):
        d.conv(f"24.{i}", one, boxes)


def bert_large(d: Drawing, tokens: int = 128, width: int = 1024, heads: int = 16, layers: int = 24) -> None:
    """Devlin et al. 2019: the encoder behind the embeddings, every token attending to every token, and the pooler."""
    x = d.input("embedded", normal(tokens, width))
    for i in range(layers):
        q, k, v = (d.linear(f"{i}.{name}", x, width) for name in ("query", "key", "value"))
        mixed = _attention(d, _heads(d, q, heads, (1, 0, 2)), _heads(d, k, heads, (1, 2, 0)), _heads(d, v, heads, (1, 0, 2)))
        x = _norm(d, d.add("add", x, d.linear(f"{i}.output", mixed, width)))
        up = d.function("gelu", d.linear(f"{i}.up", x, 4 * width))
        x = _norm(d, d.add("add", x, d.linear(f"{i}.down", up, width)))
        d.forget(x)
    first = _flat(d, d.add("gather", x, options={"axis": 0, "indices": np.zeros(1, np.int64)}))
    d.function("tanh", d.linear("pooler", first, width))


def gpt3_block(d: Drawing, context: int = 2048, width: int = 12288, heads: int = 96, parts: int = 8) -> None:
    """Brown et al. 2020: one of 96 decoder blocks, writing one token after others whose keys and values enter as inputs. Its
    heads and features come in `parts` parts, populations of their own, so that memory holds the integers of one at a time."""
    depth, some, part = width // heads, heads // parts, width // parts
    x = d.input("token", normal(1, width))
    y, mixed = _norm(d, x), []
    for i in range(parts):
        q, k, v = (d.linear(f"{name}.{i}", y, part) for name in ("query", "key", "value"))
        keys, values = (
            d.input(f"keys.{i}", normal(some, depth, context - 1)),
            d.input(f"values.{i}", normal(some, context - 1, depth)),
        )
        keys, values = (
            _joined(d, keys, _heads(d, k, some, (1, 2, 0)), axis=2),
            _joined(d, values, _heads(d, v, some, (1, 0, 2)), axis=1),
        )
        mixed.append(_attention(d, _heads(d, q, some, (1, 0, 2)), keys, values))
        d.forget(x, y, *mixed)
    before = [d.add("gather", x, options={"axis": 1, "indices": np.arange(i * part, (i + 1) * part)}) for i in range(parts)]
    inner = [d.add("add", one, _summed(d, f"output.{i}", mixed, part)) for i, one in enumerate(before)]
    y = _norm(d, _joined(d, *inner, axis=1))
    up = [d.function("gelu", d.linear(f"up.{i}", y, 4 * width // (2 * parts))) for i in range(2 * parts)]
    for i, one in enumerate(inner):
        d.add("add", one, _summed(d, f"down.{i}", up, part))


WORKLOADS: dict[
    str, tuple[Callable[..., None], int]
] = {  # by the name in `neuro.machines.ready`: the graph, and how often it acts
    "resnet50": (resnet50, 1),
    "efficientnet-b7": (efficientnet_b7, 1),
    "bert-large-128": (bert_large, 1),
    "gpt3-decode": (gpt3_block, 96),
    "yolov5l": (yolov5l, 1),
}


def images(side: int) -> NDArray[np.float32]:
    """Images (2, 3, side, side): coarse patches and noise."""
    draw = np.random.default_rng(0)
    coarse = draw.random((SAMPLES, 3, 8, 8), np.float32).repeat(-(-side // 8), 2).repeat(-(-side // 8), 3)
    mixed = 0.7 * coarse[:, :, :side, :side] + 0.3 * draw.random((SAMPLES, 3, side, side), np.float32)
    return ((mixed - 0.5) / 0.25).astype(np.float32)


def normal(*shape: int) -> NDArray[np.float32]:
    """Values (2, *shape) about 0 with a spread of 1."""
    return np.random.default_rng(0).standard_normal((SAMPLES, *shape), np.float32)


def _relu(d: Drawing, x: str) -> str:
    return d.add("relu", x, options={"ceiling": None})


def _silu(d: Drawing, name: str, x: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    return d.function("silu", d.conv(name, x, out, kernel, stride))


def _pool(d: Drawing, x: str, kernel: int, stride: int) -> str:
    rows = d.shapes[x][1]
    whole = max((-(-rows // stride) - 1) * stride + kernel - rows, 0)
    pad = (whole - whole // 2, whole // 2)
    options: dict[str, Any] = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (pad, pad), "dilation": (1, 1)}
    return d.add("max_pool", x, options=options)


def _mean(d: Drawing, x: str) -> str:
    return d.add("reduce", x, options={"kind": "mean", "axes": (1, 2)})


def _flat(d: Drawing, x: str) -> str:
    return d.reshape(x, int(np.prod(d.shapes[x])))


def _joined(d: Drawing, *parts: str, axis: int = 0) -> str:
    return d.add("concat", *parts, options={"axis": axis})


def _doubled(d: Drawing, x: str) -> str:
    for axis in (1, 2):
        x = d.add("gather", x, options={"axis": axis, "indices": np.arange(d.shapes[x][axis]).repeat(2)})
    return x


def _c3(d: Drawing, name: str, x: str, out: int, repeats: int, shortcut: bool = True) -> str:
    half = out // 2
    y, beside = _silu(d, f"{name}.cv1", x, half), _silu(d, f"{name}.cv2", x, half)
    for i in range(repeats):
        z = _silu(d, f"{name}.{i}.cv2", _silu(d, f"{name}.{i}.cv1", y, half), half, 3)
        y = d.add("add", y, z) if shortcut else z
    return _silu(d, f"{name}.cv3", _joined(d, y, beside), out)


def _heads(d: Drawing, x: str, heads: int, axes: tuple[int, ...]) -> str:
    rows, width = d.shapes[x]
    return d.add("permute", d.reshape(x, rows, heads, width // heads), options={"axes": axes})


def _attention(d: Drawing, q: str, k: str, v: str) -> str:
    heads, rows, depth = d.shapes[q]
    scores = d.add("scale", d.add("matmul", q, k), arrays={"factor": np.full((1, 1, 1), depth**-0.5, np.float32)})
    mixed = d.add("matmul", d.add("softmax", scores, options={"axis": 2}), v)
    return d.reshape(d.add("permute", mixed, options={"axes": (1, 0, 2)}), rows, heads * depth)


def _norm(d: Drawing, x: str) -> str:
    width = d.shapes[x][1]
    arrays = {"weight": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}
    return d.add("layer_norm", x, arrays=arrays, options={"axes": (1,), "epsilon": 1e-5})


def _summed(d: Drawing, name: str, parts: Sequence[str], out: int) -> str:
    """A dense layer whose inputs come in parts."""
    return d.add("add", *(d.linear(f"{name}.{i}", one, out, len(parts) ** -0.5) for i, one in enumerate(parts)))
