"""Nothing but dcgan_models/files.py removes, renames or replaces anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import CHECKOUT

THE_ONE = "dcgan_models/files.py"
_METHODS = {"unlink", "rmdir", "rmtree", "rename", "renames", "removedirs", "move"}
_OF_OS = {"remove", "unlink", "rename", "replace", "rmdir", "truncate"}


def removals(source: str) -> Iterator[int]:
    """Lines in which something is removed, renamed or renamed over."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, value = node.func.attr, node.func.value
        of_os = isinstance(value, ast.Name) and value.id in {"os", "shutil"} and name in _OF_OS
        # str.replace takes two, dataclasses.replace is called by its name.
        over = name == "replace" and len(node.args) == 1 and not node.keywords
        if name in _METHODS or of_os or over:
            yield node.lineno


def modules() -> list[Path]:
    packages = (CHECKOUT / "dcgan_models", CHECKOUT / "dcgan_assets")
    return sorted(path for package in packages for path in package.rglob("*.py"))


def test_only_one_module_removes_anything() -> None:
    found = {
        f"{path.relative_to(CHECKOUT)}:{line}"
        for path in modules()
        for line in removals(path.read_text("utf-8"))
    }
    assert {place for place in found if not place.startswith(f"{THE_ONE}:")} == set()
    assert len(found) >= 5, "the module itself is seen"


def test_nothing_removes_a_tree() -> None:
    for path in modules():
        assert "rmtree" not in path.read_text("utf-8"), path
        assert "delete_logs" not in path.read_text("utf-8"), "Dagster would remove a folder"


@pytest.mark.parametrize(
    "line",
    [
        *("path.unlink()", "shutil.rmtree(a)", "os.remove(a)", "a.rename(b)", "a.replace(b)"),
        *("os.replace(a, b)", "shutil.move(a, b)", "folder.rmdir()", "(a / b).unlink(True)"),
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert list(removals(line)) == [1]
    assert not list(removals("'a'.replace('b', 'c'); replace(a, b=c); text.replace(a, b)"))


def test_the_makefile_removes_only_environments_of_ours() -> None:
    lines = (CHECKOUT / "Makefile").read_text("utf-8").splitlines()
    removing = [line.strip() for line in lines if re.search(r"\brm\b|--delete|git clean", line)]
    assert "WHEEL := $(VENV)/wheel" in lines
    assert removing == [
        "@rm -rf $(WHEEL) && $(PYTHON) -m venv $(WHEEL)",
        "test ! -f $(DOCS)/pyvenv.cfg || rm -rf $(DOCS)",
        "test ! -f $(STAMP) || rm -rf $(VENV)",
    ]


def test_the_architecture_says_of_each_caller_why_it_is_safe() -> None:
    """Each module that calls a helper which removes or replaces stands in the table."""
    helpers = "remove_file|remove_listed|remove_built|remove_made|staged|put_new|swap_in|share_file"
    page = (CHECKOUT / "docs/architecture.md").read_text("utf-8")
    for path in modules():
        name = path.relative_to(CHECKOUT).as_posix()
        if name != THE_ONE and re.search(rf"\b({helpers})\(", path.read_text("utf-8")):
            assert f"`{name}`" in page, f"{name} is not in the table of docs/architecture.md"
