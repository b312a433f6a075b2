"""The server behind the annotation page: loopback only, for one person with the printed address.

Whoever asks for anything but the page's three files must send the token of the address in a
header, which no page of another origin can do; `TrustedRequests` stands before it all, so that a
name that was rebound to this machine, or another page of this browser, gets nowhere. Requests are
small and bounded. Names that come from the page are data: the two files that are written were
named when the server started.
"""

from __future__ import annotations

import io
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcgan_assets.annotate.files import parse_json
from dcgan_assets.annotate.workbench import ConflictError, Workbench
from dcgan_assets.engine.trusted_requests import LOOPBACK, TrustedRequests
from dcgan_models.errors import UserError
from dcgan_models.grids import tile
from dcgan_models.pixels import Pixels

TOKEN_HEADER = "x-annotate-token"  # noqa: S105  (the name of a header)
LARGEST_REQUEST = 2**20
_PAGE_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


# --- HTTP -----------------------------------------------------------------------------------


def make_app(bench: Workbench, token: str, port: int) -> ASGIApp:
    """The ASGI application: the page, and what it asks for.

    Args:
        token: What every request but those for the page's files must bring.
        port: Of the address under which the page is reached.
    """

    async def file(request: Request) -> Response:
        name, kind = _PAGE_FILES[request.url.path]
        content = (resources.files("dcgan_assets.annotate") / name).read_bytes()
        return Response(content, media_type=kind)

    async def start(request: Request) -> Response:
        return JSONResponse(await anyio.to_thread.run_sync(bench.start))

    async def alive(request: Request) -> Response:
        return Response(status_code=204)

    async def samples(request: Request) -> Response:
        return await _pictures(lambda: bench.page(request.path_params["page"]))

    async def draw(request: Request) -> Response:
        content = await _json(request)
        return await _pictures(lambda: bench.draw(content))

    def saver(save: Callable[[Any, str], str]) -> Callable[[Request], Awaitable[Response]]:
        async def put(request: Request) -> Response:
            content = await _json(request)
            if not isinstance(content, dict) or not isinstance(content.get("revision"), str):
                raise UserError("save: an object with a revision is needed")
            fresh = await anyio.to_thread.run_sync(
                save, content.get("content"), content["revision"]
            )
            return JSONResponse({"revision": fresh})

        return put

    app = Starlette(
        routes=[
            *(Route(path, file) for path in _PAGE_FILES),
            Route("/api/start", start),
            Route("/api/alive", alive),
            Route("/api/samples/{page:int}", samples),
            Route("/api/draw", draw, methods=["POST"]),
            Route("/api/concepts", saver(bench.save_concepts), methods=["PUT"]),
            Route("/api/boxes", saver(bench.save_boxes), methods=["PUT"]),
        ],
        exception_handlers={
            UserError: _answer(400),
            ConflictError: _answer(409),
            OSError: _no_file,
            HTTPException: _refuse,
            ClientDisconnect: _answer(400),
        },
    )
    return _LockedDown(TrustedRequests(_TokenNeeded(app, token), port))


class _LockedDown:
    """Puts the security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_locked_down(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self.app(scope, receive, send_locked_down)


class _TokenNeeded:
    """Lets through the page's files to everybody, and all else to who has the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get(TOKEN_HEADER, "").encode()
        if scope["path"] in _PAGE_FILES or secrets.compare_digest(given, self.token):
            await self.app(scope, receive, send)
            return
        error = "open the address that `dcgan annotate` printed"
        await JSONResponse({"error": error}, 403)(scope, receive, send)


async def _json(request: Request) -> Any:
    """The body as JSON, refused before it is read where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_REQUEST:
            raise HTTPException(413, f"a request may have {LARGEST_REQUEST} bytes")
    return parse_json(bytes(body), "request")


async def _pictures(work: Callable[[], Pixels]) -> Response:
    """Pictures side by side in one row, as a PNG."""
    return Response(await anyio.to_thread.run_sync(lambda: _encode(work())), media_type="image/png")


def _encode(pictures: Pixels) -> bytes:
    from PIL import Image

    row = tile(pictures, len(pictures))
    stream = io.BytesIO()
    # The way is short: level 1 is several times faster than the default.
    Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(
        stream, format="PNG", compress_level=1
    )
    return stream.getvalue()


def _answer(status: int) -> Callable[[Request, Exception], Response]:
    return lambda request, error: JSONResponse({"error": str(error)}, status)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for it)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _no_file(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)  # noqa: S101  (registered for it)
    return JSONResponse({"error": f"the file cannot be read or written ({error.strerror})"}, 500)


# --- The process ----------------------------------------------------------------------------


def listen(port: int | None) -> socket.socket:
    """A socket on the loopback: on `port`, or on any free one.

    Raises:
        UserError: The port is in use.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((LOOPBACK, port or 0))
    except OSError:
        sock.close()
        raise UserError(f"port {port} is in use; choose another with --port") from None
    return sock


def make_server(bench: Workbench, sock: socket.socket) -> tuple[uvicorn.Server, str]:
    """A server for a socket of `listen`, and its address, which has the token in it.

    Connections are taken from now on, and answered when the server runs.
    """
    port = sock.getsockname()[1]
    token = secrets.token_urlsafe(24)
    config = uvicorn.Config(
        make_app(bench, token, port),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=2,
    )
    sock.listen()
    # What follows the # stays in the browser: it is in no request and in no log.
    return uvicorn.Server(config), f"http://{LOOPBACK}:{port}/#{token}"
