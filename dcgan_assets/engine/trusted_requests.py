"""Which requests a server on the loopback answers: those of its own pages, and of no page at all.

Every page that is open in a browser of this machine reaches the loopback: with an image, a form, a
script's request or a websocket, and under a name that its owner points at 127.0.0.1. What it may
not do without being asked for leave is bring JSON; what it cannot do is hide who asks: `Host`,
`Origin` and `Sec-Fetch-Site` are written by the browser. Programs of this machine's users are let
through; who of them may do what is another question.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from dcgan_models.errors import UserError

LOOPBACK = "127.0.0.1"
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_READ_HERE = (
    *("host", "origin", "content-type"),
    *("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"),
)


class TrustedRequests:
    """An ASGI application that hands on only what may be asked, HTTP and websockets alike.

    A request is handed on if

    - its path is one of this server: an absolute address would overrule `Host`;
    - its `Host` is a name of this server: one that was rebound to this machine is none;
    - its `Origin`, which a program has none of, is a page of this server;
    - no page of another origin sent it, unless somebody follows a link to a page here;
    - it changes nothing, or has a body of JSON: no form, image or link has.

    Any other is answered with one line of text: 403 for who asks, 400 for how. A websocket is not
    opened (403), and no page could read why.
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        names: Iterable[str] = (),
        only_posted: Collection[str] = (),
    ) -> None:
        """Stand before an application.

        Args:
            port: The port of the loopback on which it is reached.
            names: Others under which it is reached, as in a browser's address: those of a proxy.
            only_posted: Paths at which a GET would change something.
        """
        self.app = app
        loopback = {f"{name}:{port}" if port != 80 else name for name in (LOOPBACK, "localhost")}
        named = {name.lower() for name in names}
        self.hosts = loopback | named
        # A proxy may well speak https to the browser.
        self.origins = {f"http://{host}" for host in self.hosts} | {f"https://{h}" for h in named}
        self.only_posted = only_posted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or answer it."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        method = scope.get("method")  # a websocket has none
        twice = [name for name in _READ_HERE if len(headers.getlist(name)) > 1]
        unknown_host = headers.get("host", "").lower() not in self.hosts
        unknown_page = headers.get("origin") not in {None, *self.origins}
        asked_by_get = method in {"GET", "HEAD"}
        changes = method is not None and not asked_by_get
        refused = (
            (twice, 400, f"{', '.join(twice)}: more than once"),
            (not path.startswith("/"), 400, "a path is needed, not a whole address"),
            (unknown_host, 403, "not an address of this page"),
            (unknown_page, 403, "a page of another origin may not ask"),
            (_from_elsewhere(headers, method), 403, "a page of another origin may only link here"),
            (asked_by_get and path in self.only_posted, 400, "only POST is answered here"),
            (changes and not _is_json(headers), 400, "a body of application/json is needed"),
        )
        for wrong, status, line in refused:
            if wrong:
                return PlainTextResponse(f"{line}\n", status)
        return None


def require_host_name(name: str) -> str:
    """The name, if a browser could have it in the address of a page.

    Raises:
        UserError: It is none: a whole address, a pattern, empty.
    """
    if not _HOST.fullmatch(name):
        raise UserError(
            f"{name!r:.80} is no name of a host: as in the address that the browser shows, without "
            "http:// and /, with its port if there is one (ui.example.org, localhost:8080)"
        )
    return name


def _from_elsewhere(headers: Headers, method: str | None) -> bool:
    """Whether a page of another origin asks, as the browser says; programs say nothing."""
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return False
    followed = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return method != "GET" or followed != ("navigate", "document")


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
