"""dvc.yaml, written from the asset graph: a stage for every step whose outputs are kept.

Dagster runs things and knows what is stale; DVC stores the same files and pins them in git. A
transient asset (a candidate, and how it was measured) has no stage of its own: it and what
publishes it are one stage, so that a clone which pulled the published networks has nothing to
train.
"""

from __future__ import annotations

from typing import Any

import yaml

from dcgan_assets.steps import Catalogue, Step
from dcgan_models.errors import UserError

DVC_FILE = "dvc.yaml"
_HEADER = "# Written by `dcgan dvc-sync` from the asset graph; edit the steps instead.\n"


def dvc_yaml(catalogue: Catalogue) -> str:
    """The text of dvc.yaml for a workspace's steps."""
    kept = [step for step in catalogue.steps if _is_kept(step)]
    shown = [f"{step.kind}/{step.key}/{name}" for step in kept for name in step.shows]
    content: dict[str, Any] = {
        "stages": {step.key.replace("/", "-"): _stage(catalogue, step) for step in kept},
        "metrics": [path for path in shown if path.endswith(".json")],
        "plots": [path for path in shown if path.endswith(".png")],
    }
    return _HEADER + yaml.safe_dump(content, sort_keys=False, width=100)


def _stage(catalogue: Catalogue, step: Step) -> dict[str, Any]:
    steps = [*_transient_inputs(catalogue, step), step]
    made = {key for member in steps for key in member.outputs}
    read = {key for member in steps for key in member.inputs} - made
    # DVC knows no input that may be absent; what it makes itself comes first.
    read |= {key for member in steps for key in member.if_there if _is_kept(catalogue.by_key[key])}
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


def _is_kept(step: Step) -> bool:
    return not (step.transient or step.optional)


def _out(catalogue: Catalogue, step: Step, key: str) -> Any:
    path = catalogue.artefact(key).path.as_posix()
    # DVC deletes other outputs before it runs a stage. A champion must outlive a bad candidate,
    # and a shard the failure of its neighbour.
    if step.kind == "models" or step.shards:
        return {path: {"persist": True}}
    return path


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
