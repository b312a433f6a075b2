"""Tables of what a pydantic model takes, for the reference: key, what is allowed, default, meaning.

Types and bounds come from the model's JSON schema and meanings from the `Attributes` of its
docstring, so that neither can say anything else than the code.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from docs.writers.markdown import table

_ATTRIBUTE = re.compile(r"(\w+(?:, \w+)*): (.*)")
_BEYOND_SEEDS = 2**63


def fields_table(model: type[BaseModel]) -> str:
    """The table of a model's fields; those that are models themselves are linked by name."""
    schema = model.model_json_schema()
    required, known = set(schema.get("required", ())), meanings(model)
    rows = [
        [
            f"`{name}`",
            _allowed(field),
            "" if name in required else _default(model, name),
            known.get(name, ""),
        ]
        for name, field in schema["properties"].items()
    ]
    return table(("key", "allowed", "default", "meaning"), rows)


def about(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring, on one line."""
    return _docstring(model)[0]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What each field of a model means; of a field that is a model, what that is.

    A subclass's own words win over those of its parents.
    """
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        found.update((name, about(part)) for part, _ in models_within(field.annotation))
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel) and parent is not BaseModel:
            found |= _docstring(parent)[1]
    return found


def models_within(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """The models that an annotation allows, with `.NAME` for those of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
    elif get_origin(annotation) in (UnionType, dict, list):
        suffix = ".NAME" if get_origin(annotation) is dict else ""
        for part in get_args(annotation):
            yield from ((model, suffix) for model, _ in models_within(part))


def _docstring(model: type) -> tuple[str, dict[str, str]]:
    """A class's first paragraph, and what its docstring says of its attributes."""
    text, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")
    known: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(attributes).splitlines():
        if match := _ATTRIBUTE.match(line):
            names = match[1].split(", ")
            known.update(dict.fromkeys(names, match[2]))
        elif line.strip():
            known.update({name: f"{known[name]} {line.strip()}" for name in names})
    return " ".join(text.split("\n\n")[0].split()), known


# --- What is allowed ------------------------------------------------------------------------


def _allowed(field: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    match field:
        case {"$ref": str(path)}:
            name = path.rsplit("/", 1)[1]
            words = f"[{name}](#{name.lower()})"
        case {"anyOf": kinds}:
            words = " or ".join(_allowed(kind) for kind in kinds if kind.get("type") != "null")
        case {"enum": values}:
            words = ", ".join(f"`{as_yaml(value)}`" for value in values)
        case {"const": value}:
            words = f"`{as_yaml(value)}`"
        case {"type": "integer" | "number" as kind}:
            words = _number("whole number" if kind == "integer" else "number", field)
        case {"type": "boolean"}:
            words = "`true`, `false`"
        case {"type": "array", "prefixItems": [first, *others]}:
            words = f"list of {1 + len(others)}: {_allowed(first)}"
        case {"type": "array", "items": items}:
            words = f"list of: {_allowed(items)}"
        case {"type": "object", "patternProperties": values} if len(values) == 1:
            words = f"names, each with {_allowed(*values.values())}"
        case {"type": "object", "additionalProperties": dict(value)}:
            words = f"names, each with {_allowed(value)}"
        case {"type": "string"}:
            words = _text(field)
        case _:
            raise AssertionError(f"no words for {field}")
    return words


def _text(field: Mapping[str, Any]) -> str:
    if field.get("format") == "date":
        return "YYYY-MM-DD"
    return f"text like `{field['pattern']}`" if "pattern" in field else "text"


def _number(kind: str, field: Mapping[str, Any]) -> str:
    low, above = field.get("minimum"), field.get("exclusiveMinimum")
    high, below = field.get("maximum"), field.get("exclusiveMaximum")
    if kind == "whole number" and above is not None:
        low, above = above + 1, None
    bounds = [f"from {low}"] if low is not None else [f"above {above}"] if above is not None else []
    if below == _BEYOND_SEEDS:
        below = "2^63"
    bounds += [f"to {high}"] if high is not None else [f"below {below}"] if below else []
    if "multipleOf" in field:
        bounds.append(f"by {field['multipleOf']}")
    return " ".join([kind, *bounds])


def _default(model: type[BaseModel], name: str) -> str:
    default = model.model_fields[name].get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, BaseModel):
        changed = default.model_dump(mode="json", exclude_defaults=True)
        return f"`{as_yaml(changed)}`" if changed else "its defaults"
    return f"`{as_yaml(default)}`" if default not in ("", {}) else "empty"


def as_yaml(value: Any) -> str:
    """A value as params.yaml has it."""
    if isinstance(value, str | date):
        return str(value)
    text = json.dumps(value)
    return text.replace('"', "") if isinstance(value, dict) else text
