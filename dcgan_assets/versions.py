"""Code versions: a hash of what an asset computes, blind to formatting, comments and docstrings.

The version of an asset covers its function, the definitions that the function reaches in its own
and other modules of dcgan_assets.assets, every module of dcgan_models, dcgan_assets.sources,
dcgan_assets.faces and dcgan_assets.scraping that these import (and what those import), and the
asset's section of params.yaml. presets.py is left out: its values count through the section, so
that one preset's change leaves the others alone; so is what speaks HTTP, which decides how
politely answers come. The rest of dcgan_assets is plumbing: it moves artefacts, and does not
decide what is in them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dcgan_assets.outline_memory import outline_of
from dcgan_assets.outlines import Outline

_FOLLOWED = (
    "dcgan_models",
    "dcgan_assets.sources",
    "dcgan_assets.faces",
    "dcgan_assets.scraping",
)
_BY_DEFINITION = "dcgan_assets.assets"
# Values of the presets count through the section. The other modules say how the web is asked, not
# what is made of its answers: an edit there must send nobody to ask it again.
_EXCLUDED = (
    "dcgan_models.presets",
    "dcgan_assets.sources.retry_after",
    *(
        f"dcgan_assets.scraping.{name}"
        for name in (
            "client",
            "clock",
            "contact",
            "download",
            "fetching",
            "journal",
            "robots",
            "sites",
        )
    ),
)


def digest_json(content: Any) -> str:
    """Hex SHA-256 of plain JSON values, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def code_version(function: Callable[..., Any], section: Mapping[str, Any]) -> str:
    """The version of an asset's code, 16 hex digits.

    Args:
        function: What computes the asset.
        section: Its section of params.yaml, presets resolved, as plain JSON values.
    """
    code = _code(function.__module__, function.__name__)
    return digest_json({**code, "section": section})[:16]


@cache
def _code(module: str, name: str) -> dict[str, dict[str, str]]:
    """Digests of what a function reaches: `own` by definition, `modules` as a whole."""
    own, imported = _reachable(module, name)
    modules = {each: _outline(each).digest for each in sorted(_closure(imported))}
    return {"own": own, "modules": modules}


def _reachable(module: str, start: str) -> tuple[dict[str, str], set[str]]:
    """Digests of the definitions that `start` reaches, and the modules that these import."""
    digests: dict[str, str] = {}
    imported: set[str] = set()
    waiting = [(module, start)]
    while waiting:
        module, name = waiting.pop()
        found = _outline(module)
        if name in found.origins:
            waiting += _taken(*found.origins[name])
        label = f"{module}.{name}"
        if label in digests or name not in found.definitions:
            continue
        definition = found.definitions[name]
        digests[label] = definition.digest
        waiting += [(module, other) for other in definition.uses]
        imported |= _followed(definition.imports)
        for bound, imports in found.bindings:
            if not set(bound).isdisjoint(definition.uses):
                imported |= _followed(imports)
    return digests, imported


def _taken(module: str, name: str) -> list[tuple[str, str]]:
    """What an import from an asset module reaches: one definition, or all of a whole module."""
    if not module.startswith(_BY_DEFINITION):
        return []
    if _module_path(f"{module}.{name}") is None:
        return [(module, name)]
    return [(f"{module}.{name}", each) for each in _outline(f"{module}.{name}").definitions]


def _outline(module: str) -> Outline:
    return outline_of(_module_path(module) or Path())


def _followed(names: Iterable[str]) -> set[str]:
    """Those of imported names that are modules of ours, as far as versions follow them."""
    return {name for name in names if _is_followed(name)}


@cache
def _is_followed(name: str) -> bool:
    inside = any(name == root or name.startswith(f"{root}.") for root in _FOLLOWED)
    return inside and name not in _EXCLUDED and _module_path(name) is not None


@cache
def _module_path(name: str) -> Path | None:
    """The file of a module, found without importing its package (which may load torch)."""
    if name in sys.modules:
        return Path(sys.modules[name].__file__ or "")
    package, *rest = name.split(".")
    origin = importlib.import_module(package).__file__
    path = Path(origin or "").parent.joinpath(*rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _closure(names: set[str]) -> set[str]:
    """The modules and everything that they import in turn, type-checking imports included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return found


@cache
def _imports(module: str) -> set[str]:
    return _followed(_outline(module).imports)
