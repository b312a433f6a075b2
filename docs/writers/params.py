"""docs/reference/params.md and profiles.md: every key of params.yaml, and what profiles set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dcgan_assets.params.base import Section
from dcgan_assets.params.file import PROFILES, Params, profile_text
from dcgan_assets.params.yaml_files import parse_yaml
from docs.writers.markdown import table
from docs.writers.models import about, as_yaml, fields_table, models_within

_PARAMS = """\
# params.yaml

Every key that params.yaml may have. Unknown keys are refused. A key without a default is needed.
What each profile sets is in [profiles](profiles.md); each asset's section is in the
[asset catalogue](assets.md).
"""
_PROFILES = """\
# Profiles

What `dcgan init DIR --profile NAME` writes, key by key. A dash: the profile leaves the key out,
and the default holds; for `batch` and `learning_rate` that is the [preset's](presets.md). What the
keys mean is in [params.yaml](params.md).
"""


def params_page() -> str:
    """The text of docs/reference/params.md."""
    return "\n".join([_PARAMS, *(_section(model, at) for model, at in sections().items())])


def profiles_page() -> str:
    """The text of docs/reference/profiles.md."""
    values = {name: dict(_leaves(parse_yaml(profile_text(name), name))) for name in PROFILES}
    keys = list(dict.fromkeys(key for profile in values.values() for key in profile))
    groups: dict[str, list[list[str]]] = {}
    for key in keys:
        cells = [_value(values[name], key) for name in PROFILES]
        head, _, rest = key.partition(".")
        groups.setdefault(head if rest else "workspace", []).append([f"`{rest or head}`", *cells])
    parts = [f"## {name}\n\n{table(('key', *PROFILES), rows)}" for name, rows in groups.items()]
    return "\n".join([_PROFILES, *parts])


def sections() -> dict[type[Section], list[str]]:
    """Every model of params.yaml, and the dotted paths at which it stands."""
    found: dict[type[Section], list[str]] = {Params: [""]}

    def walk(model: type[Section], path: str) -> None:
        for name, field in model.model_fields.items():
            for part, suffix in models_within(field.annotation):
                assert issubclass(part, Section)  # noqa: S101  (of params.yaml all are)
                at = f"{path}.{name}{suffix}".lstrip(".")
                found.setdefault(part, []).append(at)
                walk(part, at)

    walk(Params, "")
    return found


def _section(model: type[Section], at: list[str]) -> str:
    places = ", ".join(f"`{path}`" for path in at if path)
    heading = f"## {model.__name__}\n\n{about(model)}\n" + (f"\nAt {places}.\n" if places else "")
    return f"{heading}\n{fields_table(model)}"


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a mapping that was written on one line is a value, too."""
    for key, value in content.items():
        at = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
            yield from _leaves(value, at)
        elif isinstance(value, dict):
            yield from ((f"{at}.{name}", part) for name, part in value.items())
        else:
            yield at, value


def _value(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "–"  # noqa: RUF001
    value = values[key]
    return as_yaml(value) or '""'
