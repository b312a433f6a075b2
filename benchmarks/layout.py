"""The size and shape of the source tree: lines of code, modules at the top, import chains, circles.

Lines count without blanks, comments and docstrings. `python benchmarks/layout.py [CHECKOUT]`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tokenize
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PARTS = {"science": "dcgan_models", "pipeline": "dcgan_assets", "tests": "tests"}
_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def code_lines(path: Path) -> int:
    """Lines of a file that hold code: no blank, comment or docstring."""
    tree = ast.parse(path.read_bytes())
    documented = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    with path.open("rb") as stream:
        lines = {
            line
            for token in tokenize.tokenize(stream.readline)
            if token.type not in _SILENT and token.type != tokenize.ENCODING and token.string
            for line in range(token.start[0], token.end[0] + 1)
        }
    return len(lines - documented)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Which module of the two packages imports which, anywhere in it."""
    modules = {
        path.relative_to(root)
        .with_suffix("")
        .as_posix()
        .replace("/", ".")
        .removesuffix(".__init__"): path
        for package in ("dcgan_models", "dcgan_assets")
        for path in (root / package).rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        taken = {
            whole if (whole := f"{node.module}.{alias.name}") in modules else node.module
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        graph[name] = (taken & modules.keys()) - {name}
    return graph


def longest_chain(graph: dict[str, set[str]]) -> int:
    """The number of nodes on the longest path of a graph without circles."""

    @cache
    def height(node: str) -> int:
        return 1 + max(map(height, graph.get(node, ())), default=0)

    return max(map(height, graph))


def by_wing(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph between wings: dcgan_models, and what lies at the top of dcgan_assets."""

    def wing(module: str) -> str:
        first, *rest = module.split(".")
        return first if first == "dcgan_models" or not rest else f"{first}.{rest[0]}"

    wings: dict[str, set[str]] = {}
    for module, taken in graph.items():
        wings.setdefault(wing(module), set()).update(map(wing, taken))
    return {name: taken - {name} for name, taken in wings.items()}


def chain_or_circle(graph: dict[str, set[str]]) -> str:
    """The length of the longest chain, or a circle that makes it endless."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return "a circle: " + " -> ".join(error.args[1])
    return str(longest_chain(graph))


def main(root: Path) -> None:
    """Print what was counted in a checkout."""
    listed = subprocess.check_output(["git", "ls-files", "*.py"], cwd=root, text=True).split()
    for part, folder in PARTS.items():
        files = [root / name for name in listed if name.startswith(f"{folder}/")]
        print(f"{part:9} {sum(map(code_lines, files)):7,} lines in {len(files)} files")
    loose = [p.name for p in (root / "dcgan_assets").glob("*.py") if p.name != "__init__.py"]
    print(f"modules at the top of dcgan_assets: {len(loose)}")
    graph = import_graph(root)
    print(f"longest chain of modules: {chain_or_circle(graph)}")
    print(f"longest chain of wings:   {chain_or_circle(by_wing(graph))}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
