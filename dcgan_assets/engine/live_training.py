"""A page that follows a training: `/training/GROUP/ASSET/`, under the web UI's own address.

    /training/GROUP/ASSET/                 the newest training of an asset
    /training/GROUP/ASSET/ID/              the one that works in runs/GROUP/ID
    /training/GROUP/ASSET/ID/news          what the page asks for again and again, as JSON
    /training/GROUP/ASSET/ID/epoch_0001.png   fixed z as they were after an epoch

Dagster plots what was observed of an asset, of all its runs and by the clock. This page shows one
training by its step, from the log in its folder: the same one however often it was stopped. A page
that asks for news says where in the log it is, so that a long log is read once.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dcgan_assets.engine.liveness import at_work
from dcgan_assets.engine.served_results import reached_by_no_link
from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields
from dcgan_models.files import open_regular, parse_json, read_json, write_json

PLACE = "/training/"
SESSION_FILE = "session.json"
_ASKED = re.compile(
    r"/training/(?P<group>[\w-]{1,100})/(?P<name>[\w-]{1,100})/"
    r"((?P<id>[0-9a-f]{12})/)?(?P<file>news|epoch_[0-9]{4}\.png)?",
    re.ASCII,
)
_PAGE = "live.html"
_PAGE_FILES = {
    f"{PLACE}live.css": ("live.css", "text/css"),
    f"{PLACE}live.js": ("live.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
# Of a line of the log, in this order; what the page draws.
FIELDS = ("step", "steps", "epoch", "d_loss", "g_loss", "fixed_z_spread", "images_per_second")
_TOO_LARGE = 1e300  # for a number of ours, and nearly for JSON's
_MOST_BYTES = 2**20  # of the log in one answer; the page asks for the rest at once
_RESULT = "result/generator/network.json"


@dataclass(frozen=True)
class Session:
    """`session.json` in a training's folder: who trains there, or trained there last.

    Attributes:
        asset: Key of the asset.
        run: Id of Dagster's run.
        began: Minibatches that were done when it began.
        steps: Minibatches of the whole training.
        batch: Pictures in a minibatch.
    """

    asset: str
    run: str
    began: int
    steps: int
    batch: int

    @property
    def words(self) -> str:
        """Where it begins, in words."""
        at = f"continues at step {self.began:,} of" if self.began else "begins:"
        return f"{self.asset}: {at} {self.steps:,}{'' if self.began else ' steps'}"

    @classmethod
    def read(cls, folder: Path) -> Session | None:
        """The session of a folder; None where there is none that is whole."""
        try:
            found = read_json(folder / SESSION_FILE)
            check_fields(cls, found, SESSION_FILE)
            uuid.UUID(found["run"])
        except (OSError, ValueError, UserError):
            return None
        return cls(**found)

    def write(self, folder: Path) -> None:
        """Write it into the folder, in the place of an earlier one."""
        write_json(folder / SESSION_FILE, asdict(self))


def training_page(asset: str, folder: Path | None = None) -> str:
    """The address of the page, of an asset's newest training or of that in a folder."""
    return f"{PLACE}{asset}/" + (f"{folder.name}/" if folder else "")


# --- The server -----------------------------------------------------------------------------


class LiveTraining:
    """An ASGI application that answers for `/training/`, and hands on all else.

    It gives out the page, and of folders in which a training works the log and the grids of
    snapshots, by the names that only trainings give. Nothing is followed that is a link.
    """

    def __init__(self, app: ASGIApp, root: Path, home: Path) -> None:
        """Stand before an application, for the workspace in `root` with Dagster's `home`."""
        self.app = app
        self.runs, self.home = root.resolve() / "runs", home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "http" and scope["path"].startswith(PLACE):
            answer = await anyio.to_thread.run_sync(self._answer, Request(scope))
            answer.headers.update(_HEADERS)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("only read\n", 405)
        if path in _PAGE_FILES:
            return _page_file(*_PAGE_FILES[path])
        asked = _ASKED.fullmatch(path)
        if asked is None:
            return PlainTextResponse("no page of a training\n", 404)
        if not asked["file"]:
            return _page_file(_PAGE, "text/html")
        return self._of_training(asked, request.scope["query_string"])

    def _of_training(self, asked: re.Match[str], query: bytes) -> Response:
        folder = self._folder(f"{asked['group']}/{asked['name']}", asked["id"])
        if folder is None:
            return PlainTextResponse("nothing has been trained, or it was cleared away\n", 404)
        if asked["file"] == "news":
            return JSONResponse(self._news(folder, query))
        grid = folder / "grids" / asked["file"]
        if not reached_by_no_link(grid):
            return PlainTextResponse("no such snapshot\n", 404)
        return FileResponse(grid, media_type="image/png")

    def _folder(self, asset: str, name: str | None) -> Path | None:
        """The folder of a training of an asset: the named one, or that which began last."""
        group = self.runs / asset.split("/", maxsplit=1)[0]
        found = []
        for record in group.glob(f"{name or '*'}/{SESSION_FILE}"):
            session = Session.read(record.parent) if reached_by_no_link(record) else None
            if session is not None and session.asset == asset:
                found.append((record.stat().st_mtime_ns, record.parent))
        return max(found, default=(0, None))[1]

    def _news(self, folder: Path, query: bytes) -> dict[str, Any]:
        session = Session.read(folder)
        run = session.run if session else ""
        asked = {name: found[0] for name, found in parse_qs(query.decode("latin-1")).items()}
        known, start = asked.get("log", ""), asked.get("from", "")
        grids = sorted((folder / "grids").glob("epoch_[0-9][0-9][0-9][0-9].png"))
        return {
            "id": folder.name,
            **(asdict(session) if session else {}),
            "at_work": bool(run) and at_work(self.home, run),
            "finished": reached_by_no_link(folder / _RESULT),
            "grids": [grid.name for grid in grids if reached_by_no_link(grid)],
            "log": log_since(folder / "log.jsonl", run, known, start),
        }


def _page_file(name: str, kind: str) -> Response:
    content = (resources.files("dcgan_assets.engine") / name).read_bytes()
    return Response(content, media_type=kind)


# --- The log --------------------------------------------------------------------------------


def log_since(path: Path, run: str, known: str, start: str) -> dict[str, Any]:
    """The whole lines of a log that came since somebody looked; at most a MiB of them.

    Args:
        run: Which wrote it last.
        known: `log` of the last answer. A training that goes on writes its log anew, without the
            lines after its last save: another file, which is read from its beginning.
        start: `next` of the last answer.

    Returns:
        `log` and `next`; `anew`, whether the lines are the log's first; `more`, whether there are
        others; `lines`: lists of numbers as `FIELDS` names them, None for what is none.
    """
    if not reached_by_no_link(path):
        return {"log": "", "next": 0, "anew": True, "more": False, "lines": []}
    with open_regular(path) as stream:
        facts = os.fstat(stream.fileno())
        name = f"{facts.st_ino}-{run}"
        goes_on = known == name and re.fullmatch(r"[0-9]{1,15}", start)
        begin = int(start) if goes_on and int(start) <= facts.st_size else 0
        stream.seek(begin)
        block = stream.read(_MOST_BYTES)
    whole = block.rpartition(b"\n")[0] + b"\n" if b"\n" in block else b""
    # A line that is longer than a block is none of a training.
    end = begin + (len(whole) or (len(block) if len(block) == _MOST_BYTES else 0))
    return {
        "log": name,
        "next": end,
        "anew": begin == 0,
        "more": len(block) == _MOST_BYTES,
        "lines": list(_numbers(whole)),
    }


def _numbers(lines: bytes) -> Iterator[list[float | None]]:
    for line in lines.splitlines():
        try:
            found = parse_json(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield [_number(found.get(name)) for name in FIELDS]


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < _TOO_LARGE else None  # nor is NaN smaller
