"""Change the code in small ways and see whether the tests notice: python tests/mutants.py [--each 30] [--seed 0] [--module M].

A sample of all possible mutants of each module, each run with the module's own fast tests; kernels as plain Python. A mutant
is killed when a test fails, when nothing can be imported, or when the tests take ten times as long as without it.

Why not an existing tool: mutmut leaves decorated functions out, and every kernel is decorated; cosmic-ray starts Python, torch
and numba anew for each mutant, which takes longer than the tests. Here libraries are imported once, every mutant is a fork.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # a command, run from anywhere
os.environ |= {"HYPOTHESIS_EXAMPLES": "6", "OMP_NUM_THREADS": "1"}

ENGINE = ("tests/test_engine_small.py",)
TESTS: dict[str, tuple[str, ...]] = {
    "neuro/neurons.py": (*ENGINE, "tests/test_refusals.py", "tests/test_reference.py", "tests/test_network.py"),
    "neuro/engine/plan.py": (*ENGINE, "tests/test_refusals.py"),
    "neuro/engine/pack.py": ("tests/test_engine_packing.py", *ENGINE),
    "neuro/engine/kernels.py": ENGINE,
    "neuro/engine/advance.py": ENGINE,
    "neuro/engine/fire.py": ENGINE,
    "neuro/chip/partition.py": (
        "tests/test_chip_partition.py",
        *(
            f"tests/test_chip_placement.py::{name}"
            for name in (
                "test_auto_takes_the_smallest_board",
                "test_at_the_limit_is_accepted_and_one_over_refused",
                "test_memory_for_everything_together_is_a_limit",
                "test_random_networks_keep_every_limit_of_random_chips",
            )
        ),
    ),
    "neuro/chip/drain.py": (
        "tests/test_chip_schedules.py",
        *(
            f"tests/test_chip_noc.py::{name}"
            for name in (
                "test_a_lone_packet_takes_its_hops_and_nothing_more",
                "test_a_full_queue_holds_the_packets_behind_it",
                "test_a_chip_boundary_adds_its_own_time_and_service",
                "test_packets_out_of_range_are_refused",
            )
        ),
    ),
    "neuro/bill.py": ("tests/test_bill.py",),
}
KERNELS = {f"neuro/engine/{name}.py" for name in ("kernels", "advance", "fire")} | {"neuro/chip/drain.py"}
_QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # torch has imported a part of hypothesis already
LIBRARIES = (
    "numpy",
    "scipy.sparse",
    "scipy.signal",
    "numba",
    "torch",
    "torch.fx",
    "hypothesis",
    "hypothesis.extra.numpy",
    "pytest",
)
OTHER: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
LOOKED_AT = Path(__file__).parent / "mutants.json"  # survivors and what was found: equivalent, or why it lives
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}


def sites(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """What can be changed: a node, and how."""
    for node in _code(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OTHER:
            yield node, "comparison"
        elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in OTHER:
            yield node, "operator"
        elif isinstance(node, ast.Constant) and type(node.value) in (int, bool, float):
            yield node, "constant"
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node, "condition"
        elif isinstance(node, ast.Call) and _called(node) in NAMES:
            yield node, "function"
        if isinstance(node, ast.AugAssign | ast.Raise | ast.Continue) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield node, "left out"


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that does something: no annotations, decorators, imports, texts of errors."""
    yield tree
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.Raise | ast.Import | ast.ImportFrom):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from _code(inner)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def mutant(tree: ast.Module, number: int) -> tuple[ast.Module, dict[str, Any]]:
    """The tree with its site `number` changed, and what was changed."""
    changed = copy.deepcopy(tree)
    node, how = list(sites(changed))[number]
    line, before = getattr(node, "lineno", 0), ast.unparse(node).splitlines()[0]
    if how == "left out":
        _replace(changed, node, ast.copy_location(ast.Pass(), node))
        return changed, {"line": line, "change": f"without {before}"}
    if how == "comparison":
        node.ops = [OTHER[type(node.ops[0])]()]  # type: ignore[attr-defined]
    elif how == "operator":
        node.op = OTHER[type(node.op)]()  # type: ignore[attr-defined]
    elif how == "constant":
        value = node.value  # type: ignore[attr-defined]
        node.value = not value if isinstance(value, bool) else value + 1  # type: ignore[attr-defined]
    elif how == "condition":
        node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)  # type: ignore[attr-defined]
    elif isinstance(node.func, ast.Attribute):  # type: ignore[attr-defined]
        node.func.attr = NAMES[node.func.attr]  # type: ignore[attr-defined]
    else:
        node.func.id = NAMES[node.func.id]  # type: ignore[attr-defined]
    return ast.fix_missing_locations(changed), {"line": line, "change": f"{before} -> {ast.unparse(node).splitlines()[0]}"[:160]}


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and any(item is old for item in value):
                value[:] = [new if item is old else item for item in value]


def trial(module: str, tree: ast.Module | None, limit_s: float) -> tuple[str, float]:
    """Run the module's tests on a changed tree in a fork: "killed", "survived" or "too long", and the processor time."""
    process = os.fork()
    if process == 0:
        _child(module, tree, limit_s)
    _, status, used = os.wait4(process, 0)
    code, seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return "too long", seconds
    return "survived" if code == 0 else "killed", seconds


def _child(module: str, tree: ast.Module | None, limit_s: float) -> None:
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(2 if tree is None else quiet, 1)  # what the unchanged code's tests say is shown
        os.dup2(2 if tree is None else quiet, 2)
        os.chdir(ROOT)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 5))
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (4 << 30), taken + (4 << 30)))
        import numba

        numba.config.DISABLE_JIT = int(module in KERNELS)  # what is compiled cannot be changed; the rest is read from the disk
        if tree is not None:
            _install(str(ROOT / module), compile(tree, str(ROOT / module), "exec"))  # the project's own code
        import pytest

        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *_QUIET, *TESTS[module]]))
    except BaseException:  # noqa: BLE001  # a mutant may do anything
        traceback.print_exc()
    finally:
        os._exit(code)


def _install(path: str, code: Any) -> None:
    """Let the import of this file yield this code."""
    loader = importlib.machinery.SourceFileLoader
    usual = loader.get_code

    def get_code(self: Any, name: str) -> Any:
        return code if self.path == path else usual(self, name)

    loader.get_code = get_code  # type: ignore[method-assign]


def examine(module: str, each: int, seed: int) -> dict[str, Any]:
    """A sample of a module's mutants, and what became of them."""
    tree = ast.parse((ROOT / module).read_text())
    total = len(list(sites(tree)))
    verdicts: dict[str, str] = json.loads(LOOKED_AT.read_text())
    chosen = sorted(random.Random(f"{seed} {module}").sample(range(total), min(each, total)))
    sound, seconds = trial(module, None, 600)
    if sound != "survived":
        raise SystemExit(f"the tests of {module} fail without any change ({sound})")
    row: dict[str, Any] = {
        "module": module,
        "possible": total,
        "mutants": len(chosen),
        "killed": 0,
        "too long": 0,
        "survivors": [],
    }
    for number in chosen:
        changed, what = mutant(tree, number)
        fate, _ = trial(module, changed, 30 + 10 * seconds)
        if fate == "survived":
            row["survivors"].append(what | {"verdict": verdicts.get(f"{module}: {what['change']}", "not looked at")})
        row["killed"] += fate != "survived"
        row["too long"] += fate == "too long"
    return row


def again(row: dict[str, Any]) -> dict[str, Any]:
    """The row of an earlier run after its survivors met the tests of today; the module must not have changed."""
    module, tree = row["module"], ast.parse((ROOT / row["module"]).read_text())
    everything = [mutant(tree, number) for number in range(len(list(sites(tree))))] if row["survivors"] else []
    verdicts, left = json.loads(LOOKED_AT.read_text()), []
    for old in row["survivors"]:
        changed = next(made for made, what in everything if what == {"line": old["line"], "change": old["change"]})
        if trial(module, changed, 100)[0] == "survived":
            left.append(old | {"verdict": verdicts.get(f"{module}: {old['change']}", "not looked at")})
    return row | {"survivors": left, "killed": row["mutants"] - len(left)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path, help="an earlier run's JSON, whose survivors alone are tried again")
    parser.add_argument("--module", action="append", choices=list(TESTS))
    options = parser.parse_args()
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    rows = []
    if options.again:
        rows = [again(row) for row in json.loads(options.again.read_text())["modules"]]
        print(json.dumps({"seed": options.seed, "modules": rows}, indent=1))  # noqa: T201  # a command
        return
    for module in options.module or list(TESTS):
        rows.append(examine(module, options.each, options.seed))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)  # noqa: T201  # a command
    print(json.dumps({"seed": options.seed, "modules": rows}, indent=1))  # noqa: T201  # a command


if __name__ == "__main__":
    main()
