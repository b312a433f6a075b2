"""`dcgan rollback KEY`: a version that was published before takes its place again.

Published networks come back as a decision, like that of the gate to keep a champion: they stand
until there is another candidate. Anything else comes back with the record that it had, and counts
as stale where its inputs, code or parameters have changed since. What stands now must be in git
and DVC first, so that it is not lost; other assets are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.records import Entry
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Meta
from dcgan_assets.releases.commit import publish, require_books
from dcgan_assets.releases.dvc_cache import DvcCache
from dcgan_assets.releases.dvc_yaml import LOCK_FILE, is_kept, stage_name
from dcgan_assets.releases.history import (
    ROLLED_BACK,
    Pinned,
    cache_of,
    pinned_versions,
    recorded,
    require_pinned,
    version_name,
)
from dcgan_assets.releases.register import rebuild_hint, report
from dcgan_models.errors import UserError


def rollback(catalogue: Catalogue, key: str, to: str | None = None) -> Iterator[str]:
    """Put an earlier version of an asset back in its place; what there is to say, a line each.

    Args:
        key: An asset; all that can only be made together with it comes back together.
        to: The first characters of a version or of a commit, as `dcgan log` shows them; None
            takes the one before what stands now.

    Raises:
        UserError: There is no such version, it cannot be had any more, or what stands now would be
            lost. Nothing has changed then.
    """
    step = _require_allowed(catalogue, key)
    versions = pinned_versions(catalogue, step)
    cache = cache_of(catalogue, versions)
    _require_safe(catalogue, step, cache, versions)
    chosen = _choose(cache, key, versions, to)
    for pinned in chosen.hashes.values():
        cache.require(pinned)
    with open_instance(catalogue.workspace) as instance:
        metas = _swap_in(catalogue, step, cache, chosen)
        _tell_dagster(catalogue, instance, step, metas)
    names = ", ".join(step.outputs)
    yield f"{names}: back to {metas[key].data_version[:8]}, made {metas[key].created}"
    yield _book(catalogue, step, chosen)
    made_of_it = [s.key for s in catalogue.steps if set(s.inputs) & set(step.outputs)]
    if made_of_it:
        yield f"made from it, see `dcgan status`: {', '.join(made_of_it)}"


def _require_allowed(catalogue: Catalogue, key: str) -> Step:
    step = require_pinned(catalogue, key)
    if not is_kept(catalogue, step):
        raise UserError(f"{key}: not kept by DVC; rebuild with {rebuild_hint(key)}")
    require_books(catalogue.workspace, "a rollback")
    return step


def _require_safe(
    catalogue: Catalogue, step: Step, cache: DvcCache, versions: list[Pinned]
) -> None:
    """Stop where what stands now could not be brought back in its turn."""
    for key in step.outputs:
        meta = catalogue.store.meta(catalogue.artefact(key))
        if meta is None:
            continue
        pinned = recorded(cache, versions[0].hashes[key]) if versions else None
        if pinned != meta:
            raise UserError(
                f"{key}: what stands now is not in DVC's books and would be lost; "
                f"`dvc commit {stage_name(step)}` first"
            )
        if versions[0].commit is None:
            raise UserError(
                f"{key}: what stands now is in no commit and would be lost; "
                f"`git add {LOCK_FILE} && git commit` first"
            )


def _choose(cache: DvcCache, key: str, versions: list[Pinned], to: str | None) -> Pinned:
    """The version that is meant; of one that was pinned more than once, the latest time."""
    names = [version_name(recorded(cache, v.hashes[key]), v.hashes[key]) for v in versions]
    earlier = [(v, name) for v, name in zip(versions, names, strict=True) if name != names[0]]
    if to is None:
        found = earlier[:1]
    else:
        found = [(v, n) for v, n in earlier if n.startswith(to) or (v.commit or "").startswith(to)]
        if len({name for _, name in found}) > 1:
            raise UserError(f"{key}: {to!r} is more than one: {', '.join(n for _, n in found)}")
    if not found:
        known = ", ".join(f"{name} ({v.commit})" for v, name in earlier) or "none before this one"
        raise UserError(f"{key}: no version {to or 'to go back to'}; there are: {known}")
    return found[0][0]


def _swap_in(
    catalogue: Catalogue, step: Step, cache: DvcCache, chosen: Pinned
) -> Mapping[str, Meta]:
    """Publish the chosen content; the records under which it stands, by key."""
    store = catalogue.store
    now = {key: store.meta(catalogue.artefact(key)) for key in step.outputs}
    made = {}
    with ExitStack() as stack:
        folders = {
            key: stack.enter_context(store.writing(catalogue.artefact(key))) for key in step.outputs
        }
        for key, folder in folders.items():
            meta = recorded(cache, chosen.hashes[key])
            if meta is not None:
                cache.copy(chosen.hashes[key], folder, meta.files)
            if meta is None or store.content_version(folder) != meta.data_version:
                raise UserError(f"{key}: commit {chosen.commit} pins no whole version of it")
            made[key] = _record(catalogue, step, meta, now[key])
        for key, folder in folders.items():
            made[key] = store.publish(folder, catalogue.artefact(key), made[key])
    return made


def _record(catalogue: Catalogue, step: Step, then: Meta, now: Meta | None) -> Meta:
    """The record of what comes back: that of then, and for a decision its place of now."""
    if now is None or not _is_decided(catalogue, step):
        return then
    today = datetime.now(UTC).isoformat(timespec="seconds")
    said = {
        "decision": "rolled back",
        ROLLED_BACK: f"from {now.data_version[:8]} by hand, {today}",
    }
    return replace(
        then,
        code_version=now.code_version,
        fingerprint=now.fingerprint,
        inputs=now.inputs,
        seed=now.seed,
        params_seed=now.params_seed,
        metadata={**then.metadata, **shown.encode(said)},
    )


def _is_decided(catalogue: Catalogue, step: Step) -> bool:
    """Whether a step chooses between a candidate and what it published before."""
    return any(catalogue.by_key[key].transient for key in step.inputs)


def _tell_dagster(
    catalogue: Catalogue, instance: dg.DagsterInstance, step: Step, metas: Mapping[str, Meta]
) -> None:
    for key, meta in metas.items():
        entry = Entry.of(meta, catalogue.licence(step))
        said = shown.decode(meta.metadata).get(ROLLED_BACK)
        note = {ROLLED_BACK: str(said.value) if said else "by hand"}
        report(instance, step, catalogue.artefact(key), entry, "rolled back", note)


def _book(catalogue: Catalogue, step: Step, chosen: Pinned) -> str:
    """Let dvc.lock say what stands now; what is left to do."""
    try:
        current = standing(catalogue, place_order(catalogue, step)) is not None
    except UserError:  # inputs are missing
        current = False
    if current:
        publish(catalogue, {step.key})
    elif not _is_decided(catalogue, step):
        _pin_again(catalogue.workspace.root, stage_name(step), chosen)
    else:
        return "it is stale, and not in DVC's books; `dcgan status` says why"
    return f"next: git add {LOCK_FILE} && git commit"


def _pin_again(root: Path, stage: str, chosen: Pinned) -> None:
    """Put the stage's entry of then into dvc.lock: with the inputs that it was made of."""
    from dvc.repo import Repo
    from dvc.utils.serialize import modify_yaml

    with Repo(str(root)) as repo, repo.lock, modify_yaml(str(root / LOCK_FILE)) as content:
        content["stages"][stage] = chosen.stage
