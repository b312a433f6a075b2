"""`dcgan explore`: the page in which a group's generator can be played with."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_assets.cli.common import FILE, find_catalogue, open_in_browser
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.store import Artefact, Store
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError


@click.command()
@click.argument("group")
@click.option("-o", "--out", type=FILE, help="Write the page here, to be sent: a .html.")
@click.option("--no-browser", is_flag=True, help="Only print where the page is.")
@click.pass_obj
def explore(root: Path | None, group: str, out: Path | None, no_browser: bool) -> None:
    """Open the page in which GROUP's generator draws: samples, walks, arithmetic, sliders.

    It is one file, which needs no other and no network. The asset GROUP/explorer makes it.
    """
    from dcgan_assets.cli.output_files import check_output, output_errors
    from dcgan_models.files import open_atomic

    workspace = Workspace.find(root)
    workspace.params.require_trained(group)
    if out is not None:
        check_output(workspace.root, out, ".html")
    page = _published_page(workspace.root, group)
    if out is not None:
        with output_errors(out), open_atomic(out) as stream:
            stream.write(page.read_bytes())
        click.echo(f"{out}: {group}/explorer, {out.stat().st_size / 1e6:.1f} MB")
        return
    click.echo(page.as_uri())
    if not no_browser:
        open_in_browser(page.as_uri())


def _published_page(root: Path, group: str) -> Path:
    """The page of the generator that is published now.

    Raises:
        UserError: The group has none, none is made, or it is of another generator.
    """
    from dcgan_assets.assets.internals.explorer.making import PAGE_FILE

    generator = PublishedGenerator.find(root, group)
    store, artefact = Store(root), Artefact(f"{group}/explorer", "results")
    remedy = f"run `dcgan materialize {artefact.key}`"
    meta = store.meta(artefact)
    if meta is None and artefact.key not in find_catalogue(root).by_key:
        raise UserError(
            f"{group} has no page to explore: its part of params.yaml has no section `explorer`"
        )
    if meta is None:
        raise UserError(f"{group}: no page to explore is made; {remedy}")
    if meta.inputs[f"{group}/generator"].data_version != generator.version:
        raise UserError(
            f"{artefact.key} is of another {group}/generator than is published; {remedy}"
        )
    return store.folder(artefact) / PAGE_FILE
