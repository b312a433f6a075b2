"""The `dcgan` command: everything that a user does outside the web UI."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import click

from dcgan_assets.workspace import Workspace
from dcgan_models.errors import UserError

_INTERRUPTED = 130
_LOOPBACK = "127.0.0.1"
_SEED = click.IntRange(0, 2**63 - 1)


class _Commands(click.Group):
    """Prints a `UserError` as one line and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", type=click.Path(path_type=Path), help="The workspace; found by default.")
@click.version_option(package_name="dcgan-assets")
@click.pass_context
def main(ctx: click.Context, root: Path | None) -> None:
    """Reproduce the DCGAN paper: every table and figure as a Dagster asset, stored with DVC."""
    ctx.obj = root
    # torch's threads spin while they wait for one another. Beside any other busy process that
    # costs several times the work; sleeping costs a quarter on an idle machine. To choose
    # otherwise, set it to ACTIVE. It counts from the moment that torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


# --- Workspaces -----------------------------------------------------------------------------


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--profile", default="sample", show_default=True, help="sample, small or paper.")
def init(folder: Path, profile: str) -> None:
    """Make a workspace in FOLDER: params.yaml, workspace.yaml, dvc.yaml, git and DVC."""
    from dcgan_assets.scaffold import create_workspace

    workspace = create_workspace(folder, profile)
    click.echo(f"{workspace.root}: a workspace with the {profile} profile")
    click.echo(f"next: cd {folder} && dcgan materialize")


@main.command("new-group")
@click.argument("name")
@click.option(
    "--from",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of pictures, at any depth.",
)
@click.option("--size", default=64, show_default=True, type=int, help="Side in pixels.")
@click.pass_obj
def new_group(root: Path | None, name: str, folder: Path, size: int) -> None:
    """Add NAME, a group of your own pictures, to params.yaml and dvc.yaml."""
    from dcgan_assets.catalogue import open_catalogue
    from dcgan_assets.dvc_bridge import write_dvc_yaml
    from dcgan_assets.new_group import add_group

    workspace = Workspace.find(root)
    section = add_group(workspace, name, folder, size)
    write_dvc_yaml(open_catalogue(Workspace(workspace.root)))
    candidate = section["candidate"]
    click.echo(f"params.yaml: groups.{name}, pictures from {section['images']['path']}")
    click.echo(f"training: {candidate['epochs']} epochs of minibatches of {candidate['batch']}")
    click.echo(f"next: dcgan materialize {name}")


@main.command()
@click.pass_obj
def doctor(root: Path | None) -> None:
    """Say whether this machine is ready: Python, torch, GPU, disk, data paths, DVC."""
    from dcgan_assets.doctor import examine

    try:
        workspace = Workspace.find(root)
    except UserError as error:
        click.echo(f"note  workspace    {error}")
        workspace = None
    failed = False
    for finding in examine(workspace):
        failed |= finding.state == "FAIL"
        click.echo(f"{finding.state:5} {finding.what:12} {finding.detail}")
    sys.exit(1 if failed else 0)


@main.command("dvc-sync")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if dvc.yaml is behind.")
@click.pass_obj
def dvc_sync(root: Path | None, check: bool) -> None:
    """Write dvc.yaml from the asset graph."""
    from dcgan_assets.catalogue import open_catalogue
    from dcgan_assets.dvc_bridge import DVC_FILE, is_current, write_dvc_yaml

    catalogue = open_catalogue(Workspace.find(root))
    if check:
        if not is_current(catalogue):
            raise UserError(f"{DVC_FILE} is behind the asset graph; run `dcgan dvc-sync`")
        click.echo(f"{DVC_FILE} is up to date")
    else:
        changed = write_dvc_yaml(catalogue)
        click.echo(f"{DVC_FILE} {'written' if changed else 'is up to date'}")


@main.command("gc")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@click.pass_obj
def collect_garbage(root: Path | None, dry_run: bool) -> None:
    """Remove work folders, records and logs of runs that have rested long enough.

    The days are under `retention` in params.yaml. What is published stays, and so does what a
    training needs that was stopped and could go on.
    """
    import dagster as dg

    from dcgan_assets.catalogue import open_catalogue
    from dcgan_assets.clearing import clear
    from dcgan_assets.instance import prepare_home

    workspace = Workspace.find(root)
    catalogue = open_catalogue(workspace)
    prepare_home(workspace)
    with dg.DagsterInstance.get() as instance:
        for line in clear(catalogue, instance, dry_run=dry_run):
            click.echo(line)


# --- Making things --------------------------------------------------------------------------


@main.command()
@click.argument("names", nargs=-1, metavar="[KEY|GROUP]...")
@click.option("--partition", help="Only this shard of sharded assets.")
@click.option("--only", is_flag=True, help="No ancestors: fail where an input is missing.")
@click.option("--force", is_flag=True, help="Make again what is up to date (not its ancestors).")
@click.option("--seed", type=_SEED, help="For a new training; else the stored seed is kept.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.pass_obj
def materialize(
    root: Path | None,
    names: tuple[str, ...],
    partition: str | None,
    only: bool,
    force: bool,
    seed: int | None,
    dry_run: bool,
) -> None:
    """Bring assets up to date, by key or group; everything without a name.

    Missing or stale ancestors come along. What failed blocks only what needs it, and the next
    call makes only that.
    """
    from dcgan_assets.materialize_command import Request, materialise

    request = Request(names, partition, only, force, seed, dry_run)
    sys.exit(materialise(Workspace.find(root), request))


@main.command()
@click.argument("group")
@click.option("-n", "count", default=64, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--seed", default=0, show_default=True, type=_SEED)
@click.option("--label", type=int, help="Only this class, for a conditional network.")
@click.option(
    "-o",
    "out",
    default="samples.png",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
@click.pass_obj
def sample(
    root: Path | None, group: str, count: int, seed: int, label: int | None, out: Path
) -> None:
    """Draw pictures from GROUP's generator into one PNG."""
    from dcgan_assets.sample_command import draw_sample

    click.echo(draw_sample(Workspace.find(root), group, count, seed, label, out))


@main.command()
@click.argument("group")
@click.argument("photograph", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "out",
    default="inverted.png",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
)
@click.option("--restarts", default=8, show_default=True, type=click.IntRange(1, 1024))
@click.option("--steps", default=300, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--seed", default=0, show_default=True, type=_SEED)
@click.option(
    "--add",
    metavar="EXPRESSION",
    help='Picked concepts to add, as "smiling_woman - neutral_woman".',
)
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the z here, as .npy."
)
@click.pass_obj
def invert(
    root: Path | None,
    group: str,
    photograph: Path,
    out: Path,
    restarts: int,
    steps: int,
    seed: int,
    add: str | None,
    save: Path | None,
) -> None:
    """Find what GROUP's generator draws most like PHOTOGRAPH, from several starts at once.

    The PNG shows the photograph's central square beside the nearest picture; each start's error
    is printed, because a generator draws few photographs well. With --add, arithmetic on concepts
    picked with `dcgan annotate` goes on from there.
    """
    from dcgan_assets.invert_command import invert_photograph

    workspace = Workspace.find(root)
    budget = {"restarts": restarts, "steps": steps, "seed": seed}
    for line in invert_photograph(workspace, group, photograph, out, **budget, add=add, save=save):
        click.echo(line)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME [OTHER]]")
def presets(names: tuple[str, ...]) -> None:
    """List the networks, print one's layer tables, or what differs between two, and why."""
    from dcgan_assets.preset_tables import compare_presets, list_presets, show_preset

    match names:
        case ():
            click.echo(list_presets())
        case (name,):
            click.echo(show_preset(name))
        case (name, other):
            click.echo(compare_presets(name, other))
        case _:
            raise UserError(f"presets: at most two names, not {len(names)}")


# --- Pages ----------------------------------------------------------------------------------


@main.command()
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
        import webbrowser

        # A browser may not come back before it is closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


@main.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--read-only", is_flag=True, help="Only look: no runs, no schedules.")
@click.pass_obj
def ui(root: Path | None, port: int, read_only: bool) -> None:
    """Open the Dagster web UI of this workspace on this machine."""
    from dcgan_assets.instance import claim_home, close_dead_runs, open_instance, prepare_home

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


if __name__ == "__main__":
    main()
