"""Published figures and pages under the web UI's own address, so that an asset's page shows them.

    /results/GROUP/ASSET/figure.png       a picture, whole and in its full size
    /models/GROUP/ASSET/losses.png        the same, of networks; and of /data/
    /results/report/paper/report.html     a page, in a browser's sandbox

Dagster hides pictures that are written into metadata behind a link; those with a short address it
shows. They come from the server that the page itself came from, so that the address holds nothing
but the place in the workspace: it outlives a restart, and needs no second port behind a proxy.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dcgan_assets.engine.store import META_FILE, Artefact, Kind, listed_files

FIGURES = "figures"  # the entry of the metadata that shows them
_PLACES = tuple(f"/{kind}/" for kind in get_args(Kind))
_PUBLISHED = re.compile(r"/(\w+/[\w-]+/[\w-]+/[\w-]+(\.png|\.html))", re.ASCII)
_TYPES = {".png": "image/png", ".html": "text/html"}
_HEADERS = {
    # A page may run its own scripts, and is to the browser of another origin than the web UI.
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}


class ServedResults:
    """An ASGI application that answers for `/results/`, `/models/` and `/data/`, else hands on.

    Of what is published it serves the pictures and pages that its own record lists. Anything else
    is not found: other files, folders, links, what lies outside of these folders.
    """

    def __init__(self, app: ASGIApp, root: Path) -> None:
        """Stand before an application, for the workspace in `root`."""
        self.app = app
        self.root = root.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "http" and scope["path"].startswith(_PLACES):
            await self._answer(Request(scope))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("only read\n", 405)
        found = _PUBLISHED.fullmatch(request.scope["path"])
        path = self.root / found[1] if found else None
        if path is None or not _is_published(path):
            return PlainTextResponse("no figure or page of a published result\n", 404)
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)


def reached_by_no_link(path: Path) -> bool:
    """Whether it is a plain file, and neither it nor a folder on the way to it is a link."""
    try:
        return path.resolve(strict=True) == path and stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_published(path: Path) -> bool:
    """Whether it is a plain file, reached by no link, that the record beside it lists."""
    listed = listed_files(path.parent / META_FILE) if reached_by_no_link(path) else None
    return path.name in (listed or ())


def shown_results(artefact: Artefact, files: Iterable[str], words: Mapping[str, str]) -> str:
    """Markdown that shows the figures of what is published, and leads to its pages; or nothing.

    Args:
        files: Names in the artefact's folder.
        words: What figures show, by file; these come first, in this order.
    """
    lines = []
    for name in (*words, *sorted(set(files) - set(words))):
        found = _PUBLISHED.fullmatch(f"/{(artefact.path / name).as_posix()}")
        if found and found[2] == ".png":
            if name in words:
                lines.append(f"{name}: {words[name]}")
            lines.append(f"![{name}: `dcgan ui` shows it here](/{found[1]})")
        elif found:
            lines.append(f"[{name}](/{found[1]})")
    return "\n\n".join(lines)
