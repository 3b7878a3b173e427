"""Which graphs can become spikes: one input, one output, no op that computes with values. Knows ops; knows no codes."""

from __future__ import annotations

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.valueops import ROWS

VALUE_OPS = frozenset(op for op, row in ROWS.items() if row.listed is None) - {"constant"}  # which is a bias
_NEAREST = {
    "function": "relu, with or without a ceiling",
    "prelu": "relu",
    "multiply": "scale, by constants",
    "maximum": "max_pool, or a relu between two scales for a constant",
    "minimum": "a relu between two scales, for a constant",
    "where": "scale, by constants",
    "matmul": "linear, with a constant matrix",
    "embedding": "linear: feed the embedded vectors as input",
    "mask": "scale, by constants",
    "quantise": "relu with a ceiling; the code rounds by itself",
    **dict.fromkeys(("softmax", "log_softmax", "argmax"), "none: return the values before it, which decide alike"),
    **dict.fromkeys(
        ("layer_norm", "rms_norm", "group_norm", "local_response_norm"), "batch_norm, whose statistics are constants"
    ),
}


def check_convertible(graph: Graph) -> None:
    """Raise ConversionError that names the first layer, input or output without a spiking form."""
    for what, names in (("inputs", [layer.name for layer in graph.inputs]), ("outputs", list(graph.outputs))):
        if len(names) > 1:
            remedy = "Convert a network with one" if what == "inputs" else "Take one of them: graph.only(name)"
            raise ConversionError(f"graph {graph.name!r}", f"it has {len(names)} {what} ({', '.join(names)})", remedy)
    for layer in graph.layers:
        if layer.op in VALUE_OPS:
            fact = f"{_told(layer)} has no spiking form"
            raise ConversionError(layer.place, fact, f"Nearest to it among the ops that have one: {_NEAREST[layer.op]}")


def _told(layer: Layer) -> str:
    return f"the function {layer.options['name']}" if layer.op == "function" else f"the op {layer.op}"
