"""Projections: which synapses lead from one population to another, and with what integer weight and delay.

One file a kind; each says how it is stored (dense rows, explicit pairs, shared kernels) and can list its synapses one by one;
that list defines it. `forms` turns one kind into another. Nothing here knows neurons, engines or chips.
"""

from typing import Any

from neuro.projections.base import Projection, Storage, Synapses
from neuro.projections.conv1d import Conv1d
from neuro.projections.conv2d import Conv2d
from neuro.projections.dense import Dense
from neuro.projections.one_to_one import OneToOne
from neuro.projections.sparse import Sparse
from neuro.projections.sum_pool2d import SumPool2d

KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Dense, Sparse, OneToOne, Conv2d, Conv1d, SumPool2d)}

__all__ = ["KINDS", "Conv1d", "Conv2d", "Dense", "OneToOne", "Projection", "Sparse", "Storage", "SumPool2d", "Synapses"]
