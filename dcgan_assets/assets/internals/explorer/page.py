"""The page: template, style, scripts and data joined into one HTML file that needs no other."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

TEMPLATE, STYLE = "page.html", "page.css"
# In this order: what a later one uses, an earlier one says.
WORKER = ("network.js", "worker.js")
SCRIPTS = ("state.js", "artist.js", "panels.js", "page.js")
SOURCES = (TEMPLATE, STYLE, *WORKER, *SCRIPTS)


def own_text(name: str) -> str:
    """The text of one of the page's sources."""
    return (resources.files(__package__) / "page" / name).read_text("utf-8")


def build_page(data: Mapping[str, Any], **words: Any) -> str:
    """The whole page; its policy allows its own style, script and worker, and no connection.

    Args:
        data: What the scripts read: plain JSON values, `network` among them. The worker's source
            is added, for the page to start it from.
        words: What the template says, as text.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    style, script = own_text(STYLE), "\n".join(map(own_text, SCRIPTS))
    worker = "\n".join(map(own_text, WORKER))
    environment = Environment(
        loader=FunctionLoader(own_text), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(
        style=Markup(style),  # noqa: S704  (a file of our own)
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(_as_script_data({**data, "worker": worker})),  # noqa: S704  (escaped there)
        **words,
    )


def _as_script_data(data: Mapping[str, Any]) -> str:
    """JSON that no name or note in it can end: within `<script>` only `<` can."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """What the policy calls an inline style or script by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
