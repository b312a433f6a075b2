"""Nothing of ours loads data that can run code: pickles, unsafe YAML, text that is evaluated."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from checkout import CHECKOUT

_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
_CALLS = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
_CALLS |= {"eval", "exec", "pandas.read_pickle", "pd.read_pickle"}
_FLAGS = {"allow_pickle", "shell"}
# The user's own file of Inception's weights, in torch's restricted reader: tensors and no calls.
# The module is there for the name of the error.
_INCEPTION = {
    "dcgan_models/metrics/inception.py: import pickle",
    "dcgan_models/metrics/inception.py: torch.load(weights, map_location='cpu', weights_only=True)",
}


def ways_in(source: str) -> Iterator[str]:
    """Lines in which data might become code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            of = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [*of, *(alias.name for alias in node.names)]
            found = any(name.split(".")[0] in _MODULES for name in names)
        elif isinstance(node, ast.Call):
            flags = {word.arg for word in node.keywords if not _is_false(word.value)}
            found = ast.unparse(node.func) in _CALLS or bool(flags & _FLAGS)
        elif isinstance(node, ast.Attribute):
            found = node.attr in _MODULES
        else:
            continue
        if found:
            yield ast.unparse(node)


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_module_of_ours_loads_code_with_data() -> None:
    found = {
        f"{path.relative_to(CHECKOUT)}: {line}"
        for package in ("dcgan_models", "dcgan_assets")
        for path in sorted((CHECKOUT / package).rglob("*.py"))
        for line in ways_in(path.read_text("utf-8"))
    }
    assert found == _INCEPTION


@pytest.mark.parametrize(
    "line",
    [
        *(
            "import pickle",
            "from pickle import loads",
            "import joblib.hashing",
            "from dill import *",
        ),
        *("torch.load(path)", "torch.load(path, weights_only=False)", "yaml.load(text)"),
        *("np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=wish)", "eval(text)"),
        *("exec(text)", "subprocess.run(line, shell=True)", "sklearn.externals.joblib.load(p)"),
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert list(ways_in(line))


def test_and_nothing_else() -> None:
    assert not list(ways_in("np.load(path, allow_pickle=False); model.eval(); run(['a'])"))
