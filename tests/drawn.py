"""Random torch networks as programs: a list of steps that can be drawn, shortened, saved as JSON and printed as plain torch code.

A step names an operation, the values it reads (0 is the input, k the result of step k) and its options; sizes follow from the
shapes it meets, so a program without one of its steps is mostly still a program. Knows torch; knows nothing of spikes.
"""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Program = dict[str, Any]
Step = dict[str, Any]
Shape = tuple[int, ...]
LARGEST = 700  # values of a layer
_NAMES = {"torch": torch, "nn": nn, "F": F, "np": np}


class Unfit(Exception):
    """A step that does not go with the shapes it meets."""


def fill(module: nn.Module, seed: int, style: str = "normal", scale: float = 1.0) -> None:
    """Random weights and statistics of one module."""
    rng = np.random.default_rng(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        shape = tuple(tensor.shape)
        if name == "running_var":
            values = rng.uniform(0.5, 2, shape)
        elif name == "weight" and len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            values = rng.normal(0, math.sqrt(2 / fan_in), shape)
            if style == "equal":
                values = np.full(shape, 1 / fan_in)
            elif style == "zero":
                values = np.zeros(shape)
            elif style == "sparse":
                values = values * (rng.random(shape) < 0.3)
            elif style == "negative":
                values = np.where(np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) % 2 == 0, -abs(values), values)
            elif style == "channels":
                values = values * 10 ** rng.uniform(-1.5, 1.5, (shape[0], *[1] * (len(shape) - 1)))
        elif name == "weight":
            values = rng.uniform(0.5, 1.5, shape) * np.where(rng.random(shape) < 0.15, -1, 1)
        elif shape:
            values = rng.normal(0, 0.1, shape)
        else:
            continue
        tensor.data.copy_(torch.as_tensor(values * (scale if name in ("weight", "bias") else 1)))


def samples(shape: tuple[int, ...], count: int, kind: str, seed: int) -> np.ndarray:
    """Inputs (count, *shape) float32 of one kind."""
    rng = np.random.default_rng(seed)
    x = rng.random((count, *shape))
    column = (1, shape[0], *[1] * (len(shape) - 1))
    if kind == "signed":
        x = rng.normal(0, 1, x.shape)
    elif kind == "grid":
        x = rng.integers(0, 256, x.shape) / 255
    elif kind == "binary":
        x = rng.integers(0, 2, x.shape)
    elif kind == "sparse":
        x = x * (rng.random(x.shape) < 0.25)
    elif kind == "channels":
        x = x * 10 ** rng.uniform(-1.5, 1.5, column)
    elif kind == "constant":
        x = np.where(np.arange(shape[0]).reshape(column) == 0, 0.5, x)
    elif kind == "large":
        x = x * 1e7
    elif kind == "small":
        x = x * 1e-6
    return x.astype(np.float32)


OPTIONAL = {
    "stride",
    "padding",
    "dilation",
    "groups",
    "bias",
    "weights",
    "scale",
    "ceil_mode",
    "count_include_pad",
    "ceiling",
    "step",
}  # options of steps without which they are still whole
KINDS = ("unit", "signed", "grid", "binary", "sparse", "channels", "constant", "large", "small")


def _dims(shape: Shape) -> int:
    if len(shape) not in (2, 3):
        raise Unfit
    return len(shape) - 1


def _listed(**options: Any) -> str:
    """Options as keyword arguments; those that are None are left out."""
    return "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)


def _conv(o: Step, shape: Shape) -> tuple[str | None, str]:
    dims, channels = _dims(shape), shape[0]
    groups = {"one": 1, "two": math.gcd(2, channels), "depthwise": channels}[o.get("groups", "one")]
    out = channels * o.get("out", 1) if o.get("groups") == "depthwise" else groups * o.get("out", 1)
    kernel = tuple(o["kernel"][:dims])
    how = _listed(
        stride=o.get("stride"),
        padding=o.get("padding"),
        dilation=o.get("dilation"),
        groups=groups if groups > 1 else None,
        bias=o.get("bias"),
    )
    return f"nn.Conv{dims}d({channels}, {out}, {kernel}{how})", "{m}({0})"


def _linear(o: Step, shape: Shape) -> tuple[str | None, str]:
    return f"nn.Linear({shape[-1]}, {o['out']}{_listed(bias=o.get('bias'))})", "{m}({0})"


def _norm(o: Step, shape: Shape) -> tuple[str | None, str]:
    if len(shape) not in (1, 2, 3):
        raise Unfit
    return f"nn.BatchNorm{max(1, len(shape) - 1)}d({shape[0]})", "{m}({0})"


def _relu(o: Step, shape: Shape) -> tuple[str | None, str]:
    kind = o.get("kind", "module")
    if kind == "again":
        return "nn.ReLU()", "{m}({0})"  # read twice, see `rectifier`
    table = {
        "module": ("nn.ReLU()", "{m}({0})"),
        "function": (None, "F.relu({0})"),
        "method": (None, "{0}.relu()"),
        "six": ("nn.ReLU6()", "{m}({0})"),
        "clamp": (None, f"{{0}}.clamp(0, {o.get('ceiling', 1.0)})"),
        "hardtanh": (f"nn.Hardtanh(0, {o.get('ceiling', 1.0)})", "{m}({0})"),
    }
    return table[kind]


def _pool(o: Step, shape: Shape) -> tuple[str | None, str]:
    dims, kernel = _dims(shape), tuple(o["kernel"][: len(shape) - 1])
    how = _listed(
        stride=o.get("stride"),
        padding=o.get("padding"),
        dilation=o.get("dilation") if o["kind"] == "Max" else None,
        ceil_mode=o.get("ceil_mode"),
        count_include_pad=o.get("count_include_pad") if o["kind"] == "Avg" else None,
    )
    return f"nn.{o['kind']}Pool{dims}d({kernel if dims == 2 else kernel[0]}{how})", "{m}({0})"


def _adaptive(o: Step, shape: Shape) -> tuple[str | None, str]:
    dims = _dims(shape)
    size = tuple(max(d for d in range(1, n + 1) if n % d == 0 and d <= o["size"]) for n in shape[1:])
    return f"nn.Adaptive{o['kind']}Pool{dims}d({size if dims == 2 else size[0]})", "{m}({0})"


def _pad(o: Step, shape: Shape) -> tuple[str | None, str]:
    sides = tuple(o["sides"][: 2 * _dims(shape)])
    if o.get("kind") == "module" and len(shape) == 3:
        return f"nn.ZeroPad2d({sides})", "{m}({0})"
    return None, f"F.pad({{0}}, {sides})"


def _slice(o: Step, shape: Shape) -> tuple[str | None, str]:
    axis = o["axis"] % len(shape)
    start, stop = o["start"], shape[axis] - o["end"]
    if stop <= start:
        raise Unfit
    step = f":{o['step']}" if o.get("step") and axis > 0 else ""
    return None, f"{{0}}[{':, ' * (axis + 1)}{start}:{stop}{step}]"


def _scale(o: Step, shape: Shape) -> tuple[str | None, str]:
    kind, by = o["kind"], o["by"]
    if kind == "channels":
        factors = [round(by * (1 + i / 2), 6) for i in range(shape[0])]
        return None, f"{{0}} * torch.tensor({factors}).reshape(-1, {', '.join('1' * (len(shape) - 1))})" if len(
            shape
        ) > 1 else f"{{0}} * torch.tensor({factors})"
    return None, {
        "times": f"{{0}} * {by}",
        "plus": f"{{0}} + {by}",
        "over": f"{{0}} / {by}",
        "minus": f"{by} - {{0}}",
        "neg": "-{0}",
    }[kind]


def _add(o: Step, shape: Shape, other: Shape) -> tuple[str | None, str]:
    if shape != other:
        raise Unfit
    return None, {"plus": "{0} + {1}", "minus": "{0} - {1}"}[o.get("kind", "plus")]


def _cat(o: Step, shape: Shape, other: Shape) -> tuple[str | None, str]:
    axis = o.get("axis", 0) % len(shape)
    if len(shape) != len(other) or any(a != b for i, (a, b) in enumerate(zip(shape, other, strict=True)) if i != axis):
        raise Unfit
    return None, f"torch.cat([{{0}}, {{1}}], {axis + 1})"


def _again(o: Step, shape: Shape) -> tuple[str | None, str]:
    return None, f"self.m{o['of']}({{0}})"


def _move(o: Step, shape: Shape) -> tuple[str | None, str]:
    kind, size = o["kind"], int(np.prod(shape))
    if kind == "flatten":
        return (None, "{0}.flatten(1)") if len(shape) > 1 else (None, "{0}")
    if kind == "permute":
        axes = [0, *range(len(shape), 0, -1)]
        return None, f"{{0}}.permute({', '.join(map(str, axes))})"
    if kind == "mean":
        return None, "{0}.mean([" + ", ".join(map(str, range(2, len(shape) + 1))) + "])" if len(shape) > 1 else "{0}"
    rows = max(d for d in range(1, size + 1) if size % d == 0 and d <= o.get("rows", 2))
    if kind == "rows":
        return None, f"{{0}}.reshape(-1, {rows}, {size // rows})"
    side = max(d for d in range(1, size + 1) if (size // rows) % d == 0 and d * d <= size // rows)
    return None, f"{{0}}.reshape(-1, {rows}, {side}, {size // rows // side})"


OPS: dict[str, Callable[..., tuple[str | None, str]]] = {
    "conv": _conv,
    "linear": _linear,
    "norm": _norm,
    "relu": _relu,
    "pool": _pool,
    "adaptive": _adaptive,
    "pad": _pad,
    "slice": _slice,
    "scale": _scale,
    "add": _add,
    "cat": _cat,
    "again": _again,
    "move": _move,
}


class Assembly:
    """A program being put together, step by step, on tensors that have shapes only."""

    def __init__(self, shape: Shape) -> None:
        with torch.device("meta"):
            self.holder, self.values = nn.Module(), {"x": torch.zeros((2, *shape))}
        self.born: list[str] = []
        self.done: list[str] = []

    @property
    def shapes(self) -> list[Shape]:
        """Of every value so far, the input first."""
        return [tuple(value.shape[1:]) for value in self.values.values()]

    def add(self, step: Step) -> None:
        """Take one more step. Raises Unfit where it does not go with the shapes it meets."""
        k = len(self.done) + 1
        names = ["x" if i == 0 else f"v{i}" for i in step["from"]]
        init, text = OPS[step["op"]](step, *(tuple(self.values[name].shape[1:]) for name in names))
        text = text.format(*names, m=f"self.m{k}")
        try:
            with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that padding="same" may copy
                if init:
                    setattr(self.holder, f"m{k}", eval(init, _NAMES).eval())
                value = eval(text, {**_NAMES, "self": self.holder}, self.values)
        except (RuntimeError, ValueError, AttributeError, TypeError, ZeroDivisionError):
            raise Unfit from None
        if not 0 < value[0].numel() <= LARGEST or value.shape[0] != 2:
            raise Unfit
        self.values[f"v{k}"] = value
        self.done.append(f"        v{k} = {text}")
        if init:
            self.born.append(f"        self.m{k} = {init}")

    def code(self) -> str:
        """Class `Net` as torch code."""
        last = f"v{len(self.done)}" if self.done else "x"
        lines = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()", *self.born, ""]
        return "\n".join([*lines, "    def forward(self, x):", *self.done, f"        return {last}"])


def module_code(program: Program) -> str:
    """Class `Net` as torch code. Raises Unfit where steps do not go together."""
    assembly = Assembly(tuple(program["shape"]))
    for step in program["steps"]:
        assembly.add(step)
    return assembly.code()


def fills(program: Program) -> list[str]:
    """One call of `fill` for every module with weights."""
    found = []
    for k, step in enumerate(program["steps"], 1):
        if step["op"] in ("conv", "linear", "norm"):
            style, scale = step.get("weights", "normal"), step.get("scale", 1.0)
            more = (f", {style!r}" if style != "normal" or scale != 1 else "") + (f", {scale!r}" if scale != 1 else "")
            found.append(f"fill(net.m{k}, {program['seed'] + k}{more})")
    return found


def network_of(program: Program) -> tuple[nn.Module, np.ndarray]:
    """The module, in evaluation mode, and its samples."""
    code = module_code(program)
    space: dict[str, Any] = {**_NAMES, "fill": fill}
    exec(code, space)
    space["net"] = net = space["Net"]().eval()
    for line in fills(program):
        exec(line, space)
    return net, samples(tuple(program["shape"]), program["count"], program["data"], program["seed"])


_HEAD = """import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import converters
import neuro
"""


def reproduction(program: Program, show: str) -> str:
    """The program as a script that needs nothing of the tests; `show` is code that reads `net`, `x` and `how`."""
    helpers = [inspect.getsource(samples)]
    if fills(program):
        helpers.insert(0, inspect.getsource(fill))
    data = f"x = samples({tuple(program['shape'])}, {program['count']}, {program['data']!r}, {program['seed']})"
    use = ["net = Net().eval()", *fills(program), data, f"how = {program['how']!r}", show]
    return "\n\n".join([_HEAD, *helpers, module_code(program), "\n".join(use)])


def without(program: Program, k: int) -> Program:
    """The program without step k (from 1); what read its result reads what it read first."""
    shorter = copy.deepcopy(program)
    gone = shorter["steps"].pop(k - 1)
    instead = gone["from"][0]
    for step in shorter["steps"]:
        step["from"] = [instead if i == k else i - (i > k) for i in step["from"]]
        if step["op"] == "again" and step["of"] > k:
            step["of"] -= 1
    return shorter
