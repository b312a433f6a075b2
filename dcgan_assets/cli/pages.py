"""Commands that serve a page until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import click

from dcgan_assets.cli.common import open_in_browser
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

_LOOPBACK = "127.0.0.1"


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
    from dcgan_assets.annotate.workbench import Workbench, require_generator

    require_generator(workspace.root, group)
    with listen(port) as sock:
        # torch takes seconds to load.
        click.echo(f"{group}: loading its generator", err=True)
        server, address = make_server(Workbench.open(workspace.root, group), sock)
        _announce(address, browser=not no_browser)
        try:
            server.run(sockets=[sock])
        except KeyboardInterrupt:
            click.echo("stopped", err=True)


def _announce(address: str, *, browser: bool) -> None:
    """Print the address, and open it in the user's browser."""
    click.echo(f"{address} (Ctrl-C stops)")
    sys.stdout.flush()
    if browser:
        import threading

        # A browser may not come back before it is closed.
        threading.Thread(target=open_in_browser, args=(address,), daemon=True).start()


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--read-only", is_flag=True, help="Only look: no runs, no schedules.")
@click.pass_obj
def ui(root: Path | None, port: int, read_only: bool) -> None:
    """Open the Dagster web UI of this workspace on this machine."""
    from dcgan_assets.engine.instance import (
        claim_home,
        close_dead_runs,
        open_instance,
        prepare_home,
    )

    workspace = Workspace.find(root)
    workspace.params  # noqa: B018  (an error in params.yaml is one line here, a page in the UI)
    address = f"http://{_LOOPBACK}:{port}"
    place = ["-w", str(workspace.root / "workspace.yaml"), "-h", _LOOPBACK, "-p", str(port)]
    if read_only:
        prepare_home(workspace)
        _require_free_port(port)
        click.echo(f"{address} (Ctrl-C stops)")
        _become("dagster_webserver", *place, "--read-only")
    with open_instance(workspace) as instance:
        claim_home(workspace, address)
        _require_free_port(port)
        for run_id in close_dead_runs(instance):
            click.echo(f"closed run {run_id[:8]}: its process had died")
    click.echo(f"{address} (Ctrl-C stops)")
    _become("dagster", "dev", *place)


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            raise UserError(f"port {port} is in use; choose another with --port") from None


def _become(module: str, *arguments: str) -> NoReturn:
    """Replace this process, so that signals reach Dagster itself."""
    # A shell starts background jobs with SIGINT ignored, and Dagster would then ignore SIGTERM.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.flush()
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    os.execv(sys.executable, [sys.executable, *quiet, "-m", module, *arguments])  # noqa: S606
