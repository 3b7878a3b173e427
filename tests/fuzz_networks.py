"""Convert random torch networks and check what is promised: python tests/fuzz_networks.py [--count 5000] [--minutes 60]
[--seed 0] [--shrink SEED] [--json].

Every seed is one network with its samples and options (`tests/drawing.py`), checked by `tests/promises.py`. A failure is a
broken promise, an exception or warning other than a refusal, a refusal without place, fact and remedy, or more processor time
than LIMIT_S after the first networks. --shrink takes steps and options away while a seed fails in the same way, and prints a
script that shows the failure without these files.
"""

from __future__ import annotations

import argparse
import collections
import copy
import json
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a command, run from anywhere

import numpy as np
import torch

from neuro.errors import NeuroError
from tests.drawing import drawn
from tests.drawn import OPTIONAL, Program, Step, Unfit, network_of, reproduction, without
from tests.promises import Broken, Findings, check

LIMIT_S = 20.0  # of processor time that one network may take
WITHOUT_LIMIT = 50  # of the first networks: kernels may have to be compiled
_SIMPLER: dict[str, Any] = {"seed": 0, "count": 8, "data": "unit"}
_EASIER = {"correct_bias": False, "threshold": "max", "weight_bits": 8, "potential_bits": 24, "input": "auto"}


class TooLong(BaseException):
    """A network took more processor time than it may."""


def _stop(*_: Any) -> None:
    raise TooLong


def outcome(program: Program, limit_s: float = 0) -> tuple[str, str, Findings]:
    """What came of a program: "passed", "refused: ..." or "FAILED ...", more words, and how near each check was.

    `limit_s`: of processor time; 0: as long as it takes.
    """
    before = signal.signal(signal.SIGPROF, _stop) if limit_s else None
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        return _outcome(program)
    except TooLong as late:
        place = [f"{Path(f.filename).stem}.{f.name}" for f in traceback.extract_tb(late.__traceback__) if _own(f.filename)]
        return (
            f"FAILED takes too long in {place[1] if len(place) > 1 else 'convert'}",
            f"more than {limit_s:g} s of processor time",
            Findings(),
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if limit_s:
            signal.signal(signal.SIGPROF, before)


def _own(filename: str) -> bool:
    return "/converters/" in filename or "/neuro/" in filename


def _outcome(program: Program) -> tuple[str, str, Findings]:
    try:
        net, x = network_of(program)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Using padding='same'")
            found = check(net, x, program["how"])
            return "passed, with a warning of accuracy" if found.warned else "passed", found.warned, found
    except Broken as broken:
        return f"FAILED {broken.kind}", broken.said, Findings()
    except NeuroError as error:
        if not all(part.strip() for part in (error.where, error.fact, error.remedy)):
            return "FAILED refusal without place, fact or remedy", str(error), Findings()
        if "saturates" in error.fact:
            return "FAILED saturates on the samples it was calibrated on", str(error), Findings()
        return f"refused: {_plain(error.fact)}", str(error), Findings()
    except Unfit:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a failure
        place = [f for f in traceback.extract_tb(error.__traceback__) if _own(f.filename)]
        at = f" in {Path(place[-1].filename).name}, {place[-1].name}" if place else ""
        return f"FAILED {type(error).__name__}{at}", str(error)[:200], Findings()


def _plain(text: str) -> str:
    return re.sub(r"'[^']*'|\([^)]*\)|[-+0-9.e]*[0-9][-+0-9.e]*", "", text)[:70]


def shrunk(program: Program, limit: int = 400) -> Program:
    """The program with as few steps and options as still fail in the same way."""
    kind = outcome(program, LIMIT_S)[0]
    limit_s = 4 if "takes too long" in kind else LIMIT_S
    tries, smaller = 0, True
    while smaller:
        smaller = False
        for candidate in _shorter(program):
            tries += 1
            if tries > limit:
                return program
            try:
                if outcome(candidate, limit_s)[0] == kind:
                    program, smaller = candidate, True
                    break
            except Unfit:
                continue
    return program


def _shorter(program: Program) -> Iterator[Program]:
    """Programs with one thing less: steps, options of the conversion, then options of steps and sizes."""
    for k in range(len(program["steps"]), 0, -1):
        if not any(step.get("of") == k for step in program["steps"]):
            yield without(program, k)
    for key, value in _EASIER.items():
        if program["how"].get(key, value) != value:
            yield _changed(program, ("how", key), value)
    for key, value in _SIMPLER.items():
        if program[key] != value and not (key == "count" and program[key] < value):
            yield _changed(program, (key,), value)
    for k, step in enumerate(program["steps"]):
        yield from _plainer(program, k, step)
    for i, n in enumerate(program["shape"]):
        if n > 1:
            yield _changed(program, ("shape", i), n - 1)


def _plainer(program: Program, k: int, step: Step) -> Iterator[Program]:
    """Programs with one option or size of step k less."""
    for key in sorted(OPTIONAL & set(step)):
        yield _changed(program, ("steps", k, key))
    for key, least in (("kernel", 1), ("sides", 0)):
        for i, n in enumerate(step.get(key, ())):
            if n != least:
                yield _changed(program, ("steps", k, key, i), n - 1 if n > least else n + 1)
    if step.get("out", 1) > 1:
        yield _changed(program, ("steps", k, "out"), step["out"] // 2)


def _changed(program: Program, path: tuple[Any, ...], *value: Any) -> Program:
    """The program with another value at a path, or without what is there."""
    changed = copy.deepcopy(program)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    if value:
        place[path[-1]] = value[0]
    else:
        del place[path[-1]]
    return changed


_SHOW = """made = converters.convert(net, x, **how)
with torch.no_grad():
    wanted = net(torch.as_tensor(x)).numpy().reshape(len(x), -1)
got = neuro.run(made.network, x).logits
print("error", np.sqrt(((got - wanted) ** 2).mean()), "outputs vary by", wanted.std(0).mean())
print(got[0][:6], wanted[0][:6])"""


def script(program: Program) -> str:
    """A script that shows a program's failure without the tests."""
    return reproduction(program, _SHOW)


class Tally:
    """Counts of outcomes, the first seed of each, and the ratios of checks that passed."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.first: dict[str, int] = {}
        self.ratios: dict[str, list[float]] = collections.defaultdict(list)

    def add(self, seed: int, what: str, found: Findings) -> None:
        self.outcomes[what] += 1
        self.first.setdefault(what, seed)
        for check_name, ratio in found.ratios.items():
            self.ratios[check_name].append(ratio)

    def quantiles(self) -> dict[str, list[float]]:
        """0.5, 0.9, 0.99 and 1 of error over bound, check by check."""
        return {k: [float(f"{q:.3g}") for q in np.quantile(v, (0.5, 0.9, 0.99, 1))] for k, v in sorted(self.ratios.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first of `count` seeds")
    parser.add_argument("--shrink", type=int, metavar="SEED")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.shrink is not None:
        program = shrunk(drawn(options.shrink))
        print("#", *outcome(program, LIMIT_S)[:2], "\n#", json.dumps(program), "\n", script(program))  # noqa: T201  # a command
        return
    tally, until, seed = Tally(), time.monotonic() + 60 * options.minutes, options.seed
    while seed < options.seed + options.count and time.monotonic() < until:
        first = seed < options.seed + WITHOUT_LIMIT
        what, said, found = outcome(drawn(seed), 0 if first else LIMIT_S)
        if what.startswith("FAILED"):
            print(seed, what, said, file=sys.stderr, flush=True)  # noqa: T201  # a command
        tally.add(seed, what, found)
        seed += 1
    told = {
        "networks": seed - options.seed,
        "first seed": options.seed,
        "outcomes, with a first seed": {what: (n, tally.first[what]) for what, n in tally.outcomes.most_common()},
        "error over bound (50, 90, 99, 100 %)": tally.quantiles(),
    }
    print(json.dumps(told, indent=None if options.json else 1))  # noqa: T201  # a command
    sys.exit(any(what.startswith("FAILED") for what in tally.outcomes))


if __name__ == "__main__":
    main()
