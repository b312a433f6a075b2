"""Code versions: a hash of what an asset computes, blind to formatting, comments and docstrings.

The version of an asset covers its function, the definitions that the function reaches in its own
and other modules of dcgan_assets.assets, every module of dcgan_models and of
dcgan_assets.sources that these import (and what those import), and the asset's section of
params.yaml. presets.py is left out: its values count through the section, so that one preset's
change leaves the others alone; so is what speaks HTTP, which decides how politely answers come. The
rest of dcgan_assets is plumbing: it moves artefacts, and does not decide what is in them.

A version is blind, too, to where code lies. A module that counts as a whole counts under its own
name, without its packages; a definition of dcgan_assets.assets, and what is taken from plumbing,
under its name alone. So moving a module, or renaming one of the latter two kinds, makes nothing
stale.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dcgan_assets.engine.versions.memory import outline_of
from dcgan_assets.engine.versions.outlines import Outline, Taken, tree_digest
from dcgan_models.files import digest_json

_FOLLOWED = ("dcgan_models", "dcgan_assets.sources")
_BY_DEFINITION = "dcgan_assets.assets"
# Values of the presets count through the section. One module tells what was rejected and decides
# nothing. The others say how the web is asked, not what is made of its answers: an edit there must
# send nobody to ask it again.
_EXCLUDED = (
    "dcgan_models.presets",
    "dcgan_assets.assets.pictures.rejections",
    "dcgan_assets.sources.retry_after",
    *(f"dcgan_assets.sources.web.{name}" for name in ("clock", "contact")),
    *(f"dcgan_assets.sources.web.search.{name}" for name in ("client", "journal")),
    *(
        f"dcgan_assets.sources.web.download.{name}"
        for name in ("download", "fetching", "robots", "sites", "turns")
    ),
)
# What is left of a module that holds a docstring alone, as most packages' own do.
_EMPTY = tree_digest(ast.Module(body=[], type_ignores=[]))


def code_version(function: Callable[..., Any], section: Mapping[str, Any]) -> str:
    """The version of an asset's code, 16 hex digits.

    Args:
        function: What computes the asset.
        section: Its section of params.yaml, presets resolved, as plain JSON values.
    """
    code = _code(function.__module__, function.__name__)
    return digest_json({**code, "section": section})[:16]


@cache
def _code(module: str, name: str) -> dict[str, list[Any]]:
    """What a function reaches: `own` by definition, `modules` as a whole.

    Both are lists of [name, digest, what is taken from our modules], because two modules, and
    definitions of two, may have one name.
    """
    own, imported = _reachable(module, name)
    outlines = {each: _outline(each) for each in _closure(imported)}
    modules = [
        [_own_name(each), outline.digest, _labels(outline.taken)]
        for each, outline in outlines.items()
        if outline.digest != _EMPTY or outline.taken
    ]
    return {"own": sorted(own), "modules": sorted(modules)}


def _reachable(module: str, start: str) -> tuple[list[list[Any]], set[str]]:
    """The definitions that `start` reaches, as in `_code`, and the modules that these import."""
    seen: set[tuple[str, str]] = set()
    reached: list[list[Any]] = []
    imported: set[str] = set()
    waiting = [(module, start)]
    while waiting:
        module, name = waiting.pop()
        found = _outline(module)
        if (module, name) in seen:
            continue
        seen.add((module, name))
        definition = found.definitions.get(name)
        if definition is None:
            # It may hand on what it takes from elsewhere.
            waiting += _definitions(each for each in found.bindings if each.bound == name)
            continue
        taken = definition.taken + [b for b in found.bindings if b.bound in definition.uses]
        reached.append([name, definition.digest, _labels(taken)])
        waiting += [(module, other) for other in definition.uses]
        waiting += _definitions(taken)
        imported |= _modules(taken)
    return reached, imported


def _definitions(taken: Iterable[Taken]) -> list[tuple[str, str]]:
    """What imports from asset modules reach: one definition each, or all of a whole module."""
    reached = []
    for module, name, _ in taken:
        whole = f"{module}.{name}"
        if not module.startswith(_BY_DEFINITION) or module in _EXCLUDED:
            continue
        if _module_path(whole) is None:
            reached.append((module, name))
        else:
            reached += [(whole, each) for each in _outline(whole).definitions]
    return reached


def _modules(taken: Iterable[Taken]) -> set[str]:
    """The modules that imports reach, as far as versions follow them as a whole."""
    reached = {_module_of(each) for each in taken}
    return {module for module in reached if _is_followed(module)}


def _module_of(taken: Taken) -> str:
    """The module that an import names, or from which it takes something."""
    whole = f"{taken.module}.{taken.name}"
    return taken.module if _module_path(whole) is None else whole


def _labels(taken: Iterable[Taken]) -> list[str]:
    """What is imported as far as the rest does not tell it.

    Of what a module that counts as a whole has, from which; of anything, what it came to be called.
    """
    labels = set()
    for each in taken:
        module, name, bound = each
        from_counted = _module_of(each) == module and _is_followed(module)
        label = f"{_own_name(module)}.{name}" if from_counted else name
        if from_counted or bound != name:
            labels.add(f"{label} as {bound}")
    return sorted(labels)


def _own_name(module: str) -> str:
    """A module's name without its packages."""
    return module.rsplit(".", maxsplit=1)[-1]


def _outline(module: str) -> Outline:
    return outline_of(_module_path(module) or Path())


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
            waiting += _modules(_outline(name).taken)
    return found
