"""The README and the pages of docs/, taken apart: links, headings, fenced blocks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from checkout import CHECKOUT

ROOT = CHECKOUT
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
EXECUTED = "<!-- executed -->"

_FENCE = re.compile(
    r"^(?P<mark><!-- executed -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        executed: Whether the page says that a test runs it.
    """

    page: Path
    language: str
    text: str
    executed: bool


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        yield Block(page, found["language"], found["text"], found["mark"] is not None)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    return _LINK.findall(_CODE.sub("", prose(page)))


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    return [code[1:-1] for code in _CODE.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, where the site and GitHub give one the same name."""
    headings = [heading.replace("`", "") for heading in _HEADING.findall(prose(page))]
    return {_site_name(h) for h in headings} & {_github_name(h) for h in headings}


def _site_name(heading: str) -> str:
    """As Python-Markdown's `toc` names it."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _github_name(heading: str) -> str:
    """As GitHub names it: what is no word is dropped, and every blank becomes a hyphen."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
