"""A tiny network that learns, written out synapse by synapse in plain Python: a witness that shares nothing with the package.

One source of given messages, one projection, integrate-and-fire neurons behind it, and a third factor. Written from
facts of Lava's learning engine (magma/core/learning): traces, products, accumulators. Only for what is not drawn by chance.
"""

from dataclasses import dataclass, field


class Rounds(Exception):
    """A product was so large that it was clipped to a value that is rounded by chance."""


WIDTH = {"x0": 1, "y0": 1, "x1": 7, "x2": 7, "y1": 7, "y2": 7, "y3": 7, "w": 9, "d": 9, "t": 9, "c": 8}


def clip(value: int, low: int, high: int) -> int:
    return low if value < low else high if value > high else value


@dataclass
class Neuron:
    """Traces of a neuron: values at the epoch's beginning, messages of the epoch by its steps 1, 2, ..."""

    impulses: dict[str, tuple[int, float | None]]
    graded: str | None = None
    start: dict[str, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)

    def spike(self, step: int, payload: int = 1) -> None:
        if self.sent:
            self.add_all(self.start, self.sent[max(self.sent)], later=True)
        self.sent[step] = payload

    def add_all(self, values: dict[str, int], payload: int, later: bool = False) -> None:
        for name, (impulse, _) in self.impulses.items():
            if name == "x1" and self.graded == "overwrite":
                values[name] = values.get(name, 0) if later else min(payload // 2, 127)
            elif name == "x1" and self.graded == "add":
                values[name] = clip(values.get(name, 0) + payload // 2, 0, 127)
            else:
                values[name] = clip(values.get(name, 0) + impulse, 0, 127)

    def at(self, name: str, step: int) -> int:
        """A trace after a step of the epoch; with tau = 0 nothing outlasts a step."""
        values = dict(self.start)
        tau = self.impulses[name][1]
        for s in range(1, step + 1):
            if tau == 0:
                values[name] = 0
            if self.sent and s == max(self.sent):
                self.add_all(values, self.sent[s])
        return values.get(name, 0)

    def close(self, steps: int) -> None:
        self.start = {name: self.at(name, steps) for name in self.impulses}
        self.sent = {}


def product(one, pre: Neuron, post: Neuron, thirds, old, steps: int, number: int) -> int | None:
    """What a product adds to the accumulator; None where it is not due."""
    if one.dependency == "x0":
        if not pre.sent:
            return None
        when = max(pre.sent)
    elif one.dependency == "y0":
        if not post.sent:
            return None
        when = max(post.sent)
    elif number % 2 ** int(one.dependency[1:]):
        return None
    else:
        when = steps
    result, bits = one.mantissa, 4
    for factor in one.factors:
        bound = 2 ** WIDTH[factor.variable]
        result *= clip(value_of(factor, pre, post, thirds, old, when), -bound, bound - 1)
        bits += WIDTH[factor.variable]
    for _ in range(max(0, bits - 15)):
        result = result // 2
    return clip(result * 2 ** (one.exponent + 7), -(2**15) - 1, 2**15 - 1)


def value_of(factor, pre: Neuron, post: Neuron, thirds, old, when: int) -> int:
    name, value = factor.variable, 0
    if name in ("x0", "y0"):
        value = int(bool(pre.sent if name == "x0" else post.sent))
    elif name in ("w", "d", "t"):
        value = old[name]
    elif name in thirds:
        value = thirds[name][when]
    elif name != "c":
        value = (pre if name[0] == "x" else post).at(name, when)
    value += factor.constant
    return (value > 0) - (value < 0) if factor.sign else value


def learn(rule, synapses, pres, posts, thirds, number: int) -> tuple[list[dict[str, int]], list[int]]:
    """All synapses (pre, post, {w, d, t}) after an epoch, and the targets of those for which something was computed."""
    after, touched = [], []
    for i, j, old in synapses:
        new, due = dict(old), False
        for name in ("w", "d", "t"):
            total = old[name] * 128
            for one in rule.products(f"d{name}"):
                change = product(one, pres[i], posts[j], {n: by[j] for n, by in thirds.items()}, old, rule.epoch, number)
                if change is not None:
                    due, total = True, clip(total + change, -(2**15) - 1, 2**15 - 1)
            if total % 128 and -(2**15) <= total < 2**15 - 128:
                raise Rounds
            limits = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-256, 0)}[rule.sign]
            limits = {"w": limits, "d": (0, 255), "t": (-256, 255)}[name]
            if rule.products(f"d{name}"):
                new[name] = clip(total // 128, *limits)
        after.append(new)
        touched += [j] if due else []
    return after, touched


@dataclass
class Network:
    """`synapses` (pre, post, {w, d, t}); thirds {trace: values sent, (steps, 1 or posts)}, which decay at once or never."""

    rule: object
    synapses: list
    sizes: tuple[int, int]
    threshold: int
    delay: int
    exponent: int = 0
    number: int = 0
    touched: list[int] = field(default_factory=list)

    def run(self, inputs, thirds) -> list[list[int]]:
        """One sample (steps, pres): spikes (steps, posts) of neurons that subtract their threshold. The synapses change."""
        rule, steps = self.rule, len(inputs)
        known = {f.variable for d in ("dw", "dd", "dt") for p in rule.products(d) for f in p.factors}
        known |= {p.dependency for d in ("dw", "dd", "dt") for p in rule.products(d)}
        used = {n: getattr(rule, n) for n in ("x1", "x2", "y1", "y2", "y3") if n in known}
        pres = [Neuron({n: (int(v[0]), v[1]) for n, v in used.items() if n[0] == "x"}, rule.graded) for _ in range(self.sizes[0])]
        own = {n: (int(v[0]), v[1]) for n, v in used.items() if n[0] == "y" and not isinstance(v[0], str)}
        posts = [Neuron(own) for _ in range(self.sizes[1])]
        thirds = {n: values for n, values in thirds.items() if n in used}
        level = {n: [0] * self.sizes[1] for n in thirds}
        seen = {n: [{} for _ in range(self.sizes[1])] for n in thirds}
        potential, spikes = [0] * self.sizes[1], []
        for t in range(steps):
            step = t % rule.epoch + 1
            charge = [0] * self.sizes[1]
            arriving = inputs[t - self.delay] if t >= self.delay else [0] * self.sizes[0]
            for i, j, own_values in self.synapses:
                charge[j] += int(arriving[i]) * own_values["w"] * 2**self.exponent
            fired = []
            for j in range(self.sizes[1]):
                potential[j] = clip(potential[j] + charge[j], -(2**23) + 1, 2**23 - 1)
                fired.append(int(potential[j] >= self.threshold))
                potential[j] -= fired[j] * self.threshold
                if fired[j]:
                    posts[j].spike(step)
            for i in range(self.sizes[0]):
                if arriving[i]:
                    pres[i].spike(step, int(arriving[i]))
            for name, values in thirds.items():
                for j in range(self.sizes[1]):
                    sent = values[t - 1] if t >= 1 else [0] * len(values[0])
                    kept = 0 if getattr(rule, name)[1] == 0 else level[name][j]
                    level[name][j] = clip(kept + int(sent[j if len(sent) > 1 else 0]), -128, 127)
                    seen[name][j][step] = level[name][j]
            spikes.append(fired)
            if step == rule.epoch:
                self.number += 1
                changed, touched = learn(rule, self.synapses, pres, posts, seen, self.number)
                self.synapses = [(i, j, new) for (i, j, _), new in zip(self.synapses, changed, strict=True)]
                self.touched += touched
                for neuron in (*pres, *posts):
                    neuron.close(rule.epoch)
        return spikes
