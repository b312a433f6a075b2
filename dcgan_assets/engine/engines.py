"""Engines that spread runs over machines: what a workspace keeps for one, and Dagster's settings.

`machine.engine` in params.yaml names it. `dcgan engine NAME` writes the folder `cluster`, whose
dagster.yaml is laid over ours; what else is there is for people, containers and Kubernetes.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

import yaml  # noqa: TID251  (what Dagster reads its own settings with)

from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PARAMS_FILE, Engine
from dcgan_assets.params.yaml_files import read_yaml
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

FOLDER = "cluster"
_LOCAL: Engine = "local"
_PACKAGES = {
    "ray": ("dagster_ray", "ray", "dagster_postgres", "psycopg2"),
    "celery": ("dagster_celery", "redis", "dagster_postgres", "psycopg2"),
}
_LAUNCHERS = {"ray": "dcgan_assets.engine.ray_runs", "celery": "dcgan_assets.engine.celery_runs"}
# What each engine's folder holds, and the templates of it, one after the other.
_FILES = {
    "dagster.yaml": ("common.yaml", "{}.yaml"),
    "env": ("common.env", "{}.env"),
    "compose.yaml": ("common.compose.yaml", "{}.compose.yaml"),
    "values.yaml": ("values.yaml",),
}
_PRIVATE = "env"
_SECRET_KEY = re.compile(r"passw|secret|token|postgres_url", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def engine_of(workspace: Workspace) -> Engine:
    """The engine that params.yaml names; `local` where there is no params.yaml yet."""
    return workspace.params.machine.engine if (workspace.root / PARAMS_FILE).exists() else _LOCAL


def laid_over(ours: str, workspace: Workspace) -> str:
    """Our dagster.yaml with the engine's settings laid over it.

    Raises:
        UserError: The engine's packages or its settings are not there, or a credential is written
            into these.
    """
    engine = engine_of(workspace)
    if engine == _LOCAL:
        return ours
    require_extra(engine)
    path = workspace.root / FOLDER / "dagster.yaml"
    try:
        theirs = read_yaml(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing, and {PARAMS_FILE} says machine.engine: {engine}; "
            f"`dcgan engine {engine}` writes it"
        ) from None
    if not isinstance(theirs, dict):
        raise UserError(f"{path}: a mapping of Dagster's settings is needed")
    for key in _credentials(theirs):
        raise UserError(
            f"{path}: {key}: a credential or an address that may hold one; it comes from the "
            "environment: {env: NAME}"
        )
    # Parsed, so that aliases and tags of one file mean nothing in the other.
    return yaml.safe_dump(_laid_over(yaml.safe_load(ours), theirs), sort_keys=False)


def require_extra(engine: Engine) -> None:
    """Raise `UserError` where the packages of an engine are not installed."""
    missing = [name for name in _PACKAGES[engine] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"machine.engine: {engine} needs {missing[0]}, which is not installed here; install "
            f"dcgan-assets with its extra `{engine}` (in the checkout: make engines)"
        )


def database_errors() -> tuple[type[Exception], ...]:
    """What Dagster's storage raises where its database does not answer, or does not do as asked."""
    # As heavy as all of this project's modules; Dagster loads it with its storage.
    from sqlalchemy.exc import DBAPIError

    if "dagster_postgres" not in sys.modules:
        return (DBAPIError,)
    from dagster_postgres.utils import DagsterPostgresException

    return DBAPIError, DagsterPostgresException


def database_words(error: Exception) -> str:
    """What a database said, in one line; neither address nor password is in it."""
    while error.__cause__ is not None and not hasattr(error, "orig"):
        error = cast(Exception, error.__cause__)
    return " ".join(str(getattr(error, "orig", error)).split())


@contextmanager
def quiet_retries() -> Iterator[None]:
    """Keep Dagster from telling, six times over, that it tries again to reach a database."""

    def says_more(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Retrying failed database")

    logging.getLogger().addFilter(says_more)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(says_more)


def _laid_over(below: Any, above: Any) -> Any:
    """Mappings key by key, lists one after the other; what else is above counts."""
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *above]
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _laid_over(below.get(key), value)
    return merged


def _credentials(content: Any, at: str = "") -> Iterator[str]:
    """Dotted keys under which a credential is written out."""
    match content:
        case {"env": _}:
            return
        case dict():
            for key, value in content.items():
                yield from _credentials(value, f"{at}.{key}".lstrip("."))
        case list():
            for value in content:
                yield from _credentials(value, at)
        case str():
            if _SECRET_KEY.search(at.rpartition(".")[2]) or _LOGIN.search(content):
                yield at


def write_cluster(root: Path, engine: Engine) -> list[str]:
    """Write what an engine needs into a workspace; the names of what was written.

    A file that is there is left as it is.

    Raises:
        UserError: The folder is another engine's, or cannot be written.
    """
    folder, written = root / FOLDER, []
    try:
        _require_none_of_another(folder / "dagster.yaml", engine)
        folder.mkdir(exist_ok=True)
        for name, parts in _FILES.items():
            texts = [(_templates() / part.format(engine)).read_text("utf-8") for part in parts]
            text = "".join(texts).replace("__ROOT__", str(root)).replace("__ENGINE__", engine)
            written += _write(folder / name, text)
        written += _write(folder / ".gitignore", f"/{_PRIVATE}\n")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return [f"{FOLDER}/{name}" for name in written]


def _require_none_of_another(settings: Path, engine: Engine) -> None:
    text = settings.read_text("utf-8") if settings.exists() else ""
    for other, module in _LAUNCHERS.items():
        if other != engine and f"module: {module}\n" in text:
            raise UserError(
                f"{settings}: of the engine {other}; move the folder {FOLDER} away, and "
                f"`dcgan engine {engine}` writes its own"
            )


def _templates() -> Any:
    return resources.files("dcgan_assets.engine") / "cluster"


def _write(path: Path, text: str) -> list[str]:
    if path.exists():
        return []
    with open_atomic(path) as stream:
        if path.name == _PRIVATE:
            os.fchmod(stream.fileno(), 0o600)
        stream.write(text.encode())
    return [path.name]
