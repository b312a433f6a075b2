"""What is done otherwise than in the paper, as data: for the docs and `dcgan presets A B`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from dcgan_assets.params.yaml_files import parse_yaml

FILE = "deviations.yaml"


@cache
def _content() -> dict[str, Any]:
    text = (resources.files("dcgan_assets.assets.report") / FILE).read_text("utf-8")
    content: dict[str, Any] = parse_yaml(text, FILE)
    return content


def reasons() -> dict[str, str]:
    """Why presets differ, by the name of the setting."""
    found: dict[str, str] = _content()["presets"]
    return found


def choices() -> list[dict[str, str]]:
    """What is done otherwise: `what`, `paper`, `here` and `why` of each choice."""
    found: list[dict[str, str]] = _content()["choices"]
    return found
