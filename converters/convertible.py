"""Which graphs can become spikes: ops that compute with values, several inputs and outputs in the codes that carry values.

Knows ops, and of codes those.
"""

from __future__ import annotations

from converters.tracing.remedies import remedy
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.valueops import ROWS

_HOSTED = frozenset({"embedding", "argmax"})  # before or behind a network, on the host
VALUE_OPS = frozenset(op for op, row in ROWS.items() if row.listed is None) - {"constant"}  # which is a bias
_NEAREST = {
    "function": "relu, with or without a ceiling",
    "prelu": "relu",
    "multiply": "scale, by constants",
    "maximum": "max_pool, or a relu between two scales for a constant",
    "minimum": "a relu between two scales, for a constant",
    "where": "scale, by constants",
    "matmul": "linear, with a constant matrix",
    "embedding": "linear, of embedded vectors as input",
    "mask": "scale, by constants",
    "quantise": "relu with a ceiling",
    "previous": "conv, over frames that are given together",
    **dict.fromkeys(("softmax", "log_softmax", "argmax"), "identity: return the values before it, which decide alike"),
    **dict.fromkeys(
        ("layer_norm", "rms_norm", "group_norm", "local_response_norm"), "batch_norm, whose statistics are constants"
    ),
}


MOST_READ = 12288  # values that one neuron reads with a weight each, so that its synapses fit a core
OF_VALUES = "graded"  # the code of networks that compute with values
CARRYING = (OF_VALUES, "radix")  # codes that can carry them


def computes_with_values(graph: Graph, code: str = "") -> bool:
    """Whether a graph has an op that needs neurons of values, several inputs or outputs, or, in a code that carries values, a
    layer that reads more of them than the synapses of one neuron fit a core, which takes sums of sums."""
    many = len(graph.inputs) > 1 or len(graph.outputs) > 1 or any(layer.op in VALUE_OPS for layer in graph.layers)
    long = (layer.op == "linear" and layer.arrays["weight"].shape[1] > MOST_READ for layer in graph.layers)
    return many or (code in CARRYING and any(long))


def check_convertible(graph: Graph, code: str) -> None:
    """Raise ConversionError that names the first layer, input or output that has no form in a code."""
    for what, names in (("inputs", [layer.name for layer in graph.inputs]), ("outputs", list(graph.outputs))):
        if len(names) > 1 and code not in CARRYING:
            fact = f"it has {len(names)} {what} ({', '.join(names)}), and code={code!r} carries one"
            other = "" if what == "inputs" else f". Or take one of them: converters.trace(model, x).only({names[0]!r})"
            raise ConversionError(f"graph {graph.name!r}", fact, f"Use code={OF_VALUES!r}{other}")
    for layer in graph.inputs:
        if not layer.shape:
            raise ConversionError(f"input {layer.name!r}", "a sample of it is a number without axes", "Give it the shape (1,)")
    for layer in graph.layers:
        if layer.op in VALUE_OPS and (code not in CARRYING or layer.op in _HOSTED):
            name = str(layer.options["name"]) if layer.op == "function" else layer.op
            advice = remedy(name, f"The nearest op that has one is {_NEAREST[layer.op]}")
            if code not in CARRYING and layer.op not in _HOSTED:
                advice = f"Use code={OF_VALUES!r}, which carries values. Or: {advice}"
            raise ConversionError(layer.place, f"{_told(layer)} has no spiking form", advice)


def _told(layer: Layer) -> str:
    return f"the function {layer.options['name']}" if layer.op == "function" else f"the op {layer.op}"
