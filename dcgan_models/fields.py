"""Plain values from a file, held against a dataclass's fields before one is built from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dcgan_models.errors import UserError
from dcgan_models.files import read_json


def read_description(path: Path, of: str) -> Any:
    """Read the JSON file by which a folder is known for what it holds.

    Args:
        of: What it describes, for the line that says that there is none: `data set`.

    Raises:
        UserError: It is missing, or cannot be read.
    """
    try:
        return read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path.parent}: no {of} here ({path.name} is missing)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error})") from None


def check_fields(kind: type, content: Any, where: str) -> None:
    """Check plain values against the fields of a dataclass.

    Raises:
        UserError: `content` is no mapping, a key is unknown or missing, or a value is not of its
            field's type; the line names `where`, the key and what is allowed.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{where}: a mapping is needed, found {content!r:.60}")
    types = _types(kind)
    for name, value in content.items():
        if name not in types:
            raise UserError(f"{where}: unknown key {name!r:.60}; allowed: {', '.join(types)}")
        allowed = _describe_allowed(types[name], value)
        if allowed:
            raise UserError(f"{where}: {name} is {value!r:.60}; allowed: {allowed}")
    for field in fields(kind):
        if field.default is MISSING and field.name not in content:
            raise UserError(f"{where}: `{field.name}` is missing")


_types = cache(get_type_hints)  # some 50 us a call, and a plan reads ten thousand records


def _describe_allowed(kind: Any, value: Any) -> str:
    """What a field of this type allows, or nothing where `value` is allowed."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return "" if value in inner else ", ".join(inner)
    if get_origin(kind) is UnionType:
        words = [_describe_allowed(one, value) for one in inner]
        return "" if "" in words else " or ".join(words)
    if get_origin(kind) is tuple:
        return _describe_list(inner, value)
    if get_origin(kind) is list:
        return _describe_list((*inner, Ellipsis), value)
    if get_origin(kind) is dict:
        return _describe_mapping(inner[1], value)
    plain, words_ = _PLAIN.get(kind, (object, ""))
    fits = isinstance(value, plain) and (kind is bool or not isinstance(value, bool))
    if fits and isinstance(value, int):
        fits = -(2**63) <= value < 2**63
    elif fits and isinstance(value, float):
        fits = math.isfinite(value)
    return "" if fits else words_


def _describe_list(inner: tuple[Any, ...], value: Any) -> str:
    """As `_describe_allowed`, for `tuple[int, ...]`, or for `tuple[int, int, int]`."""
    kind, *others = inner
    _, word = _PLAIN.get(kind, (object, "a mapping"))
    if Ellipsis in others:
        words, fits = f"a list, each {word}", isinstance(value, list | tuple)
    else:
        words = f"a list of {len(inner)}, each {word}"
        fits = isinstance(value, list | tuple) and len(value) == len(inner)
    return "" if fits and not any(_describe_allowed(kind, one) for one in value) else words


def _describe_mapping(kind: Any, value: Any) -> str:
    """As `_describe_allowed`, for `dict[str, kind]`."""
    _, word = _PLAIN.get(kind, (object, ""))
    words = f"a mapping of text to {word}" if word else "a mapping"
    if not isinstance(value, dict):
        return words
    return words if any(_describe_allowed(kind, one) for one in value.values()) else ""


_PLAIN: Mapping[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true, false"),
    str: (str, "text"),
    NoneType: (NoneType, "null"),
}
