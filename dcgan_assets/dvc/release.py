"""`dcgan release`: what a clone gets without credentials: a remote inside the repository, records.

The remote `results` is a folder beside `.dvc` that git keeps. A release fills it anew with what
dvc.lock names and may be passed on, and writes records/ about everything. Nothing else of ours
changes either of them, so that git holds one version of each a release. Where several workspaces
share a DVC repository they share the remote, and what the records of the others name stays in it.
What somebody pushed there that we did not make, as of `dvc add`, goes over into the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcgan_assets.dvc.commit import publish, require_books
from dcgan_assets.dvc.dvc_settings import dvc_top
from dcgan_assets.dvc.dvc_yaml import is_kept
from dcgan_assets.dvc.records import write_records
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.planning import choose_steps, make_plan, with_ancestors
from dcgan_assets.engine.records import RECORDS, read_record, require_records_alone
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import META_FILE, Meta, listed_files
from dcgan_models.errors import UserError
from dcgan_models.files import share_file, staged, swap_in

REMOTE = "dvc-remote"
MOST_BYTES = 50_000_000  # of the whole remote: git keeps it, and whoever clones takes it
_OBJECTS = "files/md5"


@dataclass(frozen=True)
class Release:
    """What a release holds.

    Attributes:
        assets: Keys of what the remote has.
        records: How many records were written.
        bytes: The remote's size.
    """

    assets: tuple[str, ...]
    records: int
    bytes: int


def make_release(catalogue: Catalogue, names: Sequence[str] = ()) -> Release:
    """Fill the committed remote and write the records, from a workspace that is up to date.

    Args:
        names: Keys or groups, released with all that they are made from; everything without any.
            What an earlier release had beside them is in this one no more.

    Raises:
        UserError: Something is stale, what may be passed on is too large, or DVC failed; remote
            and records are then as they were.
    """
    root = catalogue.workspace.root
    require_books(catalogue.workspace, "a release")
    require_records_alone(root)
    released = with_ancestors(catalogue, choose_steps(catalogue, names))
    _require_current(catalogue, released)
    steps = [step for step in released if _is_given_away(catalogue, step)]
    for key in (key for step in steps for key in step.outputs):
        catalogue.store.require_ours(key, catalogue.by_key[key].kind)
    _require_small(catalogue, steps)
    publish(catalogue)
    assets = tuple(key for step in steps for key in step.outputs)
    size = _fill_remote(root, [catalogue.artefact(key).path for key in assets])
    return Release(assets, len(write_records(catalogue, released)), size)


def _is_given_away(catalogue: Catalogue, step: Step) -> bool:
    return is_kept(catalogue, step) and step.kind != "data"


def _require_current(catalogue: Catalogue, steps: Sequence[Step]) -> None:
    with open_instance(catalogue.workspace) as instance:
        plan = make_plan(catalogue, instance, steps)
    if plan.items:
        (key, shard), reason = next(iter(plan.items.items()))
        raise UserError(
            f"{catalogue.artefact(key, shard).label}: {reason}; {len(plan.items)} to make; "
            "`dcgan materialize` first"
        )


def _require_small(catalogue: Catalogue, steps: list[Step]) -> None:
    sizes = {}
    for key in (key for step in steps for key in step.outputs):
        folder = catalogue.store.folder(catalogue.artefact(key))
        sizes[key] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if sum(sizes.values()) > MOST_BYTES:
        largest = sorted(sizes, key=lambda key: sizes[key], reverse=True)[:3]
        named = ", ".join(f"{key} {sizes[key] / 1e6:.0f} MB" for key in largest)
        raise UserError(
            f"{sum(sizes.values()) / 1e6:.0f} MB to give away, allowed {MOST_BYTES / 1e6:.0f}; "
            f"the largest: {named}"
        )


def remote_of(root: Path) -> Path:
    """Where the committed remote of a workspace lies."""
    return dvc_top(root) / REMOTE


def _fill_remote(root: Path, places: list[Path]) -> int:
    """Swap in a remote with the objects of some outputs, and of the releases of other workspaces.

    Returns:
        Its size in bytes.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    targets = [str(root / place) for place in places]
    remote = remote_of(root)
    try:
        with staged(remote, made_objects) as staging:
            settings = {"remote": {"release": {"url": str(staging)}}}
            with Repo(str(root), config=settings) as repo:
                repo.push(targets=targets, remote="release")
                others = {Path(stage.path).parent for stage in repo.index.stages}
            # Before the swap, so that whoever is killed leaves all of it in one place.
            for name in released_objects(remote, others - {root.resolve()}):
                if not (staging / name).exists():
                    (staging / name).parent.mkdir(parents=True, exist_ok=True)
                    share_file(remote / name, staging / name)
            _require_room(staging)
            swap_in(staging, remote, made_objects)
    except DvcException as error:
        raise UserError(f"the release cannot be pushed: {error}") from None
    except OSError as error:
        raise UserError(f"{remote}: cannot be written ({error.strerror})") from None
    return _size(remote)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _require_room(remote: Path) -> None:
    if (size := _size(remote)) > MOST_BYTES:
        raise UserError(
            f"{size / 1e6:.0f} MB to give away with the releases of other workspaces, allowed "
            f"{MOST_BYTES / 1e6:.0f}"
        )


def released_objects(remote: Path, workspaces: Iterable[Path]) -> list[str]:
    """The objects of a remote that the records of some workspaces name: names relative to it.

    Raises:
        UserError: A record is not readable: what it keeps is not known.
    """
    released = set()
    for folder in (root / RECORDS for root in workspaces):
        for path in sorted(folder.rglob("*.json")):
            key = path.relative_to(folder).with_suffix("").as_posix()
            entries = read_record(path, key).entries
            released |= {(key, entry.shard, entry.fingerprint) for entry in entries}
    found: dict[str, None] = {}
    for path, files in _folders(remote):
        meta = Meta.read_file(remote / _object(files[META_FILE])) if META_FILE in files else None
        if meta and (meta.key, meta.shard, meta.fingerprint) in released:
            there = [name for name in map(_object, files.values()) if (remote / name).is_file()]
            found |= dict.fromkeys([*there, path.relative_to(remote).as_posix()])
    return [*found]


def _folders(remote: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folders that a DVC remote holds: DVC's list of each, and the files' hashes by name."""
    for path in sorted((remote / _OBJECTS).glob("??/*.dir")):
        try:
            files = {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
        except (OSError, ValueError, TypeError, KeyError):
            continue
        yield path, files


def made_objects(remote: Path) -> list[str]:
    """The objects of a DVC remote that hold artefacts: names relative to it.

    Of each folder that it holds, DVC keeps a list. The folder is ours where our record is in it
    and lists all else in it; an object that another folder needs as well is not.
    """
    made: dict[str, None] = {}
    needed: set[str] = set()
    for path, files in _folders(remote):
        record = listed_files(remote / _object(files[META_FILE])) if META_FILE in files else None
        if record and set(files) <= {*record, META_FILE}:
            names = [*record, META_FILE]
            made |= dict.fromkeys(_object(files[name]) for name in names if name in files)
            made[path.relative_to(remote).as_posix()] = None
        else:
            needed.update(map(_object, files.values()))
    return [name for name in made if name not in needed]


def _object(md5: str) -> str:
    return f"{_OBJECTS}/{md5[:2]}/{md5[2:]}"
