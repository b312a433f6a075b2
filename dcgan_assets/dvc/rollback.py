"""`dcgan rollback`: what was published before takes its place again.

Published networks come back as a decision, like that of the gate to keep a champion: they stand
until there is another candidate. They come out of the history, by the number of a publication; what
a commit pins goes into the history first. Anything else comes out of DVC with the record that it
had, and counts as stale where its inputs, code or parameters have changed since. What a version of
git takes the place of must be in git and DVC, so that it is not lost; other assets are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import dagster as dg

from dcgan_assets.dvc.commit import publish, require_books
from dcgan_assets.dvc.dvc_cache import DvcCache
from dcgan_assets.dvc.dvc_yaml import LOCK_FILE, is_kept, stage_name
from dcgan_assets.dvc.history import (
    Pinned,
    cache_of,
    pinned_versions,
    recorded,
    require_pinned,
    version_name,
)
from dcgan_assets.dvc.register import rebuild_hint, report
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.going_back import ROLLED_BACK, bring_back, standing_together
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.publication_log import require_publishing
from dcgan_assets.engine.publications import History, Publication
from dcgan_assets.engine.records import Entry
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Meta
from dcgan_models.errors import UserError

_COMMIT = f"next: git add {LOCK_FILE} && git commit"


def rollback(catalogue: Catalogue, name: str, to: str | None = None) -> Iterator[str]:
    """Put networks or an earlier version of an asset back in its place; what to say, a line each.

    Args:
        name: A group, of whose publications one comes back; or an asset, of which a version does
            that git and DVC have. All that can only be made together comes back together.
        to: Of a group, the number of the publication. Of an asset, the first characters of a
            version or of a commit, as `dcgan log` shows them; None takes the one before what
            stands now.

    Raises:
        UserError: There is no such version, it cannot be had any more, or what stands now would be
            lost. Nothing has changed then.
    """
    if name in catalogue.by_key:
        yield from _to_version(catalogue, name, to)
    else:
        yield from _to_publication(catalogue, name, to)


def _to_publication(catalogue: Catalogue, group: str, to: str | None) -> Iterator[str]:
    require_publishing(catalogue, group)
    if to is None or not re.fullmatch("[0-9]{1,9}", to):
        raise UserError(f"{group}: name a publication by its number; `dcgan log {group}` shows all")
    publication = History(catalogue.store.root).read(group, int(to))
    step = catalogue.by_key.get(publication.key)
    keys = tuple(meta.key for meta in publication.records)
    if step is None or step.outputs != keys or not catalogue.decides(step):
        raise UserError(f"{publication.label}: of assets that are none any more")
    stands = standing_together(catalogue, step)
    if stands is not None and publication.records == tuple(stands):
        verify = catalogue.store.verify  # what is damaged may be replaced by what it was
        if all(verify(catalogue.artefact(key)) is None for key in step.outputs):
            raise UserError(f"{publication.label}: it stands already")
    with open_instance(catalogue.workspace) as instance:
        metas = bring_back(catalogue, step, publication)
        _tell_dagster(catalogue, instance, step, metas)
    yield _words(step, metas)
    if publish(catalogue, {step.key}):
        yield _COMMIT
    yield from _made_of_it(catalogue, step)


def _to_version(catalogue: Catalogue, key: str, to: str | None) -> Iterator[str]:
    step = _require_allowed(catalogue, key)
    versions = pinned_versions(catalogue, step)
    cache = cache_of(catalogue, versions)
    _require_safe(catalogue, step, cache, versions)
    chosen = _choose(cache, key, versions, to)
    for pinned in chosen.hashes.values():
        cache.require(pinned)
    with open_instance(catalogue.workspace) as instance:
        if catalogue.decides(step):
            metas = bring_back(catalogue, step, _in_history(catalogue, step, cache, chosen))
        else:
            metas = _swap_in(catalogue, step, cache, chosen)
        _tell_dagster(catalogue, instance, step, metas)
    yield _words(step, metas)
    yield _book(catalogue, step, chosen)
    yield from _made_of_it(catalogue, step)


def _words(step: Step, metas: Sequence[Meta]) -> str:
    back = f"back to {metas[0].data_version[:8]}, made {metas[0].created}"
    return f"{', '.join(step.outputs)}: {back}"


def _made_of_it(catalogue: Catalogue, step: Step) -> Iterator[str]:
    keys = [s.key for s in catalogue.steps if set(s.inputs) & set(step.outputs)]
    if keys:
        yield f"made from it, see `dcgan status`: {', '.join(keys)}"


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


def _swap_in(catalogue: Catalogue, step: Step, cache: DvcCache, chosen: Pinned) -> list[Meta]:
    """Publish the chosen content under the record that it had."""
    with ExitStack() as stack:
        folders, metas = _built(catalogue, step, cache, chosen, stack)
        return [
            catalogue.store.publish(folders[meta.key], catalogue.artefact(meta.key), meta)
            for meta in metas
        ]


def _in_history(catalogue: Catalogue, step: Step, cache: DvcCache, chosen: Pinned) -> Publication:
    """The publication that a commit pins, which the history takes in where it has not got it."""
    history = History(catalogue.store.root)
    with ExitStack() as stack:
        folders, metas = _built(catalogue, step, cache, chosen, stack)
        found = history.find(metas)
        return found or history.keep(metas, folders, published=metas[0].created)


def _built(
    catalogue: Catalogue, step: Step, cache: DvcCache, chosen: Pinned, stack: ExitStack
) -> tuple[dict[str, Path], list[Meta]]:
    """The chosen content in folders beside its places, as long as `stack` is open."""
    store = catalogue.store
    folders = {
        key: stack.enter_context(store.writing(catalogue.artefact(key))) for key in step.outputs
    }
    metas = []
    for key, folder in folders.items():
        meta = recorded(cache, chosen.hashes[key])
        if meta is not None:
            cache.copy(chosen.hashes[key], folder, meta.files)
        if meta is None or store.content_version(folder) != meta.data_version:
            raise UserError(f"{key}: commit {chosen.commit} pins no whole version of it")
        metas.append(meta)
    return folders, metas


def _tell_dagster(
    catalogue: Catalogue, instance: dg.DagsterInstance, step: Step, metas: Sequence[Meta]
) -> None:
    for meta in metas:
        entry = Entry.of(meta, catalogue.licence(step))
        said = shown.decode(meta.metadata).get(ROLLED_BACK)
        note = {ROLLED_BACK: str(said.value) if said else "by hand"}
        report(instance, step, catalogue.artefact(meta.key), entry, "rolled back", note)


def _book(catalogue: Catalogue, step: Step, chosen: Pinned) -> str:
    """Let dvc.lock say what stands now; what is left to do."""
    try:
        current = standing(catalogue, place_order(catalogue, step)) is not None
    except UserError:  # inputs are missing
        current = False
    if current:
        publish(catalogue, {step.key})
    elif not catalogue.decides(step):
        _pin_again(catalogue.workspace.root, stage_name(step), chosen)
    else:
        return "it is stale, and not in DVC's books; `dcgan status` says why"
    return _COMMIT


def _pin_again(root: Path, stage: str, chosen: Pinned) -> None:
    """Put the stage's entry of then into dvc.lock: with the inputs that it was made of."""
    from dvc.repo import Repo
    from dvc.utils.serialize import modify_yaml

    with Repo(str(root)) as repo, repo.lock, modify_yaml(str(root / LOCK_FILE)) as content:
        content["stages"][stage] = chosen.stage
