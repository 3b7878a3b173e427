"""Ready-made learning rules, each a few products. Rates are powers of two, because the chip has no others; `rule.products("dw")`
says with `Product.scale` what one product really adds.
"""

from __future__ import annotations

from dataclasses import replace

from neuro.learning.rule import LearningRule, Sign
from neuro.learning.terms import EXPONENT, MANTISSA, Factor, Product


def stdp(
    potentiation: int = -2,
    depression: int = -2,
    *,
    impulse: float = 16,
    tau: float | None = 20,
    epoch: int = 1,
    sign: Sign = "mixed",
    seed: int = 0,
) -> LearningRule:
    """Pairwise spike-timing-dependent plasticity: a firing adds 2^potentiation of the trace of arrivals, an arrival takes
    2^depression of the trace of firings. Source: Song et al. 2000; on Loihi: Davies et al. 2018."""
    dw = (_product("y0", "x1", power=potentiation), _product("x0", "y1", power=depression, mantissa=-1))
    return LearningRule(dw, epoch=epoch, x1=(impulse, tau), y1=(impulse, tau), sign=sign, seed=seed)


def triplet_stdp(
    potentiation: int = -1,
    depression: int = -2,
    *,
    impulse: float = 16,
    tau: float | None = 17,
    slow_tau: float | None = 114,
    pair: int = 0,
    epoch: int = 1,
    sign: Sign = "mixed",
    seed: int = 0,
) -> LearningRule:
    """Triplet STDP: potentiation grows with the slow trace of firings, plus `pair`. Source: Pfister and Gerstner 2006.

    Differs from it in: the slow trace is read just after the firing has added to it, so `pair` may be negative.
    """
    together = _product("y0", "x1", Factor("y2", pair), power=potentiation)
    dw = (together, _product("x0", "y1", power=depression, mantissa=-1))
    return LearningRule(dw, epoch=epoch, x1=(impulse, tau), y1=(impulse, tau), y2=(impulse, slow_tau), sign=sign, seed=seed)


def reward_stdp(
    reward: str,
    rate: int = 2,
    *,
    impulse: float = 16,
    tau: float | None = 20,
    forgetting: int = -3,
    epoch: int = 1,
    sign: Sign = "mixed",
    seed: int = 0,
) -> LearningRule:
    """Reward-modulated STDP: pairs of spikes are kept in the tag t, which forgets 2^forgetting of itself an epoch; the weight
    changes by tag times reward, the payload that the population `reward` sends. Source: Izhikevich 2007; Lava's tutorial."""
    dt = (
        _product("y0", "x1", power=-2),
        _product("x0", "y1", power=-2, mantissa=-1),
        _product("u0", "t", power=forgetting, mantissa=-1),
    )
    dw = (_product("u0", "t", "y3", power=rate),)
    return LearningRule(
        dw, dt=dt, epoch=epoch, x1=(impulse, tau), y1=(impulse, tau), y3=(reward, 0), sign=sign, seed=seed
    )  # fmt: skip


def oja(
    rate: int = -3,
    forgetting: int = 0,
    *,
    impulse: float = 16,
    tau: float | None = 20,
    epoch: int = 1,
    sign: Sign = "mixed",
    seed: int = 0,
) -> LearningRule:
    """Oja's rule, y (x - y w), at each firing: w settles where 2^rate x1 = 2^(forgetting - 5) y1 w. Source: Oja 1982."""
    dw = (_product("y0", "x1", power=rate), _product("y0", "w", "y1", power=forgetting, mantissa=-1))
    return LearningRule(dw, epoch=epoch, x1=(impulse, tau), y1=(impulse, tau), sign=sign, seed=seed)


def pes(
    error: str,
    rate: int = 0,
    *,
    impulse: float = 16,
    tau: float | None = 20,
    error_tau: float | None = 0,
    epoch: int = 1,
    seed: int = 0,
) -> LearningRule:
    """Prescribed error sensitivity: the weight falls by error times activity; `error` is a population that sends errors.

    Source: MacNeil and Eliasmith 2011; nengo-loihi's PES. Differs from nengo-loihi in: errors are payloads, not spikes.
    """
    dw = (_product("u0", "x1", "y1", power=rate, mantissa=-1),)
    return LearningRule(dw, epoch=epoch, x1=(impulse, tau), y1=(error, error_tau), seed=seed)


def delta(
    target: str,
    rate: int = 0,
    *,
    impulse: float = 16,
    tau: float | None = 20,
    target_tau: float | None = 0,
    epoch: int = 1,
    sign: Sign = "mixed",
    seed: int = 0,
) -> LearningRule:
    """Delta rule, (target - y) x, at each arrival: y is the trace of firings, the target what a population sends.

    Source: Widrow and Hoff 1960.
    """
    dw = (_product("x0", "x1", "y2", power=rate), _product("x0", "x1", "y1", power=rate, mantissa=-1))
    return LearningRule(dw, epoch=epoch, x1=(impulse, tau), y1=(impulse, tau), y2=(target, target_tau), sign=sign, seed=seed)


def prototype(teacher: str, rate: int = -2, *, epoch: int = 1, sign: Sign = "mixed", seed: int = 0) -> LearningRule:
    """Self-normalising prototype learning: while `teacher` sends 32, the weights of a neuron move 2^rate of the way to the
    payloads of their sources, which are at most 255 and are halved. Other payloads move them in proportion; so 32 is one lesson.

    Source: the rule of Hajizada et al. 2024 (CLP-SNN), w += a y (x - w). Differs from it in: no neuron is allocated by itself.
    """
    dw = (_product("u0", "x1", "y3", power=rate - 2), _product("u0", "w", "y3", power=rate, mantissa=-1))
    return LearningRule(dw, epoch=epoch, x1=(0, 0), y3=(teacher, 0), graded="overwrite", sign=sign, seed=seed)


def _product(dependency: str, *factors: Factor | str, power: int, mantissa: int = 1) -> Product:
    """mantissa * 2^power, as a large mantissa times a small power: a product is rounded down when it is shifted to 15 bits,
    ahead of its power of two, so that with a small mantissa what is left are whole weights, each change half of one too low."""
    product = Product(dependency, tuple(f if isinstance(f, Factor) else Factor(f) for f in factors), mantissa, power)
    lost = product.shift
    while lost > 0 and MANTISSA[0] <= 2 * mantissa <= MANTISSA[1] and power > EXPONENT[0]:
        mantissa, power, lost = 2 * mantissa, power - 1, lost - 1
    return replace(product, mantissa=mantissa, exponent=power)
