"""Change the code in small ways and see whether the tests notice: python tests/mutants.py [--each 20] [--seed 0] [--module M].

A sample of all possible mutants of each module, each run with the module's own fast tests; kernels as plain Python. A mutant
is killed when a test fails, when nothing can be imported, or when the tests take three seconds more than three times as long
as without it (processor time; those are counted apart too, because a slow mutant is not always a wrong one).
--again FILE ... tries the survivors of earlier runs once more and prints all their modules as one run.

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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # a command, run from anywhere

ENGINE = "tests/test_engine_small.py"
COUNTING = (
    "tests/test_chip_counts.py",
    *(
        f"tests/test_chip_emulator.py::{name}"
        for name in (
            "test_a_bill_reckoned_by_hand",
            "test_sums_over_cores_equal_the_run",
            "test_packets_and_hops_equal_a_plain_count",
            "test_another_chip_prices_the_same_counts",
            "test_two_compartments_update_twice",
            "test_packets_that_branch_are_sent_once_and_cross_a_link_once",
        )
    ),
    "tests/test_laws_chips.py::test_counts_of_cores_add_over_samples",
    "tests/test_laws_chips.py::test_hops_are_loads_of_links",
)
NEURONS = (
    "base",
    "integers",
    "source",
    "integrate_and_fire",
    "signed",
    "wait",
    "radix",
    "graded",
    "max_pool",
    "cuba_lif",
    "user",
)
NEURONS += ("readout",)
TESTS: dict[str, tuple[str, ...]] = {  # those that notice most come first
    "neuro/bill.py": ("tests/test_bill.py",),
    **{
        f"neuro/neurons/{name}.py": (
            "tests/test_neurons.py",
            "tests/test_reference.py",
            "tests/test_laws_neurons.py",
            "tests/test_refusals.py",
            "tests/test_network.py",
            "tests/test_laws_values.py",
            "tests/test_extending.py",
            ENGINE,
        )
        for name in NEURONS
    },
    "neuro/engine/reference.py": ("tests/test_reference.py", "tests/test_records.py", ENGINE),
    "neuro/engine/plan.py": (ENGINE, "tests/test_refusals.py"),
    "neuro/engine/layout.py": ("tests/test_engine_packing.py", ENGINE),
    "neuro/engine/pack.py": ("tests/test_engine_packing.py", ENGINE),
    "neuro/engine/kernels.py": (ENGINE,),
    "neuro/engine/advance.py": (ENGINE,),
    "neuro/engine/fire.py": (ENGINE,),
    "neuro/engine/sent.py": ("tests/test_engine_pools.py", ENGINE),
    "neuro/engine/deliver.py": (ENGINE,),
    "neuro/engine/live.py": (ENGINE,),
    "neuro/engine/event.py": (ENGINE, "tests/test_records.py", "tests/test_refusals.py"),
    "neuro/engine/workspace.py": (ENGINE, "tests/test_session.py"),
    "neuro/engine/session.py": ("tests/test_session.py", ENGINE),
    "neuro/engine/streaming.py": ("tests/test_session.py",),
    "neuro/engine/records.py": ("tests/test_records.py", "tests/test_reference.py", "tests/test_refusals.py", ENGINE),
    "neuro/chip/cutting/partition.py": (
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
    "neuro/chip/packets/noc.py": (
        "tests/test_chip_schedules.py",
        *(
            f"tests/test_chip_noc.py::{name}"
            for name in (
                "test_packets_out_of_range_are_refused",
                "test_meshes_without_room_or_time_are_refused",
                "test_as_many_doors_as_an_integer_has_bits_are_one_too_many",
            )
        ),
    ),
    "neuro/chip/packets/drain.py": (
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
    "neuro/chip/tally.py": COUNTING,
    "neuro/chip/counts.py": COUNTING,
    "neuro/chip/pricing.py": (
        "tests/test_chip_pricing.py",
        "tests/test_chip_emulator.py::test_a_bill_reckoned_by_hand",
        "tests/test_chip_emulator.py::test_another_chip_prices_the_same_counts",
    ),
}
ALL_PLAIN = ("kernels", "advance", "fire", "store", "session")  # kernels of the engine call each other
KERNELS = {f"neuro/engine/{name}.py" for name in ALL_PLAIN}
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


def places(text: str) -> list[dict[str, Any]]:
    """What each mutant of a module changes: its line, the change, and a name that holds while the lines around it move.

    The name is made of the function, the text of the line and the change; equal ones in one function are numbered.
    """
    tree, lines, named = ast.parse(text), text.splitlines(), []
    function: dict[ast.AST, str] = {}
    for outer in ast.walk(tree):  # from the outside in, so that the innermost stays
        if isinstance(outer, ast.FunctionDef | ast.ClassDef):
            owner = f"{function[outer]}.{outer.name}" if outer in function else outer.name
            function |= dict.fromkeys(ast.walk(outer), owner)
    seen: Counter[str] = Counter()
    for node, how in sites(tree):
        line, before = getattr(node, "lineno", 0), ast.unparse(node).splitlines()[0]
        after = "" if how == "left out" else ast.unparse(_changed(copy.deepcopy(node), how)).splitlines()[0]
        change = f"{before} -> {after}"[:160] if after else f"without {before}"
        name = f"{function.get(node, 'module')}: {lines[line - 1].strip()}: {change}"
        seen[name] += 1
        named.append({"line": line, "change": change, "name": name if seen[name] == 1 else f"{name} ({seen[name]})"})
    return named


def mutant(tree: ast.Module, number: int) -> ast.Module:
    """The tree with its site `number` changed."""
    tree = copy.deepcopy(tree)
    node, how = list(sites(tree))[number]
    if how == "left out":
        _replace(tree, node, ast.copy_location(ast.Pass(), node))
    else:
        _changed(node, how)
    return ast.fix_missing_locations(tree)


def _changed(node: Any, how: str) -> Any:
    """The node, changed in place."""
    if how == "comparison":
        node.ops = [OTHER[type(node.ops[0])]()]
    elif how == "operator":
        node.op = OTHER[type(node.op)]()
    elif how == "constant":
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif how == "condition":
        node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
    elif isinstance(node.func, ast.Attribute):
        node.func.attr = NAMES[node.func.attr]
    else:
        node.func.id = NAMES[node.func.id]
    return node


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
    if -code in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM):
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
        signal.alarm(60 + 10 * int(limit_s))  # one that waits for ever takes no processor time
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (4 << 30), taken + (4 << 30)))
        path = str(ROOT / module)
        _install(path, compile(tree, path, "exec") if tree else None, everything=module in KERNELS)  # the project's own code
        import pytest

        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *_QUIET, *TESTS[module]]))
    except BaseException:  # noqa: BLE001  # a mutant may do anything
        traceback.print_exc()
    finally:
        os._exit(code)


def _install(path: str, code: Any, *, everything: bool) -> None:
    """Let the import of this file yield this code, its kernels, or those of every file, as plain Python.

    What is compiled cannot be changed: it is read from the disk.
    """
    from numba import config

    config.DISABLE_JIT = int(everything)

    loader: Any = importlib.machinery.SourceFileLoader
    usual, execute = loader.get_code, loader.exec_module

    def get_code(self: Any, name: str) -> Any:
        return code if code and self.path == path else usual(self, name)

    def exec_module(self: Any, module: Any) -> None:
        before, config.DISABLE_JIT = config.DISABLE_JIT, int(everything or self.path == path)
        try:
            execute(self, module)
        finally:
            config.DISABLE_JIT = before

    loader.get_code, loader.exec_module = get_code, exec_module


def examine(module: str, each: int, seed: int) -> dict[str, Any]:
    """A sample of a module's mutants, and what became of them."""
    text = (ROOT / module).read_text()
    total = len(places(text))
    chosen = sorted(random.Random(f"{seed} {module}").sample(range(total), total)[:each])  # a larger sample holds the smaller
    row = {"module": module, "possible": total, "mutants": len(chosen), "killed": 0, "too long": 0, "survivors": []}
    return _tried(row, text, chosen)


def again(row: dict[str, Any]) -> dict[str, Any]:
    """The row of an earlier run after its survivors met the tests of today; the module must not have changed since."""
    text = (ROOT / row["module"]).read_text()
    number = {place["name"]: i for i, place in enumerate(places(text))}
    survivors = [one["name"] for one in row["survivors"]]
    if len(number) != row["possible"] or not number.keys() >= set(survivors):
        raise SystemExit(f"{row['module']} has changed since; examine it anew")
    return _tried(row | {"survivors": []}, text, [number[name] for name in survivors])


def _tried(row: dict[str, Any], text: str, numbers: list[int]) -> dict[str, Any]:
    """The row with what became of these mutants; those tried before stay as they are."""
    module, tree, verdicts, what = row["module"], ast.parse(text), json.loads(LOOKED_AT.read_text()), places(text)
    limit_s = _limit_s(module) if numbers else 0
    fates = {number: trial(module, mutant(tree, number), limit_s)[0] for number in numbers}
    left = [number for number, fate in fates.items() if fate == "survived"]
    survivors = [what[n] | {"verdict": verdicts.get(f"{module}, {what[n]['name']}", "not looked at")} for n in left]
    return row | {
        "killed": row["mutants"] - len(left),
        "too long": row["too long"] + list(fates.values()).count("too long"),
        "survivors": survivors,
    }


def _limit_s(module: str) -> float:
    """Processor time that a mutant gets. The first run without any change may have to compile; the second is the measure."""
    for _ in range(2):
        fate, seconds = trial(module, None, 600)
        if fate != "survived":
            raise SystemExit(f"the tests of {module} fail without any change ({fate})")
    return 3 + 3 * seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path, nargs="+", help="JSON of earlier runs, whose survivors alone are tried again")
    parser.add_argument("--module", action="append", choices=list(TESTS))
    options = parser.parse_args()
    os.environ |= {"HYPOTHESIS_EXAMPLES": "6", "OMP_NUM_THREADS": "1"}
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    found = [row for file in options.again or () for row in json.loads(file.read_text())["modules"]]
    rows = []
    for module in [row["module"] for row in found] or options.module or list(TESTS):
        old = next((row for row in found if row["module"] == module), None)
        rows.append(again(old) if old else examine(module, options.each, options.seed))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)  # noqa: T201  # a command
    print(json.dumps({"seed": options.seed, "modules": rows}, indent=1))  # noqa: T201  # a command


if __name__ == "__main__":
    main()
