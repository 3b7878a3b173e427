"""Einsum of ONNX: of one or two operands with named axes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from converters.contracting import contracted
from converters.formats.onnx_building import Builder
from neuro.graph import Layer


def einsum(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """a product of matrices, with axes summed over, permuted and reshaped"""
    equation = a["equation"].decode() if isinstance(a["equation"], bytes) else str(a["equation"])
    text = equation.replace(" ", "")
    terms, arrow, out = text.partition("->")[0].split(","), "->" in text, text.partition("->")[2]
    if "." in text or not arrow or len(terms) > 2 or len(terms) != len(node.input):
        raise b.refuse(node, f"its equation is {equation!r}", "Write it with one or two operands, named axes and an arrow")
    layers = [_operand(b, node, i) for i in range(len(terms))]
    if b.lead:
        computed = {term[:1] for i, term in enumerate(terms) if not b.is_constant(node, i)}
        held = "".join(term for i, term in enumerate(terms) if b.is_constant(node, i))
        if computed != {out[:1]} or out[:1] in held:
            raise b.refuse(node, f"its equation {equation!r} moves the samples", "Keep samples on the first axis")
        terms, out = [term.replace(out[:1], "") for term in terms], out[1:]
    fits = all(len(set(term)) == len(term) == len(layer.shape) for term, layer in zip(terms, layers, strict=True))
    if not fits or not set(out) <= set("".join(terms)) or len(set(out)) != len(out):
        fact = f"its equation {equation!r} does not fit its operands, or takes a diagonal"
        raise b.refuse(node, fact, "Export the model again")
    names, letters = [layer.name for layer in layers], [list(term) for term in terms]
    return contracted(partial(b.add, node), lambda name: b.layers[name].shape, names, letters, list(out))


def _operand(b: Builder, node: Any, index: int) -> Layer:
    """What feeds an input; a constant with all of its axes."""
    if not b.is_constant(node, index):
        return b.layer(node, index)
    held = np.asarray(b.needed(node, index, "operand"), np.float32)
    return b.layers[b.add(node, "constant", (), held.shape, {"value": held})]
