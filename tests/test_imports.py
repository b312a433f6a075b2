"""The table of what may import what, and that no circle exists anywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dcgan_models", "dcgan_assets", "docs/writers", "benchmarks")

# Each wing, and the wings from which it may import beside itself; the most special name counts.
MAY_IMPORT = {
    "dcgan_models": (),
    "dcgan_assets.sources": ("dcgan_models",),
    "dcgan_assets.params": ("dcgan_assets.sources", "dcgan_models"),
    "dcgan_assets.engine": ("dcgan_assets.params", "dcgan_models"),
    "dcgan_assets.annotate": ("dcgan_assets.engine", "dcgan_models"),
    "dcgan_assets.dvc": ("dcgan_assets.engine", "dcgan_assets.params", "dcgan_models"),
    "dcgan_assets.automation": (
        *("dcgan_assets.engine", "dcgan_assets.params", "dcgan_assets.sources", "dcgan_models"),
    ),
    "dcgan_assets.assets": (
        *("dcgan_assets.annotate.files", "dcgan_assets.engine", "dcgan_assets.params"),
        *("dcgan_assets.sources", "dcgan_models"),
    ),
    "dcgan_assets.definitions": (
        *("dcgan_assets.assets", "dcgan_assets.dvc", "dcgan_assets.automation"),
        "dcgan_assets.engine",
    ),
    "dcgan_assets.cli": (
        *("dcgan_assets.assets", "dcgan_assets.dvc", "dcgan_assets.automation"),
        *("dcgan_assets.annotate", "dcgan_assets.engine", "dcgan_assets.params"),
        *("dcgan_assets.sources", "dcgan_models"),
    ),
    "dcgan_assets.__main__": ("dcgan_assets.cli", "dcgan_assets.engine.collector", "dcgan_models"),
    "docs.writers": ("dcgan_assets", "dcgan_models"),
    "benchmarks": ("dcgan_assets", "dcgan_models"),
}

# Inside a wing: each part, and the parts of the same wing from which it may import beside itself.
# A module is of the part with the most special name, so that `dcgan_assets.sources` is what lies
# in that folder alone.
_WEB = ("sources.web", "sources.reading", "sources")
_TOPICS = ("assets.dedup", "assets.training", "assets.classification")
_READ = ("assets.pictures", "assets.shares")
INSIDE = {
    "sources.reading": (),
    "sources": ("sources.reading",),
    "sources.web": ("sources.reading", "sources"),
    "sources.web.search": _WEB,
    "sources.web.download": _WEB,
    "sources.faces": (*_WEB, "sources.web.download"),
    "params.base": (),
    "params": ("params.base",),
    "params.groups": ("params.base", "params"),
    "params.file": ("params.base", "params", "params.groups"),
    "params.editing": ("params", "params.file"),
    "assets.shares": (),
    "assets.pictures": ("assets.shares",),
    **dict.fromkeys(_TOPICS, _READ),
    "assets.publishing": (*_READ, "assets.training"),
    "assets.internals": (*_READ, *_TOPICS),
    "assets.internals.explorer": (*_READ, "assets.training", "assets.internals"),
    "assets.digits": (*_READ, *_TOPICS, "assets.publishing", "assets.internals.explorer"),
    "assets.report": (*_READ, *_TOPICS, "assets.publishing"),
    "assets.groups": (
        *(*_READ, *_TOPICS, "assets.publishing"),
        *("assets.internals", "assets.internals.explorer"),
    ),
    "assets.catalogue": ("assets.groups", "assets.digits", "assets.report"),
    "assets": (),
}


@cache
def modules() -> dict[str, Path]:
    """Every module of ours, by its dotted name."""
    return {
        path.relative_to(ROOT)
        .with_suffix("")
        .as_posix()
        .replace("/", ".")
        .removesuffix(".__init__"): path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of ours that a module imports anywhere, also for types alone."""
    tree = ast.parse(modules()[module].read_bytes())
    return frozenset(_imported(tree)) - {module}


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in modules() else node.module
                if found in modules():
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())


def wing(module: str) -> str | None:
    """The wing in which a module lies; None for a package's own file."""
    return _most_special(MAY_IMPORT, module)


def part(module: str) -> str | None:
    """The part of its wing in which a module lies; None where a wing is one part."""
    return _most_special(INSIDE, module.removeprefix("dcgan_assets."))


def _most_special(names: Iterable[str], module: str) -> str | None:
    holding = [name for name in names if module == name or module.startswith(f"{name}.")]
    return max(holding, key=len, default=None)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_only_wings_below(module: str) -> None:
    own = wing(module)
    allowed = (own, *MAY_IMPORT[own]) if own else ()
    wrong = [
        each
        for each in imports(module)
        if not any(each == name or each.startswith(f"{name}.") for name in allowed)
    ]
    assert not wrong, f"{module} may import {allowed}"


@pytest.mark.parametrize("module", sorted(filter(part, modules())))
def test_imports_only_parts_below(module: str) -> None:
    own = part(module)
    allowed = (own, *INSIDE[own]) if own else ()
    inside = [each for each in imports(module) if wing(each) == wing(module)]
    wrong = [each for each in inside if part(each) not in allowed]
    assert not wrong, f"{module} may import {allowed}"


def test_no_circle() -> None:
    graph = {module: imports(module) for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
