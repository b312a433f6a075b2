"""`dcgan join`: this machine trains together with the one that makes a candidate."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dcgan_assets.cli.common import find_catalogue
from dcgan_assets.engine.terminal import INTERRUPTED, say


@click.command()
@click.argument("key")
@click.pass_obj
def join(root: Path | None, key: str) -> None:
    """Train KEY together with the host that makes it, where `machine.hosts` is 2 or more.

    It waits until `dcgan materialize` or the web UI comes to that training on the other host, in
    the same workspace on a shared folder, and ends with it.
    """
    from dcgan_assets.engine.hosts import join as join_training

    if not join_training(find_catalogue(root), key):
        say(f"{key}: stopped and saved; start both again to go on", wrong=True)
        sys.exit(INTERRUPTED)
    say(f"{key}: trained; the host that leads judges and publishes it")
