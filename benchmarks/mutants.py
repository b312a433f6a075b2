"""Random mutants of modules, and which of them their tests kill.

    python -m benchmarks.mutants [MODULE ...] [-n 40] [--seed 0]

MODULE is a name of `TESTS`, such as `metrics.gate`; without one, all are taken. One comparison,
number, operation or condition is changed at a time, in a copy of the checkout, and the module's
fast tests are run. A mutant is killed when they fail; what loops forever is ended by a limit on
processor time. What survives is printed with its line: either a test is missing, or the mutant is
equivalent, that is, does what the module does. Which are is for a reader to say; those found so
far are in docs/benchmarks.md. One process at a time, forked from one that has loaded the
libraries: POSIX only.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "dcgan_models"
# Of each module, under tests/.
TESTS = {
    "metrics.gate": ("dcgan_models/metrics/test_gate.py",),
    "metrics.intervals": ("dcgan_models/metrics/test_intervals.py",),
    "metrics.kernel": ("dcgan_models/metrics/test_feature_distances.py",),
    "metrics.frechet": ("dcgan_models/metrics/test_feature_distances.py",),
    "metrics.wasserstein": ("dcgan_models/metrics/test_wasserstein.py",),
    "metrics.memorisation": ("dcgan_models/metrics/test_memorisation.py",),
    "metrics.twins": ("dcgan_models/metrics/test_twins.py",),
    "metrics.calibration": ("dcgan_models/metrics/test_calibration.py",),
    "dedup.codes": ("dcgan_models/dedup/test_codes.py",),
    "dedup.confirming": ("benchmarks/test_confirming.py",),
    "dedup.grouping": ("dcgan_models/dedup/test_grouping.py",),
    "internals.forgetting": ("dcgan_models/internals/test_forgetting.py",),
    "classification.features": ("dcgan_models/classification/test_features.py",),
    "classification.svm": ("dcgan_models/classification/test_svm.py",),
}

# Loaded once, before the forks: most of the time of a short test goes into these.
_LIBRARIES = (
    *("hypothesis", "pandas", "pyarrow.parquet", "pytest", "scipy.stats", "sklearn.svm"),
    *("torch._dynamo", "torchmetrics", "torchvision", "xdist"),
)
# Of processor time: against mutants that loop for ever, many times what any of the tests takes.
_SECONDS = 60
_MEMORY = 12 << 30  # against those that allocate without end

Change = Callable[[Any], None]

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
# Of a checkout in which something was made.
_NOT_COPIED = (".*", "data", "models", "results", "runs", "dvc-remote", "shared", "site")
_CALLED = {"min": "max", "max": "min"}


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """All changes of one place: its line, what was done there, and the tree."""
    for number, node in enumerate(ast.walk(tree)):
        for words, change in _changes(node):
            changed = copy.deepcopy(tree)
            change(list(ast.walk(changed))[number])
            yield getattr(node, "lineno", 1), words, changed


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What may be changed of a node: words, and a function that does it to its copy."""
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in _COMPARED:
            compared = _COMPARED[type(first)]
            yield (
                f"{ast.unparse(node)}: {compared.__name__}",
                lambda n: n.ops.__setitem__(0, compared()),
            )
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            computed = _COMPUTED[type(op)]
            yield (
                f"{ast.unparse(node)}: {computed.__name__}",
                lambda n: setattr(n, "op", computed()),
            )
        case ast.BoolOp(op=joined):
            other = ast.Or if isinstance(joined, ast.And) else ast.And
            yield f"{ast.unparse(node)}: {other.__name__}", lambda n: setattr(n, "op", other())
        case ast.UnaryOp(op=ast.USub()):
            yield f"{ast.unparse(node)}: without it", lambda n: setattr(n, "op", ast.UAdd())
        case ast.UnaryOp(op=ast.Not() as op):
            yield (
                f"{ast.unparse(node)}: twice",
                lambda n: setattr(n, "operand", ast.UnaryOp(op, n.operand)),
            )
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            larger = value + 1 if value in {0, 1} else type(value)(value * 1.5)
            yield f"{value}: {larger}", lambda n: setattr(n, "value", larger)
        case ast.Name(id=name) if name in _CALLED:
            yield f"{name}: {_CALLED[name]}", lambda n: setattr(n, "id", _CALLED[name])


def passes(place: Path, module: Path, text: str, tests: list[str]) -> bool:
    """Whether the tests pass in a copy of the checkout with this text in the module's place."""
    (place / module).write_text(text, encoding="utf-8")
    tested = multiprocessing.get_context("fork").Process(target=_test, args=(place, tests))
    tested.start()
    tested.join()
    return tested.exitcode == 0


def _test(place: Path, tests: list[str]) -> None:
    """Run the tests in this process and end it: with 0 if all pass."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.chdir(place)
    sys.path.insert(0, str(place))
    os.environ |= {"PYTHONPATH": str(place)}
    options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"]
    os._exit(int(pytest.main([*options, *(f"tests/{test}" for test in tests)])))


def measure(place: Path, name: str, n: int, seed: int) -> None:
    """Draw mutants of a module, run its tests on each, print what survives and how many do not."""
    began = time.monotonic()
    module = Path(PACKAGE, *name.split(".")).with_suffix(".py")
    tests = list(TESTS[name])
    source = (ROOT / module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    if not passes(place, module, ast.unparse(tree), tests):
        sys.exit(f"{name}: the tests fail on the module as it is")
    if passes(place, module, "raise RuntimeError", tests):
        sys.exit(f"{name}: the tests pass without the module")
    every = list(mutants(tree))
    drawn = random.Random(seed).sample(every, min(n, len(every)))  # noqa: S311
    alive = 0
    for line, words, changed in drawn:
        if passes(place, module, ast.unparse(changed), tests):
            alive += 1
            print(f"survives: {name}:{line}: {words}   {source.splitlines()[line - 1].strip()}")
    (place / module).write_text(source, encoding="utf-8")
    print(
        f"{name}: {len(drawn)} of {len(every)} drawn, {len(drawn) - alive} killed, {alive} "
        f"survive, {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> None:
    """Measure the modules that were asked for, in one copy of the checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="*", help=f"of {', '.join(TESTS)}; all without")
    parser.add_argument("-n", type=int, default=40, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if unknown := set(asked.module) - set(TESTS):
        parser.error(f"{', '.join(sorted(unknown))}: allowed are {', '.join(TESTS)}")
    # As tests/conftest.py has them; read when torch is loaded, and before the tests find it there.
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for library in _LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkout"
        shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        for name in asked.module or TESTS:
            measure(place, name, asked.n, asked.seed)


if __name__ == "__main__":
    main()
