"""Learning on the chip: rules as sums of products, their arithmetic, and what synapses remember. Ready-made rules: `ready`."""

from neuro.learning.memory import Memory
from neuro.learning.ready import delta, oja, pes, prototype, reward_stdp, stdp, triplet_stdp
from neuro.learning.rule import LearningRule
from neuro.learning.terms import Factor, Product

__all__ = [
    "Factor",
    "LearningRule",
    "Memory",
    "Product",
    "delta",
    "oja",
    "pes",
    "prototype",
    "reward_stdp",
    "stdp",
    "triplet_stdp",
]
