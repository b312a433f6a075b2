"""The Dagster web UI behind our door: Dagster's own commands, and one part replaced in each.

    python -m dcgan_assets.engine.web_ui dev       ROOT PORT [NAME]... -- OPTIONS of `dg dev`
    python -m dcgan_assets.engine.web_ui webserver ROOT PORT [NAME]... -- of `dagster-webserver`

Dagster's own web server changes things on a plain GET, asks nobody who he is and answers to any
name: `TrustedRequests` stands before it here, and `ServedResults` adds the figures of the workspace
in ROOT. Dagster has no place to hand in an application or a command, so that a function of its
modules is replaced: where another version has none, or starts something else, the command ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import psutil
import uvicorn

from dcgan_assets.engine.collector import collect_seldom
from dcgan_assets.engine.live_training import LiveTraining
from dcgan_assets.engine.params_watch import params_digest, watch_params
from dcgan_assets.engine.served_results import ServedResults
from dcgan_assets.engine.terminal import say
from dcgan_assets.engine.trusted_requests import LOOPBACK, TrustedRequests

FIRST_PAGE = "/asset-groups"  # the graph of all assets, by group
# Set where the first page is to be opened in the user's browser as well.
BROWSER = "DCGAN_UI_BROWSER"
# The hash of params.yaml when `dcgan ui` was called: code servers load the graph meanwhile.
PARAMS = "DCGAN_UI_PARAMS"


@dataclass(frozen=True)
class WebUI:
    """Which workspace is served at which port.

    Attributes:
        root: The workspace.
        port: Of the loopback.
        names: Others under which it may be reached, as in a browser's address: those of a proxy.
    """

    root: Path
    port: int
    names: Sequence[str] = ()

    @property
    def first_page(self) -> str:
        """The address at which to begin."""
        return f"http://{LOOPBACK}:{self.port}{FIRST_PAGE}"

    def command(self, role: Literal["dev", "webserver"], *options: str) -> list[str]:
        """A command line from its `-m` on, with Dagster's own options."""
        served = [str(self.root), str(self.port), *self.names]
        return ["-m", "dcgan_assets.engine.web_ui", role, *served, "--", *options]

    def dev(self, options: Sequence[str]) -> None:
        """Run `dg dev`, which starts our web server in the place of Dagster's."""
        from dagster._cli import dev
        from dagster_dg_cli.cli.dev import dev_command
        from dagster_shared.ipc import open_ipc_subprocess

        def start(parts: Sequence[str], **kwargs: Any) -> Any:
            match list(parts):
                case [python, "-m", "dagster_webserver", *theirs]:
                    return open_ipc_subprocess(
                        [python, *self.command("webserver", *theirs)], **kwargs
                    )
                case [_, "-m", "dagster._daemon", *_]:
                    return open_ipc_subprocess(parts, **kwargs)
            raise RuntimeError(f"this version of Dagster starts something new: {parts}")

        _replace(dev, "open_ipc_subprocess", start)
        try:
            dev_command(options, prog_name="dcgan ui")
        finally:
            _end_code_servers()

    def webserver(self, options: Sequence[str]) -> None:
        """Run `dagster-webserver`, whose application is served behind our door."""
        from dagster_webserver import cli
        from dagster_webserver.app import create_app_from_workspace_process_context as make_app

        loaded = os.environ.get(PARAMS) or params_digest(self.root)

        # Called when the definitions are loaded.
        def serve(
            context: Any, host: str, port: int, prefix: str, log_level: str, poll_rate: int
        ) -> None:
            home = Path(context.instance.root_directory)
            pages = LiveTraining(make_app(context, prefix, poll_rate), self.root, home)
            app = ServedResults(pages, self.root)
            door = TrustedRequests(app, port, self.names, only_posted={f"{prefix}/graphql"})
            watch_params(self.root, loaded, partial(_reload, context))
            self._serve(door, host, log_level)

        _replace(cli, "host_dagster_ui_with_workspace_process_context", serve)
        cli.dagster_webserver(options, prog_name="dcgan ui")

    def _serve(self, app: Any, host: str, log_level: str) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=self.port,
            log_level=log_level,
            http="h11",  # the other parser drops the host of a whole address before we see it
            lifespan="off",
            headers=[("X-Frame-Options", "SAMEORIGIN")],
        )
        _Server(config, self._tell).run()

    def _tell(self) -> None:
        """Say the first page's address, now that it answers, and open it if that is wanted."""
        say(f"{self.first_page} (Ctrl-C stops)")
        if os.environ.get(BROWSER):
            # A browser may not come back before it is closed.
            threading.Thread(target=webbrowser.open, args=(self.first_page,), daemon=True).start()


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()


def _reload(context: Any) -> None:
    """Load every code location anew, as the button of the web UI does; its pages notice."""
    for name in context.create_request_context().code_location_names:
        context.reload_code_location(name)


def _end_code_servers() -> None:
    """End the code servers that outlive Dagster's own end: one that was just loading the graph.

    They hold nothing; a run that they launched is a process of its own, and ends by itself.
    """
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if {"code-server", "grpc"} & set(child.cmdline()):
                child.kill()


def _replace(module: ModuleType, name: str, ours: Callable[..., Any]) -> None:
    getattr(module, name)  # an error where it is gone
    setattr(module, name, ours)


if __name__ == "__main__":
    collect_seldom()
    role, root, port, *rest = sys.argv[1:]
    end = rest.index("--")
    served = WebUI(Path(root), int(port), rest[:end])
    {"dev": served.dev, "webserver": served.webserver}[role](rest[end + 1 :])
