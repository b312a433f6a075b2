"""Commands that serve a page until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

import click

from dcgan_assets.cli.common import open_in_browser
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError
from dcgan_models.files import remove_file


@click.command()
@click.argument("group")
@click.option("--port", type=click.IntRange(1, 65535), help="By default any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.pass_obj
def annotate(root: Path | None, group: str, port: int | None, no_browser: bool) -> None:
    """Pick concepts and draw boxes on the samples of GROUP's published generator.

    A page on this machine alone. What is picked goes to annotations/GROUP/, into git.
    """
    workspace = Workspace.find(root)
    workspace.params.require_trained(group)

    from dcgan_assets.annotate.server import listen, make_server
    from dcgan_assets.annotate.workbench import Workbench

    PublishedGenerator.find(workspace.root, group)
    with listen(port) as sock:
        # torch takes seconds to load.
        click.echo(f"{group}: loading its generator", err=True)
        server, address = make_server(Workbench.open(workspace.root, group), sock)
        click.echo(f"{address} (Ctrl-C stops)")
        sys.stdout.flush()
        way_in = workspace.root / f"runs/annotate-{group}.html"
        with nullcontext() if no_browser else _shown(address, way_in):
            try:
                server.run(sockets=[sock])
            except KeyboardInterrupt:
                click.echo("stopped", err=True)


@contextmanager
def _shown(address: str, way_in: Path) -> Iterator[None]:
    """Open an address in the user's browser, by a page that leads there and ends with the block.

    The words that a browser is started with are shown to everybody on the machine by `ps`; the page
    is for this user's eyes alone.
    """
    way_in.parent.mkdir(parents=True, exist_ok=True)
    remove_file(way_in)
    descriptor = os.open(way_in, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">\n')
        # A browser may not come back before it is closed.
        threading.Thread(target=open_in_browser, args=(way_in.as_uri(),), daemon=True).start()
        yield
    finally:
        remove_file(way_in)


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--read-only", is_flag=True, help="Only look: no runs, no schedules.")
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Answer under this name, too: that of a proxy before it. May be given several times.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.pass_obj
def ui(
    root: Path | None, port: int, read_only: bool, names: tuple[str, ...], no_browser: bool
) -> None:
    """Open the Dagster web UI of this workspace on this machine.

    It answers under its address on this machine, and to no page but its own. The address is printed
    when it answers; the first page is the graph of all assets.
    """
    from dcgan_assets.engine.instance import (
        claim_home,
        close_dead_runs,
        open_instance,
        prepare_home,
    )
    from dcgan_assets.engine.params_watch import params_digest
    from dcgan_assets.engine.trusted_requests import LOOPBACK, require_host_name
    from dcgan_assets.engine.web_ui import PARAMS, WebUI

    workspace = Workspace.find(root)
    workspace.params  # noqa: B018  (an error in params.yaml is one line here, a page in the UI)
    os.environ[PARAMS] = params_digest(workspace.root)
    web_ui = WebUI(workspace.root, port, tuple(map(require_host_name, names)))
    place = ["-w", str(workspace.root / "workspace.yaml"), "-h", LOOPBACK, "-p", str(port)]
    if read_only:
        prepare_home(workspace)
        _require_free_port(port)
        _become(web_ui.command("webserver", *place, "--read-only"), browser=not no_browser)
    with open_instance(workspace) as instance:
        claim_home(workspace, f"http://{LOOPBACK}:{port}")
        _require_free_port(port)
        for run_id in close_dead_runs(instance):
            click.echo(f"closed run {run_id[:8]}: its process had died")
    _become(web_ui.command("dev", *place), browser=not no_browser)


def _require_free_port(port: int) -> None:
    from dcgan_assets.engine.trusted_requests import LOOPBACK

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise UserError(f"port {port} is in use; choose another with --port") from None


def _become(words: list[str], *, browser: bool) -> NoReturn:
    """Replace this process by the web UI, so that signals reach Dagster itself."""
    from dcgan_assets.engine.web_ui import BROWSER

    click.echo("starting the web UI; its address comes when it answers")
    # A shell starts background jobs with SIGINT ignored, and Dagster would then ignore SIGTERM.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.flush()
    os.environ[BROWSER] = "yes" if browser else ""
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606
