"""No file's content is ever executed: the packages hold no unpickling, no eval, and no loading that could do either."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for top in ("neuro", "converters", "benchmarks", "examples", "docs") for path in (ROOT / top).rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "code", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__"}


def findings(source: str) -> list[str]:
    """What in a module's text could execute a file's content."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            named = {word.arg: word.value for word in node.keywords}
            what = ast.unparse(node.func)
            pickled, safe = named.get("allow_pickle"), named.get("weights_only")
            if what in CALLS or what.endswith(("read_pickle", "jit.load", "package.PackageImporter")):
                found.append(what)
            if pickled is not None and not (isinstance(pickled, ast.Constant) and pickled.value is False):
                found.append(f"{what} with allow_pickle")
            if what == "torch.load" and not (isinstance(safe, ast.Constant) and safe.value is True):
                found.append("torch.load without weights_only=True")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_executes_what_it_reads(path: Path) -> None:
    assert findings(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "eval(text)", "exec(code)", "numpy.load(path, allow_pickle=True)",
        "torch.load(path)", "torch.load(path, weights_only=False)", "torch.jit.load(path)", "import yaml",
        "np.load(p, allow_pickle=x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(findings(source)) == 1


def test_the_search_lets_harmless_code_be() -> None:
    assert findings("model.eval(); re.compile(x); np.load(p, allow_pickle=False); torch.load(p, weights_only=True)") == []
