"""Faults of a chip: what is broken, where it strikes, how placement and routes go around it, what it costs in accuracy."""

from neuro.chip.faults.spec import Faults as Faults
