"""Checks whether the files on disk agree with dvc.yaml, dvc.lock and the records.

Nothing here mends anything: a finding says what to do. Removing a folder that it names loses
nothing that was not lost before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dcgan_assets.dvc.dvc_cache import md5_file
from dcgan_assets.dvc.dvc_settings import dvc_top
from dcgan_assets.dvc.dvc_yaml import DVC_FILE, LOCK_FILE, is_current, made_stages, unwatched
from dcgan_assets.dvc.records import read_records
from dcgan_assets.dvc.release import REMOTE
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.records import RECORDS
from dcgan_assets.engine.store import Artefact, Meta
from dcgan_assets.engine.terminal import Finding
from dcgan_models.errors import UserError

_TOPS = ("data", "models", "results")
_OBJECTS = Path("files") / "md5"
_NAMED = 3  # of many damaged files


def examine_books(catalogue: Catalogue) -> Iterator[Finding]:
    """A finding for each thing that a crash, a disk or an edit by hand can have spoilt."""
    root = catalogue.workspace.root
    yield from _dvcs_files(catalogue)
    if lines := unwatched(catalogue):
        yield Finding("note", "not watched", "; ".join(lines))
    try:
        count = len(read_records(catalogue))
        yield Finding("ok", RECORDS, f"{count} assets released; `dcgan register` shows them")
    except UserError as error:
        yield Finding("FAIL", RECORDS, str(error))
    top = dvc_top(root)
    yield from _objects(top, top / ".dvc" / "cache", "DVC cache", "remove them")
    yield from _objects(top, top / REMOTE, REMOTE, f"`git checkout {REMOTE}`")
    yield _published(catalogue)
    left = [path for path in _leftovers(root) if path.exists()]
    if left:
        names = ", ".join(path.relative_to(root).as_posix() for path in left)
        yield Finding("note", "left over", f"of killed or running processes: {names}")


def _dvcs_files(catalogue: Catalogue) -> Iterator[Finding]:
    root = catalogue.workspace.root
    try:
        count = len(made_stages(root))
    except UserError:
        advice = f"`git checkout {LOCK_FILE}`, then the job `dvc_publish`"
        yield Finding("FAIL", LOCK_FILE, f"not readable; {advice}")
        return  # what dvc.yaml is to hold nobody knows then
    if count:
        yield Finding("ok", LOCK_FILE, f"{count} stages booked; `dcgan status` says the rest")
    yield _dvc_yaml(catalogue)


def _dvc_yaml(catalogue: Catalogue) -> Finding:
    try:
        if is_current(catalogue):
            return Finding("ok", DVC_FILE, "says what the asset graph says of what was made")
    except UserError as error:
        return Finding("FAIL", DVC_FILE, str(error))
    return Finding("FAIL", DVC_FILE, "behind the asset graph; run `dcgan dvc-sync`")


def _objects(root: Path, folder: Path, what: str, cure: str) -> Iterator[Finding]:
    """Whether a store of DVC's holds what the names of its objects say."""
    objects = sorted(path for path in (folder / _OBJECTS).glob("??/*") if path.is_file())
    bad = [path for path in objects if not _is_named_by_content(path)]
    if bad:
        names = _few([path.relative_to(root).as_posix() for path in bad])
        yield Finding("FAIL", what, f"{len(bad)} of {len(objects)} damaged; {cure}: {names}")
    elif objects:
        yield Finding("ok", what, f"{len(objects)} objects, all whole")


def _is_named_by_content(path: Path) -> bool:
    return md5_file(path) == path.parent.name + path.name.removesuffix(".dir")


def _published(catalogue: Catalogue) -> Finding:
    """Whether published networks and results have the bytes, and data the files, of their record.

    To read all pictures again would take as long as their making.
    """
    count, bad = 0, {}
    for step in catalogue.steps:
        labels = [(key, shard) for key in step.outputs for shard in catalogue.shards(step)]
        for artefact in (catalogue.artefact(*label) for label in labels):
            if catalogue.store.folder(artefact).exists():
                count += 1
                name = _first_bad(catalogue, artefact)
                if name is not None:
                    bad[artefact] = f"{artefact.path.as_posix()}/{name}"
    if not bad:
        return Finding("ok", "published", f"{count} artefacts, as they were published")
    folders = _few([artefact.path.as_posix() for artefact in bad])
    keys = _few([*dict.fromkeys(artefact.key for artefact in bad)], " ")
    return Finding(
        "FAIL",
        "published",
        f"not what was published: {_few([*bad.values()])}; remove {folders}, then `dvc pull` or "
        f"`dcgan materialize {keys}`",
    )


def _first_bad(catalogue: Catalogue, artefact: Artefact) -> str | None:
    store = catalogue.store
    if artefact.kind != "data":
        return store.verify(artefact)
    meta = Meta.read(store.folder(artefact))
    return None if meta is not None and store.meta(artefact) is not None else "_meta.json"


def _few(names: list[str], between: str = ", ") -> str:
    rest = f"{between}..." if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + rest


def _leftovers(root: Path) -> Iterator[Path]:
    for ending in ("part", "old"):
        yield from root.glob(f".*.{ending}")
        for top in _TOPS:
            yield from (root / top).glob(f"**/.*.{ending}")
