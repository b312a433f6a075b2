"""dvc.yaml, written from the asset graph: a stage for every step whose outputs are kept.

Dagster runs things and knows what is stale; DVC stores the same files and pins them in git. A
transient asset (a candidate, and how it was measured) has no stage of its own: it and what
publishes it are one stage, so that a clone which pulled the published networks has nothing to
train.

A step has its stage from when it is first made, as dvc.lock says: `dvc pull` fails for every
stage of which nothing was ever made. Who lets DVC do the making asks for all of them.

DVC keeps networks and results in the default remote, tables that may be passed on in the remote
`bulk` where the workspace has one. Pictures of others it only compares (`cache: false`): they are
never in its cache, so no push can give them away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from dcgan_assets.dvc.dvc_settings import BULK, dvc_top, read_settings
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.results import LOSSES_FILE, METRICS_FILE, RESULT_FILE
from dcgan_assets.engine.step import Step
from dcgan_assets.params.yaml_files import read_yaml, yaml_text
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

DVC_FILE = "dvc.yaml"
LOCK_FILE = "dvc.lock"
_HEADER = "# Written by `dcgan dvc-sync` from the asset graph; edit the steps instead.\n"


def stage_name(step: Step) -> str:
    """The name of a step's stage in dvc.yaml."""
    return step.key.replace("/", "-")


def stage_names(catalogue: Catalogue) -> set[str]:
    """The names of all stages that there can be."""
    return {stage_name(step) for step in catalogue.steps if step.has_stage}


# --- What dvc.yaml says -----------------------------------------------------------------------


def dvc_content(catalogue: Catalogue, names: Collection[str]) -> dict[str, Any]:
    """What dvc.yaml says with the stages of these names: `stages`, `metrics` and `plots`."""
    kept = [step for step in catalogue.steps if step.has_stage and stage_name(step) in names]
    shown = [f"{step.kind}/{step.key}/{name}" for step in kept for name in step.shows]
    results = [path for path in shown if path.endswith(RESULT_FILE)]
    return {
        "stages": {stage_name(step): _stage(catalogue, step, names) for step in kept},
        "metrics": [path.removesuffix(RESULT_FILE) + METRICS_FILE for path in results],
        "plots": [_plot(path) for path in shown],
    }


def _plot(path: str) -> Any:
    """A picture as it is, the rows of a result as bars, the losses of a training as curves."""
    title = "/".join(path.split("/")[1:3])
    if path.endswith(RESULT_FILE):
        return {path: {"title": title, "template": "bar_horizontal", "x": "value", "y": "name"}}
    if path.endswith(LOSSES_FILE):
        return {path: {"title": title, "x": "epoch", "y": ["d_loss", "g_loss"], "y_label": "nats"}}
    return path


def _stage(catalogue: Catalogue, step: Step, names: Collection[str]) -> dict[str, Any]:
    steps = [*_transient_inputs(catalogue, step), step]
    made = {key for member in steps for key in member.outputs}
    read = {key for member in steps for key in member.inputs} - made
    read |= {key for member in steps for key in read_if_there(catalogue, member, names)}
    keys = [key for member in steps for key in member.outputs]
    params = sorted({member.section for member in steps})
    if any(member.seeded for member in steps):
        params.append("seed")
    stage: dict[str, Any] = {"cmd": f"dcgan materialize --only {' '.join(keys)}"}
    deps = {catalogue.artefact(key).path.as_posix() for key in read}
    deps |= {place for member in steps for place in _watched(catalogue, member)}
    if deps:
        stage["deps"] = sorted(deps)
    stage["params"] = params
    stage["outs"] = [_out(catalogue, step, key) for key in step.outputs]
    stage["meta"] = {"dagster_assets": list(step.outputs)}
    return stage


def read_if_there(catalogue: Catalogue, step: Step, names: Collection[str]) -> list[str]:
    """The optional inputs of a step that have a stage, which DVC is told of.

    DVC knows no input that may be absent: of a stage that is in dvc.yaml, it makes it first.
    """
    keys = [key for key in step.if_there if catalogue.by_key[key].has_stage]
    return [key for key in keys if stage_name(catalogue.by_key[key]) in names]


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
    if not step.has_stage or step.derived or catalogue.licence(step) == "restricted":
        return False
    return step.kind != "data" or has_bulk_remote(catalogue)


def has_bulk_remote(catalogue: Catalogue) -> bool:
    """Whether the workspace's DVC settings name a remote `bulk`."""
    return BULK in read_settings(catalogue.workspace.root).get("remote", {})


def _transient_inputs(catalogue: Catalogue, step: Step) -> list[Step]:
    """The transient steps that lead to a step, in order."""
    found: dict[str, Step] = {}
    for upstream in (catalogue.by_key[key] for key in step.inputs):
        if upstream.transient:
            before = _transient_inputs(catalogue, upstream)
            found |= {one.key: one for one in (*before, upstream) if one.key not in found}
    return list(found.values())


# --- What lies outside of the graph -----------------------------------------------------------


def _watched(catalogue: Catalogue, step: Step) -> Iterator[str]:
    """The files and folders outside of the graph that DVC is to compare for a step."""
    for name in catalogue.files(step):
        if unhashable(catalogue.workspace.root / name) is None:
            # DVC would take `${` for the beginning of a parameter.
            yield PurePath(name).as_posix().replace("${", r"\${")


def unhashable(place: Path) -> str | None:
    """The file or folder that DVC cannot hash at a place; None where it can hash all of it.

    It ends with an error at a link to nothing, at what may not be read and at a name that is not
    UTF-8, and never comes back from a pipe. We read the rest there, and each of these is a row.
    """
    if not place.is_dir():
        readable = not place.exists() or (place.is_file() and os.access(place, os.R_OK))
        return None if readable else ascii(str(place))
    waiting = [str(place)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _can_be_hashed(entry):
                        return ascii(entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            return ascii(folder)
    return None


def _can_be_hashed(entry: os.DirEntry[str]) -> bool:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return (entry.is_dir() or entry.is_file()) and os.access(entry.path, os.R_OK)


def unwatched(catalogue: Catalogue) -> list[str]:
    """A line for each source whose changes `dvc status` and `dvc repro` do not see."""
    root = catalogue.workspace.root
    places = {name for step in catalogue.steps if step.has_stage for name in catalogue.files(step)}
    there = sorted(name for name in places if (root / name).exists())
    lines = []
    for name, ignored in zip(there, _ignored(root, there), strict=True):
        what = unhashable(root / name)
        if what is not None:
            lines.append(f"{name}: DVC cannot hash {what}; only `dcgan materialize` looks there")
        elif ignored:
            lines.append(f"{name}: named in .dvcignore; only `dcgan materialize` looks there")
    return lines


def _ignored(root: Path, names: Sequence[str]) -> list[bool]:
    """Of each path, whether .dvcignore hides it: DVC hashes what is hidden as an empty folder."""
    top = dvc_top(root)
    if not (top / ".dvc").is_dir() or not names:
        return [False] * len(names)
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    rules = DvcIgnoreFilter(localfs, str(top))
    return [rules.is_ignored(localfs, os.path.normpath(root / name)) for name in names]


# --- The file ---------------------------------------------------------------------------------


def made_stages(root: Path) -> set[str]:
    """The names of the stages that were made, here or where this was cloned from: dvc.lock's.

    Raises:
        UserError: dvc.lock is not readable.
    """
    advice = f"`git checkout {LOCK_FILE}` brings the last one back"
    return set(_read(root / LOCK_FILE, advice)["stages"])


def known_stages(root: Path) -> set[str]:
    """The names of the stages that were made or stand in dvc.yaml.

    Raises:
        UserError: dvc.yaml or dvc.lock is not readable.
    """
    return set(_standing(root)["stages"]) | made_stages(root)


def is_current(catalogue: Catalogue) -> bool:
    """Whether dvc.yaml has a stage for all that was made, and each of ours as the graph has it.

    Raises:
        UserError: dvc.yaml or dvc.lock is not readable.
    """
    root = catalogue.workspace.root
    if not (root / DVC_FILE).exists():
        return False
    standing = _standing(root)
    content = dvc_content(catalogue, {*standing["stages"], *made_stages(root)})
    return _comparable(standing) == _comparable(_with_others(content, standing, _is_the_users))


def write_dvc_yaml(catalogue: Catalogue, names: Collection[str]) -> bool:
    """Write dvc.yaml with these stages of ours and no others; True when it changed.

    What a user wrote into it stays: stages of their own, and keys that we never write.

    Raises:
        UserError: dvc.yaml is not readable, or the root cannot be written.
    """
    root = catalogue.workspace.root
    content = dvc_content(catalogue, names)
    return _write(root, _with_others(content, _standing(root), _is_the_users))


def add_stages(catalogue: Catalogue, names: Collection[str]) -> bool:
    """Have these stages in dvc.yaml beside the known ones; True when it changed.

    What this graph does not have stays: that of another process may be newer.

    Raises:
        UserError: dvc.yaml or dvc.lock is not readable, or the root cannot be written.
    """
    root = catalogue.workspace.root
    standing = _standing(root)
    content = dvc_content(catalogue, {*standing["stages"], *made_stages(root), *names})
    return _write(root, _with_others(content, standing, lambda _: True))


def _is_the_users(stage: Mapping[str, Any]) -> bool:
    """Whether a stage is none of ours: each of these names its assets."""
    return "dagster_assets" not in (stage.get("meta") or {})


def _with_others(
    content: Mapping[str, Any], standing: Mapping[str, Any], stays: Callable[[Any], bool]
) -> dict[str, Any]:
    """Our content of dvc.yaml, and of what stands there the rest.

    Args:
        stays: Whether a stage that is not in our content is part of the rest. With one that is
            not, what is shown of its outputs goes.
    """
    stages = standing["stages"]
    others = {
        name: stage
        for name, stage in stages.items()
        if name not in content["stages"] and stays(stage)
    }
    gone = {
        _place(out)
        for name in stages.keys() - others.keys()
        for out in stages[name].get("outs") or ()
    }
    whole = {**standing, **content, "stages": {**content["stages"], **others}}
    for kind in ("metrics", "plots"):
        shown = standing.get(kind) or ()
        kept = [one for one in shown if str(PurePath(_place(one)).parent) not in gone]
        ours = {_place(one) for one in content[kind]}
        whole[kind] = [*content[kind], *(one for one in kept if _place(one) not in ours)]
    return whole


def _write(root: Path, content: Mapping[str, Any]) -> bool:
    path = root / DVC_FILE
    if path.exists() and _comparable(_standing(root)) == _comparable(content):
        return False
    try:
        with open_atomic(path) as stream:
            stream.write((_HEADER + yaml_text(content)).encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return True


def _standing(root: Path) -> dict[str, Any]:
    return _read(root / DVC_FILE, "mend it, or remove it, and `dcgan dvc-sync` writes it anew")


def _read(path: Path, advice: str) -> dict[str, Any]:
    """What one of DVC's two files says; where there is none, that there is no stage."""
    try:
        content = read_yaml(path)
        stages = stages_in(content, str(path))
        return {**content, "stages": stages}
    except FileNotFoundError:
        return {"stages": {}}
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise UserError(f"{path}: not readable; {advice} ({reason})") from None


def stages_in(content: Any, where: str) -> dict[str, dict[str, Any]]:
    """The stages of a dvc.yaml or dvc.lock, by name, their lists looked at.

    Args:
        where: What a line says of the content, such as its file.

    Raises:
        UserError: It is not shaped as DVC writes it.
    """
    if not isinstance(content, dict) or not isinstance(content.get("stages") or {}, dict):
        raise UserError(f"{where}: a mapping with a mapping `stages` is needed")
    stages = content.get("stages") or {}
    for name, stage in stages.items():
        if not isinstance(name, str) or not isinstance(stage, dict):
            raise UserError(f"{where}: stages.{name!s:.80}: a name and a mapping are needed")
        _require_lists(stage, ("deps", "outs"), f"{where}: stages.{name:.80}.")
        if not isinstance(stage.get("meta") or {}, dict):
            raise UserError(f"{where}: stages.{name:.80}.meta: a mapping is needed")
    _require_lists(content, ("metrics", "plots"), f"{where}: ")
    return stages


def _require_lists(holder: Mapping[str, Any], kinds: Sequence[str], where: str) -> None:
    for kind in kinds:
        entries = holder.get(kind) or []
        if not isinstance(entries, list) or not all(
            isinstance(one, str) or (isinstance(one, dict) and one) for one in entries
        ):
            raise UserError(f"{where}{kind}: a list of paths is needed")


def _place(entry: Any) -> str:
    """The path of an entry of a list in dvc.yaml, which may have settings."""
    return str(next(iter(entry))) if isinstance(entry, dict) else str(entry)


def _comparable(content: Mapping[str, Any]) -> dict[str, Any]:
    """What dvc.yaml says, whatever the order of its lists and stages."""
    lists = {
        kind: {_place(one): one for one in content.get(kind) or ()} for kind in ("metrics", "plots")
    }
    return {**content, **lists}
