"""`dcgan export`: a group's generator in the form of other tools."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_assets.cli.common import FILE
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.workspace import Workspace


@click.command()
@click.argument("group")
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["onnx", "hf"]),
    help="onnx: one file, for ONNX runtimes. hf: a folder as the Hugging Face Hub shows it.",
)
@click.option(
    "-o",
    "--out",
    type=FILE,
    help="The file, GROUP.onnx by default, or the new folder, GROUP-hf by default.",
)
@click.pass_obj
def export(root: Path | None, group: str, form: str, out: Path | None) -> None:
    """Write GROUP's generator for other tools. Nothing is uploaded.

    Batch norm is folded into the weights, which are float32; pictures are the same to a grey level.
    `svhn` is drawn by the networks that `svhn.features.discriminator` names.
    """
    workspace = Workspace.find(root)
    if form == "onnx":
        _export_onnx(workspace, group, out or Path(f"{group}.onnx"))
    else:
        _export_folder(workspace, group, out or Path(f"{group}-hf"))


def _export_onnx(workspace: Workspace, group: str, out: Path) -> None:
    from dcgan_assets.cli.output_files import check_output, output_errors
    from dcgan_models.portable.onnx_file import write_onnx

    check_output(workspace.root, out, ".onnx")
    published = PublishedGenerator.drawing_for(workspace, group)
    with output_errors(out):
        write_onnx(published.network, out)
    click.echo(f"{out}: {published.name}, {out.stat().st_size / 1e6:.1f} MB")


def _export_folder(workspace: Workspace, group: str, out: Path) -> None:
    from dcgan_assets.cli.output_files import check_new_folder, output_errors
    from dcgan_models.files import no_record, staged, swap_in
    from dcgan_models.portable.hugging_face import write_hugging_face

    check_new_folder(workspace.root, out)
    published = PublishedGenerator.drawing_for(workspace, group)
    facts = [("network", published.name)]
    if published.version:
        facts.append(("data version", published.version))
    with output_errors(out), staged(out, no_record) as staging:
        write_hugging_face(published.network, staging, f"DCGAN, {group}", facts)
        swap_in(staging, out, no_record)
    click.echo(f"{out}: {published.name}; README.md says how to draw with it")
