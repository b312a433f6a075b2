"""`dcgan doctor`: is this machine ready, and if not, what to do about it.

What only a group lacks of which nothing was ever made is no fault: nobody has to make all groups.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcgan_assets.cli.common import echo_json, echo_lines, json_option
from dcgan_assets.engine.terminal import Finding, State
from dcgan_assets.engine.torch_findings import torch_asked, torch_findings
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.base import PictureSource, Section
from dcgan_assets.params.faces import FaceDetector
from dcgan_assets.params.file import Params
from dcgan_assets.params.search import Search
from dcgan_assets.params.user_places import DOWNLOADS
from dcgan_models.errors import UserError

if TYPE_CHECKING:
    from dcgan_assets.engine.catalogue import Catalogue

_LEAST_FREE_GB = 3


@click.command()
@json_option
@click.pass_obj
def doctor(root: Path | None, as_json: bool) -> None:
    """Say whether this machine is ready: Python, torch, GPU, disk, data paths, DVC."""
    found = []
    for finding in _examine_here(root):
        found.append(finding)
        if not as_json:
            echo_lines([f"{finding.state:5} {finding.what:12} {finding.detail}"])
    if as_json:
        echo_json({"findings": [asdict(finding) for finding in found]})
    sys.exit(any(finding.state == "FAIL" for finding in found))


def _examine_here(root: Path | None) -> Iterator[Finding]:
    """`examine` the workspace that is found; that there is none is no fault."""
    try:
        workspace = Workspace.find(root)
    except UserError as error:
        yield Finding("note", "workspace", str(error))
        workspace = None
    yield from examine(workspace)


def examine(workspace: Workspace | None) -> Iterator[Finding]:
    """Look at everything that a run needs; a finding each, `FAIL` where it would not work.

    Args:
        workspace: None looks at the installation alone.
    """
    yield _python()
    with torch_asked() as asked:
        found = [] if workspace is None else list(_examine_root(workspace))  # meanwhile
        yield from torch_findings(asked)
    yield _dvc()
    yield from found


def _examine_root(workspace: Workspace) -> Iterator[Finding]:
    """What `examine` says of the workspace itself."""
    from dcgan_assets.assets.catalogue import open_catalogue
    from dcgan_assets.dvc.integrity import examine_books
    from dcgan_assets.engine.history_findings import examine_history

    yield _disk(workspace.root)
    yield from _settings(workspace.dagster_home)
    try:
        catalogue = open_catalogue(workspace)
    except UserError as error:
        yield Finding("FAIL", "params.yaml", str(error))
        return
    yield Finding("ok", "params.yaml", f"profile {workspace.params.profile}")
    yield from _groups(catalogue)
    yield from examine_books(catalogue)
    yield from examine_history(catalogue)


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Finding("ok" if good else "FAIL", "python", f"{version} (3.11 to 3.14 are allowed)")


def _dvc() -> Finding:
    version = importlib.metadata.version("dvc")
    if shutil.which("git") is None:
        return Finding("FAIL", "dvc", f"{version}, but git is not installed")
    return Finding("ok", "dvc", version)


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 1e9
    state: State = "ok" if free > _LEAST_FREE_GB else "FAIL"
    return Finding(state, "disk", f"{free:.0f} GB free (the sample profile needs {_LEAST_FREE_GB})")


def _settings(home: Path) -> Iterator[Finding]:
    """Whether the dagster.yaml is the user's, which is neither changed nor brought up to date."""
    from dcgan_assets.engine.instance import SETTINGS, is_ours

    path = home / SETTINGS
    if path.exists() and not is_ours(path.read_bytes()):
        yield Finding("note", SETTINGS, f"{path} is yours; remove it to have ours written")


def _groups(catalogue: Catalogue) -> Iterator[Finding]:
    """What groups are made from, and which were never made here."""
    never = _never_made(catalogue)
    for group, finding in _sections(catalogue.workspace):
        if finding.state == "FAIL" and group in never:
            yield replace(finding, state="note")
        else:
            yield finding
    if never:
        yield Finding("note", "never made", f"nothing of {', '.join(never)}")


def _never_made(catalogue: Catalogue) -> list[str]:
    """The groups of which nothing is published."""
    made = {
        step.group
        for step in catalogue.steps
        for shard in catalogue.shards(step)
        if catalogue.store.folder(catalogue.artefact(step.key, shard)).exists()
    }
    return [group for group in dict.fromkeys(s.group for s in catalogue.steps) if group not in made]


def _sections(workspace: Workspace) -> Iterator[tuple[str, Finding]]:
    """What the sections of params.yaml say that they find, by group: first all pictures."""
    params, root = workspace.params, workspace.root
    tops = [(name, name, top) for name, top in params if isinstance(top, Section)]
    tops += [(name, f"groups.{name}", top) for name, top in params.groups.items()]
    within = [(group, *each) for group, key, top in tops for each in _within(key, top)]
    for group, _, part in within:
        if isinstance(part, PictureSource):
            yield group, _pictures(group, part, root)
    for group, key, part in within:
        if isinstance(part, PictureSource):
            continue
        what = _name(group, key, part)
        if finding := _ask(what, part, params, root):
            yield group, finding


def _within(key: str, section: Section) -> Iterator[tuple[str, Section]]:
    """A section and all that it holds, each with its dotted key."""
    yield key, section
    for name, value in section:
        if isinstance(value, Section):
            yield from _within(f"{key}.{name}", value)


def _pictures(group: str, section: PictureSource, root: Path) -> Finding:
    """Where a group's pictures come from; DVC keeps none that lie where git ignores them."""
    try:
        where = section.found(root)
    except UserError as error:
        return Finding("FAIL", group, str(error))
    if section.path is not None and _is_ignored(root, root / section.path):
        where = f"{where}, which git ignores: `dvc add` refuses; better pictures/{group}"
        return Finding("note", group, where)
    return Finding("ok", group, where)


def _name(group: str, key: str, section: Section) -> str:
    """What a section is called on the report: it has a key, unless it has a better name."""
    match section:
        case FaceDetector():
            return section.name
        case Search():
            return group
        case _:
            return key


def _ask(what: str, section: Section, params: Params, root: Path) -> Finding | None:
    """What a section finds; None where it names nothing."""
    try:
        found = section.found(root)
        if isinstance(section, Search) and section.asks_the_web:
            params.operator.require_contact()
    except UserError as error:
        return Finding("FAIL", what, str(error))
    return Finding("ok", what, found) if found else None


def _is_ignored(root: Path, place: Path) -> bool:
    """Whether pictures lie where what is made does, and are no download."""
    data = (root / "data").resolve()
    return place.resolve().is_relative_to(data) and not place.resolve().is_relative_to(
        data / DOWNLOADS
    )
