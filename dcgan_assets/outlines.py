"""What source files define, use and import: their syntax trees boiled down to plain values.

The trees are walked here, not by `ast.dump`, whose output differs between Python versions.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

# Fields that carry no meaning, or that some of Python 3.11 to 3.13 lack.
_SILENT = {"ctx", "type_comment", "type_ignores", "type_params", "kind"}


class Definition(NamedTuple):
    """A top-level name of a module, with all statements that define or change it.

    Attributes:
        digest: Of its statements' trees.
        uses: The names in them.
        imports: What they import, as in `Outline.imports`.
    """

    digest: str
    uses: list[str]
    imports: list[str]


class Outline(NamedTuple):
    """A module as far as versions look at it.

    Attributes:
        digest: Of its whole tree.
        imports: Dotted names that any of its statements imports: modules, or things in them.
        definitions: Its top-level names.
        bindings: For each import at the top level, the names that it binds and what it imports.
        origins: For each name that it takes from elsewhere, at any depth: the module, and the
            name there.
    """

    digest: str
    imports: list[str]
    definitions: dict[str, Definition]
    bindings: list[tuple[list[str], list[str]]]
    origins: dict[str, tuple[str, str]]


# --- Trees ----------------------------------------------------------------------------------


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


# --- Outlines -------------------------------------------------------------------------------


def make_outline(source: bytes) -> Outline:
    """The outline of a module's source text."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _defined(statement):
            statements.setdefault(name, []).append(statement)
    return Outline(
        digest=tree_digest(tree),
        imports=_imports(nodes),
        definitions={name: _definition(parts) for name, parts in statements.items()},
        bindings=[
            (_bound(statement), _imports([statement]))
            for statement in tree.body
            if isinstance(statement, ast.Import | ast.ImportFrom)
        ],
        origins={
            alias.asname or alias.name: (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        },
    )


def _definition(statements: list[ast.stmt]) -> Definition:
    parts = [part for statement in statements for part in ast.walk(statement)]
    return Definition(
        digest="".join(map(tree_digest, statements)),
        uses=sorted({part.id for part in parts if isinstance(part, ast.Name)}),
        imports=_imports(parts),
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


def _bound(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """The names that an import statement binds."""
    return [alias.asname or alias.name.split(".", maxsplit=1)[0] for alias in statement.names]


def _imports(nodes: list[Any]) -> list[str]:
    """The dotted names that statements import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name` may name a module or something in one.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return sorted(names)
