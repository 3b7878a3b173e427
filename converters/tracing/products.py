"""Handlers of products of activations: matrices, einsum, and attention in the forms that torch has of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import fx

from converters.contracting import contracted
from converters.tracing.arguments import bound, module_of
from converters.tracing.arithmetic import scaled
from converters.tracing.axes import along, spread
from converters.tracing.builder import Builder
from converters.tracing.values import masked

_HIDDEN = 1e9  # what a truth value takes from scores that have no part


def product(b: Builder, node: fx.Node) -> None:
    """A matrix product; with a constant matrix, a linear layer."""
    a = bound(node, "input other")
    first, second = a["input"], a.get("other", a.get("mat2"))
    constant = [not b.computed(value) for value in (first, second)]
    if any(constant):
        matrix = np.asarray(b.constant(node, first if constant[0] else second, "matrix"))
        name = b.layer(second if constant[0] else first)
        rank = len(b.shape(name))
        if matrix.ndim == 2 and len(b.shape_of(node)) == rank and not (constant[0] and rank < 2):
            b.names[node] = along(b, node, name, rank - 2 if constant[0] else rank - 1, matrix if constant[0] else matrix.T)
            return
        if matrix.ndim < 2 or rank < 2:
            raise b.refuse(node, f"its matrix has the shape {matrix.shape}", "Multiply (samples, ..., in) by a matrix (in, out)")
    rank = len(b.shape_of(node))
    names = [b.value(node, value, rank) for value in (first, second)]
    b.names[node] = multiplied(b, node, *names)


def multiplied(b: Builder, node: fx.Node, first: str, second: str) -> str:
    """The product of two layers of matrices, (..., m, k) by (..., k, n)."""
    shapes = [b.shape(first), b.shape(second)]
    rank = max(map(len, shapes))
    if min(map(len, shapes)) < 2:
        fact = f"it multiplies samples of shapes {shapes[0]} and {shapes[1]}, which mixes samples"
        raise b.refuse(node, fact, "Multiply matrices of one sample: (samples, m, k) by (samples, k, n)")
    names = []
    for name, shape in zip((first, second), shapes, strict=True):
        full = (*[1] * (rank - len(shape)), *shape)
        names.append(name if full == shape else b.add(node, "reshape", (name,), full))
    left, right = (b.shape(name) for name in names)
    outer = tuple(np.broadcast_shapes(left[:-2], right[:-2]))
    return b.add(node, "matmul", tuple(names), (*outer, left[-2], right[-1]))


def turned(b: Builder, node: fx.Node, name: str) -> str:
    """The last two axes exchanged."""
    rank = len(b.shape(name))
    return moved(b, node, name, (*range(rank - 2), rank - 1, rank - 2))


def moved(b: Builder, node: fx.Node, name: str, axes: tuple[int, ...]) -> str:
    shape = b.shape(name)
    return b.add(node, "permute", (name,), tuple(shape[i] for i in axes), axes=axes)


def added_product(b: Builder, node: fx.Node) -> None:
    """baddbmm and addmm of activations: beta x + alpha a b."""
    a = bound(node, "input first second", beta=1, alpha=1)
    rank = len(b.shape_of(node))
    if not all(b.computed(a[key]) for key in ("first", "second")):
        raise b.refuse(node, "it multiplies by a constant matrix", "Use torch.nn.functional.linear")
    made = multiplied(b, node, b.layer(a["first"]), b.layer(a["second"]))
    made = scaled(b, node, made, factor=float(a["alpha"])) if a["alpha"] != 1 else made
    if b.computed(a["input"]):
        more = scaled(b, node, b.layer(a["input"]), factor=float(a["beta"]))
        b.names[node] = b.add(node, "add", (spread(b, node, more, b.shape(made)), made))
    else:
        held = b.per_sample(node, np.asarray(b.constant(node, a["input"], "operand"), np.float32), rank)
        b.names[node] = scaled(b, node, made, shift=held * float(a["beta"]))


def einsum(b: Builder, node: fx.Node) -> None:
    """Two operands, one of which may be a constant: permuted to a product of matrices and back."""
    equation, *operands = node.args
    operands = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    text = str(equation).replace(" ", "")
    if "..." in text or "->" not in text or len(operands) != 2:
        raise b.refuse(
            node, f"its equation is {equation!r}", "Write it with two operands, named axes and an arrow, or with matmul"
        )
    inputs, out = text.split("->")
    terms = inputs.split(",")
    batch = next(term[0] for term, value in zip(terms, operands, strict=True) if b.computed(value))
    names, letters = [], []
    for term, value in zip(terms, operands, strict=True):
        if len(set(term)) != len(term) or (b.computed(value) and term[0] != batch) or out[:1] != batch:
            raise b.refuse(node, f"its equation {equation!r} moves samples or takes a diagonal", "Keep samples on the first axis")
        if not b.computed(value) and batch in term:
            raise b.refuse(node, "its constant differs from sample to sample", "Use one constant for all samples")
        own = [letter for letter in term if letter != batch]
        held = b.layer(value) if b.computed(value) else _constant(b, node, value)
        names.append(held)
        letters.append(own)
    b.names[node] = contracted(partial(b.add, node), b.shape, names, letters, [letter for letter in out if letter != batch])


def _constant(b: Builder, node: fx.Node, value: Any) -> str:
    array = np.asarray(b.constant(node, value, "operand"), np.float32)
    return b.add(node, "constant", (), tuple(array.shape), {"value": array})


# Attention


def scaled_dot_product(b: Builder, node: fx.Node) -> None:
    """F.scaled_dot_product_attention, with a mask or none."""
    names = "query key value attn_mask dropout_p is_causal"
    a = bound(node, names, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False)
    if a["dropout_p"]:
        raise b.refuse(node, "it drops attention at random even in evaluation", "Pass dropout_p=self.p if self.training else 0.0")
    query, key, value = (b.layer(a[name]) for name in ("query", "key", "value"))
    if a["enable_gqa"] and b.shape(key)[-3] != b.shape(query)[-3]:
        times = b.shape(query)[-3] // b.shape(key)[-3]
        key, value = (_repeated(b, node, name, times) for name in (key, value))
    b.names[node] = attended(b, node, query, key, value, a["attn_mask"], bool(a["is_causal"]), a["scale"])


def _repeated(b: Builder, node: fx.Node, name: str, times: int) -> str:
    shape = b.shape(name)
    axis = len(shape) - 3
    indices = np.repeat(np.arange(shape[axis]), times)
    return b.add(node, "gather", (name,), (*shape[:axis], len(indices), *shape[axis + 1 :]), axis=axis, indices=indices)


def attended(
    b: Builder, node: fx.Node, query: str, key: str, value: str, mask: Any = None, causal: bool = False, scale: Any = None,
    left_out: Sequence[Any] = (),
) -> str:  # fmt: skip
    """softmax(q k^T scale + mask) v; left_out: computed masks, which are added, or say by 1 what takes no part."""
    factor = 1 / math.sqrt(b.shape(query)[-1]) if scale is None else float(scale)
    scores = multiplied(b, node, scaled(b, node, query, factor=factor), turned(b, node, key))
    shape = b.shape(scores)
    if causal:
        scores = masked(b, node, scores, np.tril(np.ones(shape[-2:])), -np.inf)
    if mask is not None:
        scores = with_mask(b, node, scores, mask)
    for other in left_out:
        added = b.layer(other) if other.meta["value"].dtype.is_floating_point else hidden(b, node, b.layer(other), kept=0)
        scores = b.add(node, "add", (scores, spread(b, node, added, shape)), shape)
    shares = b.add(node, "softmax", (scores,), shape, axis=len(shape) - 1)
    return multiplied(b, node, shares, value)


def with_mask(b: Builder, node: fx.Node, scores: str, mask: Any) -> str:
    """Scores with a mask: truth values that say what is kept, or numbers that are added."""
    if b.computed(mask):
        added = b.layer(mask)
        if not mask.meta["value"].dtype.is_floating_point:
            added = hidden(b, node, added, kept=1)
        return b.add(node, "add", (scores, spread(b, node, added, b.shape(scores))), b.shape(scores))
    held = np.asarray(b.constant(node, mask, "mask"))
    if held.dtype == bool:
        return masked(b, node, scores, held, -np.inf)
    low = held <= -1e9
    if low.any():
        scores = masked(b, node, scores, ~low, -np.inf)
        held = np.where(low, 0, held)
    return (
        scaled(b, node, scores, shift=b.per_sample(node, held.astype(np.float32), len(b.shape(scores)))) if held.any() else scores
    )


def hidden(b: Builder, node: fx.Node, truth: str, kept: int) -> str:
    """What is added to scores where a truth value says what is kept: by 1, or by 0."""
    return scaled(b, node, truth, factor=_HIDDEN, shift=-_HIDDEN) if kept else scaled(b, node, truth, factor=-_HIDDEN)


def multihead(b: Builder, node: fx.Node) -> None:
    """nn.MultiheadAttention with samples first, self or cross."""
    m, names = module_of(b, node), "query key value key_padding_mask need_weights attn_mask average_attn_weights is_causal"
    a = bound(node, names, key_padding_mask=None, need_weights=True, attn_mask=None, is_causal=False)
    padded, mask = a["key_padding_mask"], a["attn_mask"]
    if (padded is not None and not b.computed(padded)) or m.bias_k is not None or m.add_zero_attn:
        fact = "it masks the same padded keys in every sample, or adds keys of its own"
        raise b.refuse(node, fact, "Make key_padding_mask an input, or use attn_mask; leave out bias_k and add_zero_attn")
    if not m.batch_first:
        raise b.refuse(node, "its samples are on the second axis", "Make it with batch_first=True")
    heads, width = m.num_heads, m.embed_dim
    layers = [b.layer(a[key]) for key in ("query", "key", "value")]
    if m.in_proj_weight is not None:
        weights = np.split(np.asarray(b.constant(node, m.in_proj_weight, "weight")), 3)
    else:
        weights = [np.asarray(b.constant(node, w, "weight")) for w in (m.q_proj_weight, m.k_proj_weight, m.v_proj_weight)]
    biases: list[Any] = [None] * 3
    if m.in_proj_bias is not None:
        biases = np.split(np.asarray(b.constant(node, m.in_proj_bias, "bias")), 3)
    split = []
    for name, weight, bias in zip(layers, weights, biases, strict=True):
        rows, outer = b.shape(name)[:-1], len(b.shape(name)) - 2
        made = b.add(node, "linear", (name,), (*rows, width), {"weight": weight, "bias": bias})
        made = b.add(node, "reshape", (made,), (*rows, heads, width // heads))
        split.append(moved(b, node, made, (*range(outer), outer + 1, outer, outer + 2)))
    if mask is not None and not b.computed(mask):
        held = np.asarray(b.constant(node, mask, "mask"))
        mask = ~held if held.dtype == bool else held  # here True says what is left out
    query, key, value = split
    left_out = [part for part in (padded, mask) if part is not None and b.computed(part)]
    made = attended(b, node, query, key, value, None if mask in left_out else mask, left_out=left_out)
    made = moved(b, node, made, (*range(outer), outer + 1, outer, outer + 2))
    made = b.add(node, "reshape", (made,), (*b.shape(made)[:-2], width))
    arrays = {"weight": b.constant(node, m.out_proj.weight, "weight"), "bias": b.constant(node, m.out_proj.bias, "bias")}
    b.parts[node] = [b.add(node, "linear", (made,), b.shape(made), arrays)]
