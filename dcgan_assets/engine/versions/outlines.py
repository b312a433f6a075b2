"""What source files define, use and import: their syntax trees boiled down to plain values.

The trees are walked here, not by `ast.dump`, whose output differs between Python versions. Imports
from our own packages are no part of a tree's digest: they are told apart, so that who reads an
outline can leave out of them the folder in which a module lies.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

OURS = ("dcgan_assets", "dcgan_models")

# Fields that carry no meaning, or that some of Python 3.11 to 3.13 lack.
_SILENT = {"ctx", "type_comment", "type_ignores", "type_params", "kind"}


class Taken(NamedTuple):
    """A name that an import takes from one of our modules: `from module import name as bound`."""

    module: str
    name: str
    bound: str


class Definition(NamedTuple):
    """A top-level name of a module, with all statements that define or change it.

    Attributes:
        digest: Of its statements' trees, without imports of ours.
        uses: The names in them.
        taken: What they import from modules of ours.
    """

    digest: str
    uses: list[str]
    taken: list[Taken]


class Outline(NamedTuple):
    """What code versions look at of a module: its definitions and its imports of ours.

    Attributes:
        digest: Of its whole tree, without imports of ours.
        taken: What any of its statements imports from modules of ours, at any depth.
        bindings: What its top level imports from them, for all of its definitions to use.
        definitions: Its top-level names.
    """

    digest: str
    taken: list[Taken]
    bindings: list[Taken]
    definitions: dict[str, Definition]


# --- Trees ----------------------------------------------------------------------------------


def tree_digest(node: ast.AST) -> str:
    """Hex SHA-256 of a syntax tree without docstrings, and without imports of ours.

    It is the same on Python 3.11 to 3.13.
    """
    tokens: list[str] = []
    _add_tokens(node, tokens)
    return hashlib.sha256("".join(f"{token}\0" for token in tokens).encode()).hexdigest()


def _add_tokens(node: Any, tokens: list[str]) -> None:
    """Add a tree as a flat list of node names, field names and constants.

    To a list: generators within one another hand each token on as often as it lies deep.
    """
    if isinstance(node, ast.AST):
        tokens.append(f"({type(node).__name__}")
        for name, field in ast.iter_fields(node):
            value = _meaning(node, name, field)
            if name in _SILENT or value is None or value == []:
                continue
            tokens.append(f".{name}")
            _add_tokens(value, tokens)
        tokens.append(")")
    elif isinstance(node, list):
        for item in node:
            if not _takes_ours(item):
                _add_tokens(item, tokens)
    else:
        # Not `repr`: which characters it escapes hangs on Python's Unicode tables.
        tokens.append(f"{type(node).__name__}:{node!a}")


def _takes_ours(node: Any) -> bool:
    """Whether a node is `from MODULE import ...` with one of our modules."""
    return (
        isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.split(".", maxsplit=1)[0] in OURS
    )


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


# --- Outlines -------------------------------------------------------------------------------


def make_outline(source: bytes) -> Outline:
    """The outline of a module's source text."""
    tree = ast.parse(source)
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _defined(statement):
            statements.setdefault(name, []).append(statement)
    return Outline(
        digest=tree_digest(tree),
        taken=_taken(ast.walk(tree)),
        bindings=_taken(tree.body),
        definitions={name: _definition(parts) for name, parts in statements.items()},
    )


def _definition(statements: list[ast.stmt]) -> Definition:
    parts = [part for statement in statements for part in ast.walk(statement)]
    return Definition(
        digest="".join(map(tree_digest, statements)),
        uses=sorted({part.id for part in parts if isinstance(part, ast.Name)}),
        taken=_taken(parts),
    )


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


def _taken(nodes: Iterable[ast.AST]) -> list[Taken]:
    """What statements take from our modules, in an order that no formatter decides."""
    return sorted(
        Taken(node.module or "", alias.name, alias.asname or alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and _takes_ours(node)
        for alias in node.names
    )
