"""`dcgan log KEY`: which versions of an asset were published, from git, DVC and Dagster.

Every commit of dvc.lock pins what stood then. Where DVC's cache or a remote still has the content,
its record says how it was made and what it scored; Dagster knows the run.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from tabulate import tabulate

from dcgan_assets.dvc.dvc_cache import DvcCache, Place
from dcgan_assets.dvc.dvc_yaml import LOCK_FILE, is_kept, stage_name, stages_in
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.going_back import ROLLED_BACK
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.results import RESULT_FILE, Result
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import META_FILE, Meta
from dcgan_assets.engine.terminal import unknown
from dcgan_assets.params.yaml_files import parse_yaml, read_yaml_text
from dcgan_models.errors import UserError

_HEADER = ("version", "commit", "pinned", "made", "run", "seed", "kept", "scores")
_SHOWN_SCORES = 3
_RUNS = 1000


@dataclass(frozen=True)
class Pinned:
    """What a dvc.lock says of a step's outputs.

    Attributes:
        commit: The oldest in a row of commits that say the same; None where only the dvc.lock on
            disk says it.
        date: Of the commit, as YYYY-MM-DD.
        stage: The stage's entry.
        hashes: DVC's hash of each output, by key.
    """

    commit: str | None
    date: str
    stage: dict[str, Any]
    hashes: dict[str, str]


def pinned_versions(catalogue: Catalogue, step: Step) -> list[Pinned]:
    """Every version of a step's outputs that a dvc.lock pinned, the newest first.

    Raises:
        UserError: The root is not in a git repository, or a dvc.lock is not readable.
    """
    versions: list[Pinned] = []
    for commit, date, text in _lock_files(catalogue.workspace.root):
        stage = _stage(text, stage_name(step), commit or LOCK_FILE)
        hashes = _hashes(catalogue, step, stage)
        if not hashes:
            continue
        if versions and versions[-1].hashes == hashes:
            versions.pop()
        versions.append(Pinned(commit, date, stage, hashes))
    return versions


def cache_of(catalogue: Catalogue, versions: Iterable[Pinned]) -> DvcCache:
    """What DVC can give of versions.

    Raises:
        UserError: The root is not in a git repository, or DVC cannot read its own settings.
    """
    root = catalogue.workspace.root
    above = _git(root, "rev-parse", "--show-prefix").strip()
    places = {
        md5: Place(
            version.commit,
            (above if version.commit else "") + catalogue.artefact(key).path.as_posix(),
        )
        for version in versions
        for key, md5 in version.hashes.items()
    }
    return DvcCache(root, places)


def _lock_files(root: Path) -> Iterator[tuple[str | None, str, str]]:
    """The dvc.lock on disk and those of all commits that changed it: commit, date, text."""
    path = root / LOCK_FILE
    if path.exists():
        yield None, "", read_yaml_text(path)
    for line in _git(root, "log", "--format=%h %cs", "--", LOCK_FILE).splitlines():
        commit, date = line.split()
        present = _git(root, "ls-tree", "--name-only", commit, LOCK_FILE)
        if present:
            yield commit, date, _git(root, "show", f"{commit}:./{LOCK_FILE}")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # of a dvc.lock that is none
        check=False,
    )
    # Of a repository without a commit there is no history, which is no failure.
    if done.returncode and "does not have any commits" not in done.stderr:
        raise UserError(f"{root}: git failed: {(done.stderr.splitlines() or ['no word'])[-1]}")
    return done.stdout


def _stage(text: str, name: str, where: str) -> dict[str, Any]:
    try:
        content = parse_yaml(text, LOCK_FILE)
        return stages_in({} if content is None else content, LOCK_FILE).get(name, {})
    except UserError as error:
        raise UserError(f"{where}: {LOCK_FILE} is not readable there ({error})") from None


def _hashes(catalogue: Catalogue, step: Step, stage: dict[str, Any]) -> dict[str, str]:
    """The hashes of all outputs; none where the entry lacks one."""
    outs = [out for out in stage.get("outs") or () if isinstance(out, dict)]
    pinned = {str(out.get("path")): out.get("md5") for out in outs}
    found = {key: pinned.get(catalogue.artefact(key).path.as_posix()) for key in step.outputs}
    return {key: md5 for key, md5 in found.items() if md5} if all(found.values()) else {}


# --- What the content says --------------------------------------------------------------------


def recorded(cache: DvcCache, pinned: str) -> Meta | None:
    """The record within a pinned folder; None where it cannot be had."""
    text = cache.read(pinned, META_FILE)
    return Meta.parse(text) if text is not None else None


def version_name(meta: Meta | None, pinned: str) -> str:
    """How a version is called: its data version, or DVC's hash where that is all that is known."""
    return meta.data_version[:8] if meta else f"dvc:{pinned[:8]}"


def log_rows(catalogue: Catalogue, key: str) -> list[dict[str, str]]:
    """What there is to say of each of an asset's versions, the newest first.

    Raises:
        UserError: The asset is unknown or never pinned, or git or DVC cannot be read.
    """
    step = require_pinned(catalogue, key)
    versions = pinned_versions(catalogue, step)
    if not versions:
        raise UserError(f"{key}: in no {LOCK_FILE} yet; `dcgan materialize {key}` makes it")
    cache = cache_of(catalogue, versions)
    runs = _runs(catalogue, key)
    kept = is_kept(catalogue, step)
    cells = [_row(cache, key, version, runs, kept) for version in versions]
    return [dict(zip(_HEADER, row, strict=True)) for row in cells]


def log_lines(catalogue: Catalogue, key: str) -> list[str]:
    """The table of `log_rows`, which says what raises."""
    rows = [tuple(row.values()) for row in log_rows(catalogue, key)]
    return tabulate(rows, _HEADER, tablefmt="plain", disable_numparse=True).splitlines()


def require_pinned(catalogue: Catalogue, key: str) -> Step:
    """The step of an asset that has a stage in dvc.yaml.

    Raises:
        UserError: There is none; the line says why.
    """
    step = catalogue.by_key.get(key)
    if step is None:
        raise unknown("asset", key, catalogue.by_key, "`dcgan ui` shows all")
    if not step.has_stage:
        raise UserError(f"{key}: not in dvc.yaml; what is made of it is, where something is")
    return step


def _row(
    cache: DvcCache, key: str, version: Pinned, runs: dict[str, str], kept: bool
) -> tuple[str, ...]:
    pinned = version.hashes[key]
    meta = recorded(cache, pinned)
    place = "here" if cache.holds(pinned) else "elsewhere"
    return (
        version_name(meta, pinned),
        version.commit or "none yet",
        version.date,
        meta.created[:16].replace("T", " ") if meta else "",
        runs.get(meta.data_version, "") if meta else "",
        "" if meta is None or meta.seed is None else str(meta.seed),
        place if kept else "never",
        _scores(cache, pinned, meta),
    )


def _scores(cache: DvcCache, pinned: str, meta: Meta | None) -> str:
    """The first numbers of a result; of networks those of the decision, and its reason."""
    text = cache.read(pinned, RESULT_FILE)
    if text is not None:
        rows = Result.model_validate_json(text).rows
        numbers = {row.name: row.value for row in rows if row.value is not None}
        reason = ""
    else:
        facts = shown.decode(meta.metadata) if meta else {}
        floats = {n: v.value for n, v in facts.items() if isinstance(v, dg.FloatMetadataValue)}
        numbers = {name: value for name, value in floats.items() if value is not None}
        said = facts.get(ROLLED_BACK) or facts.get("reason")
        reason = str(said.value) if said else ""
    parts = [f"{name} {value:.4g}" for name, value in list(numbers.items())[:_SHOWN_SCORES]]
    if len(numbers) > _SHOWN_SCORES:
        parts.append(f"and {len(numbers) - _SHOWN_SCORES} more")
    return ", ".join([*parts, *([reason] if reason else [])])


def _runs(catalogue: Catalogue, key: str) -> dict[str, str]:
    """Which run made a version: the first one, as later ones found it made already."""
    with open_instance(catalogue.workspace) as instance:
        records = instance.fetch_materializations(
            dg.AssetKey.from_user_string(key), limit=_RUNS
        ).records
    found: dict[str, str] = {}
    for record in records:  # the newest first
        event = record.asset_materialization
        if event is not None:
            version = (event.tags or {}).get("dagster/data_version", "")
            by_hand = "rolled back" if ROLLED_BACK in event.metadata else "registered"
            found[version] = record.run_id[:8] or by_hand
    return found
