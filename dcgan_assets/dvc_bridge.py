"""dvc.yaml, written from the asset graph: a stage for every step whose outputs are kept.

Dagster runs things and knows what is stale; DVC stores the same files and pins them in git. A
transient asset (a candidate, and how it was measured) has no stage of its own: it and what
publishes it are one stage, so that a clone which pulled the published networks has nothing to
train.

DVC keeps networks and results in the default remote, tables that may be passed on in the remote
`bulk` where the workspace has one. Pictures of others it only compares (`cache: false`): they are
never in its cache, so no push can give them away.
"""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from typing import Any

import yaml

from dcgan_assets.assets.champion import LOSSES_FILE
from dcgan_assets.results import METRICS_FILE, RESULT_FILE
from dcgan_assets.steps import Catalogue, Step
from dcgan_models.errors import UserError

DVC_FILE = "dvc.yaml"
LOCK_FILE = "dvc.lock"
BULK = "bulk"
_HEADER = "# Written by `dcgan dvc-sync` from the asset graph; edit the steps instead.\n"


def dvc_yaml(catalogue: Catalogue) -> str:
    """The text of dvc.yaml for a workspace's steps."""
    kept = [step for step in catalogue.steps if step.has_stage]
    shown = [f"{step.kind}/{step.key}/{name}" for step in kept for name in step.shows]
    results = [path for path in shown if path.endswith(RESULT_FILE)]
    content: dict[str, Any] = {
        "stages": {stage_name(step): _stage(catalogue, step) for step in kept},
        "metrics": [path.removesuffix(RESULT_FILE) + METRICS_FILE for path in results],
        "plots": [_plot(path) for path in shown],
    }
    return _HEADER + yaml.safe_dump(content, sort_keys=False, width=100)


def _plot(path: str) -> Any:
    """A picture as it is, the rows of a result as bars, the losses of a training as curves."""
    title = "/".join(path.split("/")[1:3])
    if path.endswith(RESULT_FILE):
        return {path: {"title": title, "template": "bar_horizontal", "x": "value", "y": "name"}}
    if path.endswith(LOSSES_FILE):
        return {path: {"title": title, "x": "epoch", "y": ["d_loss", "g_loss"], "y_label": "nats"}}
    return path


def stage_name(step: Step) -> str:
    """The name of a step's stage in dvc.yaml."""
    return step.key.replace("/", "-")


def _stage(catalogue: Catalogue, step: Step) -> dict[str, Any]:
    steps = [*_transient_inputs(catalogue, step), step]
    made = {key for member in steps for key in member.outputs}
    read = {key for member in steps for key in member.inputs} - made
    # DVC knows no input that may be absent; what it makes itself comes first.
    read |= {key for member in steps for key in member.if_there if catalogue.by_key[key].has_stage}
    keys = [key for member in steps for key in member.outputs]
    params = sorted({member.section for member in steps})
    if any(member.seeded for member in steps):
        params.append("seed")
    stage: dict[str, Any] = {"cmd": f"dcgan materialize --only {' '.join(keys)}"}
    deps = {catalogue.artefact(key).path.as_posix() for key in read}
    deps |= {name for member in steps for name in member.files}
    if deps:
        stage["deps"] = sorted(deps)
    stage["params"] = params
    stage["outs"] = [_out(catalogue, step, key) for key in step.outputs]
    stage["meta"] = {"dagster_assets": list(step.outputs)}
    return stage


def _out(catalogue: Catalogue, step: Step, key: str) -> dict[str, Any]:
    path = catalogue.artefact(key).path.as_posix()
    # Of an output without `persist` DVC removes whatever lies in its place before it runs the
    # stage, and before we can look whose it is; and a champion must outlive a bad candidate, a
    # shard the failure of its neighbour. Its run cache keeps even what has `cache: false`, for
    # `dvc push --run-cache` to give away; of an output with `persist` it keeps nothing.
    settings: dict[str, Any] = {"persist": True}
    if not is_kept(catalogue, step):
        settings["cache"] = False
    elif step.kind == "data":
        settings["remote"] = BULK
    return {path: settings}


def is_kept(catalogue: Catalogue, step: Step) -> bool:
    """Whether DVC stores what a step makes, so that `dvc pull` brings it to a clone."""
    if not step.has_stage or catalogue.licence(step) == "restricted":
        return False
    return step.kind != "data" or has_bulk_remote(catalogue)


def has_bulk_remote(catalogue: Catalogue) -> bool:
    """Whether the workspace's DVC settings name a remote `bulk`."""
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read(catalogue.workspace.root / ".dvc" / "config", encoding="utf-8")
    except configparser.Error:
        return False  # DVC says better what is wrong with its file
    return f"'remote \"{BULK}\"'" in settings


def _transient_inputs(catalogue: Catalogue, step: Step) -> list[Step]:
    """The transient steps that lead to a step, in order."""
    found: dict[str, Step] = {}
    for upstream in (catalogue.by_key[key] for key in step.inputs):
        if upstream.transient:
            before = _transient_inputs(catalogue, upstream)
            found |= {one.key: one for one in (*before, upstream) if one.key not in found}
    return list(found.values())


def is_current(catalogue: Catalogue) -> bool:
    """Whether the root's dvc.yaml is there and says what the steps say."""
    path = catalogue.workspace.root / DVC_FILE
    return path.exists() and path.read_text(encoding="utf-8") == dvc_yaml(catalogue)


def behind(catalogue: Catalogue, steps: Sequence[Step]) -> list[str]:
    """The stages of some steps that the root's dvc.yaml lacks, or has otherwise.

    Raises:
        UserError: dvc.yaml is not readable.
    """
    path = catalogue.workspace.root / DVC_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        written = dict(content["stages"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        raise UserError(f"{path}: not readable; `dcgan dvc-sync` writes it anew") from None
    expected = {stage_name(step): _stage(catalogue, step) for step in steps}
    return [name for name, stage in expected.items() if written.get(name) != stage]


def write_dvc_yaml(catalogue: Catalogue) -> bool:
    """Write dvc.yaml into the root; True when it changed.

    Raises:
        UserError: The root cannot be written.
    """
    if is_current(catalogue):
        return False
    path = catalogue.workspace.root / DVC_FILE
    try:
        path.write_text(dvc_yaml(catalogue), encoding="utf-8")
        return True
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
