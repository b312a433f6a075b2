"""The report as HTML, one file that needs no other, and as Markdown beside the results."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from datetime import datetime
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from dcgan_assets.assets.report.compose import Report
from dcgan_assets.assets.report.items import own_text
from dcgan_assets.assets.report.verdicts import RULE

_LONGEST = 14
_NOTHING = "–"  # noqa: RUF001  (a dash in a cell)


def page_html(report: Report) -> str:
    """The whole page: style, script and pictures are in it, and its policy allows nothing else."""
    style, script = own_text("page.css"), own_text("page.js")
    return _render(
        "page.html",
        report,
        style=Markup(style),  # noqa: S704  (a file of our own)
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def page_markdown(report: Report) -> str:
    """The same as text; its pictures are those of the results beside it."""
    return re.sub(r"\n{3,}", "\n\n", _render("page.md", report))


def _render(template: str, report: Report, **more: Any) -> str:
    environment = Environment(
        loader=FunctionLoader(own_text),
        # Names and notes come from params.yaml and from pictures' folders: text, never markup.
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number,
        "plain": _plain,
        "leading": _leading,
        "moment": _moment,
        "cell": markdown_cell,
        "ticks": _ticks,
    }
    with_data = [entry for entry in report.entries if entry.stand_in is not None]
    text = environment.get_template(template).render(
        report=report,
        rule=RULE,
        stand_ins=sum(bool(entry.stand_in) for entry in with_data),
        with_data=len(with_data),
        **more,
    )
    return text.lstrip("\n")


def number(value: float | None) -> str:
    """A number as it stands in the result, with separators for thousands; None as a dash.

    What no step has rounded is shown to six digits.
    """
    if value is None:
        return _NOTHING
    text = f"{value:,}".removesuffix(".0")
    return text if len(text) <= _LONGEST else f"{value:,.6g}"


def markdown_cell(text: str) -> str:
    """Text that stays text in a cell of a Markdown table; code in backticks stays code."""
    parts = re.split(r"(`[^`]*`)", " ".join(str(text).split()))
    return "".join(
        part.replace("|", "\\|")
        if part.startswith("`") and len(part) > 1
        else re.sub(r"([\\`*\[\]|])", r"\\\1", html.escape(part, quote=False))
        for part in parts
    )


def _plain(value: float | None) -> str:
    """A number to sort by."""
    return "" if value is None else str(value)


def _leading(text: object) -> str:
    """The number that a cell begins with, to sort by; else its text."""
    found = re.match(r"-?[\d,]+(\.\d+)?(e-?\d+)?", str(text or ""))
    return found[0].replace(",", "") if found else str(text or "")


def _moment(created: str) -> str:
    """A time in UTC as words: `22 November 2026, 16:45 UTC`."""
    moment = datetime.fromisoformat(created)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _ticks(text: str) -> Markup:
    """Escaped text in which what stands in backticks is code."""
    parts = re.split(r"`([^`]*)`", " ".join(text.split()))
    marked = [
        Markup("<code>{}</code>").format(part) if odd else escape(part)
        for part, odd in zip(parts, _alternating(), strict=False)
    ]
    return Markup("").join(marked)


def _alternating() -> Any:
    while True:
        yield from (False, True)


def _hash(text: str) -> str:
    """What the policy calls an inline style or script by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
