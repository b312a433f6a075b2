"""Code versions: a hash of what an asset computes, blind to formatting, comments and docstrings.

The version of an asset covers its function, the definitions that the function reaches in its own
and other modules of dcgan_assets.assets, every module of dcgan_models, dcgan_assets.sources,
dcgan_assets.faces and dcgan_assets.scraping that these import (and what those import), and the
asset's section of params.yaml. presets.py is left out: its values count through the section, so
that one preset's change leaves the others alone; so is what speaks HTTP, which decides how
politely answers come. The rest of dcgan_assets is plumbing: it moves artefacts, and does not
decide what is in them.

The syntax tree is walked here, not by `ast.dump`, whose output differs between Python versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FOLLOWED = (
    "dcgan_models",
    "dcgan_assets.sources",
    "dcgan_assets.faces",
    "dcgan_assets.scraping",
)
_BY_DEFINITION = "dcgan_assets.assets"
# Values of the presets count through the section. The other modules say how the web is asked, not
# what is made of its answers: an edit there must send nobody to ask it again.
_EXCLUDED = (
    "dcgan_models.presets",
    *(
        f"dcgan_assets.scraping.{name}"
        for name in (
            "client",
            "clock",
            "contact",
            "download",
            "fetching",
            "journal",
            "robots",
            "sites",
        )
    ),
)
# Fields that carry no meaning, or that some of Python 3.11 to 3.13 lack.
_SILENT = {"ctx", "type_comment", "type_ignores", "type_params", "kind"}


def digest_json(content: Any) -> str:
    """Hex SHA-256 of plain JSON values, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def code_version(function: Callable[..., Any], section: Mapping[str, Any]) -> str:
    """The version of an asset's code, 16 hex digits.

    Args:
        function: What computes the asset.
        section: Its section of params.yaml, presets resolved, as plain JSON values.
    """
    own, imported = _reachable(function.__module__, function.__name__)
    modules = sorted(_closure(imported))
    content = {
        "own": own,
        "modules": {name: _module_digest(name) for name in modules},
        "section": section,
    }
    return digest_json(content)[:16]


def tree_digest(node: ast.AST) -> str:
    """Hex SHA-256 of a syntax tree without docstrings: the same on Python 3.11 to 3.13."""
    digest = hashlib.sha256()
    for token in _tokens(node):
        digest.update(token.encode() + b"\0")
    return digest.hexdigest()


def _tokens(node: Any) -> Iterator[str]:
    """A tree as a flat stream of node names, field names and constants."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, field in ast.iter_fields(node):
            value = _meaning(node, name, field)
            if name in _SILENT or value is None or value == []:
                continue
            yield f".{name}"
            yield from _tokens(value)
        yield ")"
    elif isinstance(node, list):
        for item in node:
            yield from _tokens(item)
    else:
        # Not `repr`: which characters it escapes hangs on Python's Unicode tables.
        yield f"{type(node).__name__}:{node!a}"


def _meaning(node: ast.AST, name: str, value: Any) -> Any:
    """A field's value without docstrings, and without what some versions of Python add."""
    if name == "body" and _is_documented(node):
        return value[1:]
    if isinstance(node, ast.JoinedStr):
        # Python 3.12.1 puts empty strings into f"{x:{width}}".
        return [part for part in value if not _is_empty_string(part)]
    return value


def _is_documented(node: ast.AST) -> bool:
    may_be = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, may_be) and ast.get_docstring(node, clean=False) is not None


def _is_empty_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _module_digest(name: str) -> str:
    return tree_digest(_parse(_module_path(name) or Path()))


def _reachable(module: str, start: str) -> tuple[dict[str, str], set[str]]:
    """Digests of the definitions that `start` reaches, and the modules that these import."""
    digests: dict[str, str] = {}
    imported: set[str] = set()
    waiting = [(module, start)]
    while waiting:
        module, name = waiting.pop()
        definitions, origins = _outline(_module_path(module) or Path())
        if name in origins:
            waiting += _taken(*origins[name])
        label = f"{module}.{name}"
        if label in digests or name not in definitions:
            continue
        digests[label], used, theirs = _definition(_module_path(module) or Path(), name)
        waiting += [(module, other) for other in used]
        imported |= theirs
    return digests, imported


@cache
def _definition(path: Path, name: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """A definition's digest, the names that it uses, and the modules that it imports."""
    nodes = _outline(path)[0][name]
    parts = [part for node in nodes for part in ast.walk(node)]
    used = {part.id for part in parts if isinstance(part, ast.Name)}
    imported = {module for part in parts for module in _imports(part)}
    for statement in _parse(path).body:
        if isinstance(statement, ast.Import | ast.ImportFrom) and used & _bound(statement):
            imported |= _imports(statement)
    return "".join(map(tree_digest, nodes)), frozenset(used), frozenset(imported)


def _taken(module: str, name: str) -> list[tuple[str, str]]:
    """What an import from an asset module reaches: one definition, or all of a whole module."""
    path = _module_path(f"{module}.{name}")
    if path is None:
        return [(module, name)]
    return [(f"{module}.{name}", each) for each in _outline(path)[0]]


@cache
def _outline(path: Path) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str]]]:
    """A module's definitions by name, and the names that it takes from other asset modules."""
    tree = _parse(path)
    definitions: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _defined(statement):
            definitions.setdefault(name, []).append(statement)
    origins = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_BY_DEFINITION)
        for alias in node.names
        if node.module
    }
    return definitions, origins


def _bound(statement: ast.Import | ast.ImportFrom) -> set[str]:
    """The names that an import statement binds."""
    return {alias.asname or alias.name.split(".", maxsplit=1)[0] for alias in statement.names}


def _defined(node: ast.stmt) -> list[str]:
    """The names that a top-level statement defines or changes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    else:
        return []
    # In `A, B = ...` and `TABLE["key"] = ...` the names lie inside the target.
    return [
        part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
    ]


def _imports(node: ast.AST) -> set[str]:
    """The first-party modules that a statement imports, as far as versions follow them."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
        # `from package import name` may name a module or something in one.
        names = {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    else:
        return set()
    return {name for name in names if _followed(name)}


def _followed(name: str) -> bool:
    inside = any(name == root or name.startswith(f"{root}.") for root in _FOLLOWED)
    return inside and name not in _EXCLUDED and _module_path(name) is not None


@cache
def _module_path(name: str) -> Path | None:
    """The file of a module, found without importing its package (which may load torch)."""
    if name in sys.modules:
        return Path(sys.modules[name].__file__ or "")
    package, *rest = name.split(".")
    origin = importlib.import_module(package).__file__
    path = Path(origin or "").parent.joinpath(*rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _closure(names: set[str]) -> set[str]:
    """The modules and everything that they import in turn, type-checking imports included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = _module_path(name)
        if name in found or path is None:
            continue
        found.add(name)
        waiting += _imported_by(path)
    return found


@cache
def _imported_by(path: Path) -> frozenset[str]:
    """What a whole module imports: many assets ask about the same one."""
    return frozenset(name for node in ast.walk(_parse(path)) for name in _imports(node))
