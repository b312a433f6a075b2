"""axe-core on a page: what stops people who see badly, or use a keyboard or a reader."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

# By default axe leaves this one out: what a button is called holds what is written on it.
_ALSO = {"label-content-name-mismatch": {"enabled": True}}


def faults(page: Page) -> list[str]:
    """Each fault of the page as it is shown: the rule, and the element."""
    script = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script)
    found: Any = page.evaluate("rules => axe.run(document, {rules})", _ALSO)
    return [
        f"{fault['id']}: {node['html'][:120]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
