"""What the README and the docs say can be said: links lead somewhere, commands and keys exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from doc_pages import PAGES, ROOT, Block, anchors, blocks, inline_code, links

from dcgan_assets.cli import main
from dcgan_assets.params.file import profile_text, validate_params

OURS = ("dcgan_assets", "dcgan_models")
_SHELL = ("", "bash", "sh", "console")


def each_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=each_page)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.is_file(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(place), f"{target}: no such heading"
        # The site holds docs/ and nothing else.
        if page.is_relative_to(ROOT / "docs"):
            assert place.is_relative_to(ROOT / "docs"), f"{target}: outside of docs/"


def test_the_link_test_sees_what_is_broken(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](gone.md) `[b](code.md)` ![c](d.png)\n```\n[e](f)\n```\n")
    assert links(page) == ["gone.md", "d.png"]
    assert anchors(page) == {"one-two"}


def test_every_page_is_in_the_navigation_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    there = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert sorted(_leaves(nav)) == sorted(there)


def _leaves(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for part in nav:
                yield from _leaves(part)
        case dict():
            for part in nav.values():
                yield from _leaves(part)


# --- Commands -------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[str]:
    """Every call of a command on a page, in blocks and in single backticks."""
    for block in blocks(page):
        if block.language in _SHELL:
            yield from (line.strip() for line in block.text.splitlines())
    yield from inline_code(page)


@pytest.mark.parametrize("page", PAGES, ids=each_page)
def test_every_dcgan_command_and_option_exists(page: Path) -> None:
    for line in commands(page):
        if re.match(r"dcgan( |$)", line) and "..." not in line:
            _parse(shlex.split(line, comments=True)[1:])


def _parse(words: list[str]) -> None:
    """Raise what click raises for a call with an unknown command, option or argument."""
    # Click keeps the help option of the first context, so it must be as a call would have it.
    context = click.Context(main, info_name="dcgan", **main.context_settings)
    _, rest, _ = main.make_parser(context).parse_args(list(words))
    if rest in ([], ["COMMAND"]):
        return
    name, command, arguments = main.resolve_command(context, rest)
    assert command is not None
    if not _is_synopsis(arguments):
        own = click.Context(command, info_name=name, parent=context)
        command.make_parser(own).parse_args(arguments)


def _is_synopsis(arguments: list[str]) -> bool:
    """Whether this is how a reference page writes a command: `dcgan ui [OPTIONS]`."""
    return "[OPTIONS]" in arguments


@pytest.mark.parametrize(
    "line", ["dcgan materialise", "dcgan sample mnist --sed 3", "dcgan presets --all"]
)
def test_the_command_test_sees_what_does_not_exist(line: str) -> None:
    with pytest.raises(click.UsageError):
        _parse(line.split()[1:])


@pytest.mark.parametrize("page", PAGES, ids=each_page)
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for line in commands(page):
        if found := re.match(r"make ([a-z-]+)", line):
            assert found[1] in targets, line


@pytest.mark.parametrize("page", PAGES, ids=each_page)
def test_every_module_that_is_run_exists(page: Path) -> None:
    for line in commands(page):
        if found := re.search(r"python -m ((?:benchmarks|dcgan_\w+)(?:\.\w+)*)", line):
            assert importlib.util.find_spec(found[1]), line


@pytest.mark.parametrize("page", PAGES, ids=each_page)
def test_every_module_that_is_named_exists(page: Path) -> None:
    for code in inline_code(page):
        for name in re.findall(r"\w+/[\w/]+\.(?:py|yaml)\b", code):
            assert any((ROOT / top / name).is_file() for top in ("", *OURS)), name
        for name in re.findall(r"\bdcgan_(?:assets|models)(?:\.\w+)+", code):
            path = ROOT.joinpath(*name.split("."))
            places = (
                each.with_suffix(suffix) for each in (path, path.parent) for suffix in ("", ".py")
            )
            assert any(place.exists() for place in places), name


# --- Settings and code ----------------------------------------------------------------------


def _blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def _place(block: Block) -> str:
    return f"{each_page(block.page)}: {block.text.splitlines()[0][:40]}"


@pytest.mark.parametrize("block", _blocks("yaml"), ids=_place)
def test_settings_can_be_set(block: Block) -> None:
    """A block of params.yaml replaces what the paper profile has there; the whole is then valid."""
    change = yaml.safe_load(block.text)
    if not set(change) <= set(yaml.safe_load(profile_text("paper"))) | {"groups"}:
        pytest.skip("no part of params.yaml")
    validate_params(_merged(yaml.safe_load(profile_text("paper")), change), "params.yaml")


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`change` over `base`; a section that names its `source` stands for itself."""
    merged = dict(base)
    for key, value in change.items():
        old = base.get(key)
        whole = not isinstance(value, dict) or not isinstance(old, dict) or "source" in value
        merged[key] = value if whole else _merged(old, value)
    return merged


@pytest.mark.parametrize("block", _blocks("python"), ids=_place)
def test_what_is_imported_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dcgan_"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module}.{name.name}"
