"""What this project does otherwise than the paper, as data: for the docs and `dcgan presets A B`.

`python -m dcgan_assets.deviations` writes docs/deviations.md.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dcgan_assets.markdown import table
from dcgan_assets.yaml_files import parse_yaml

_FILE = "deviations.yaml"
DOCUMENT = Path("docs/deviations.md")
_INTRODUCTION = """\
# Deviations

Every choice that the paper leaves open, and every place where we do something else than the paper
or the authors' code. "Code" is the authors' public repository, Newmu/dcgan_code; "Torch code" is
soumith/dcgan.torch. This page is written from `dcgan_assets/deviations.yaml`.

## Choices
"""
_PRESETS = """\

## Why the presets differ from one another

`dcgan presets A B` prints what differs between two of them, with these reasons.
"""


@cache
def _content() -> dict[str, Any]:
    text = (resources.files("dcgan_assets") / _FILE).read_text("utf-8")
    content: dict[str, Any] = parse_yaml(text, _FILE)
    return content


def reasons() -> dict[str, str]:
    """Why presets differ, by the name of the setting."""
    found: dict[str, str] = _content()["presets"]
    return found


def choices() -> list[dict[str, str]]:
    """What is done otherwise: `what`, `paper`, `here` and `why` of each choice."""
    found: list[dict[str, str]] = _content()["choices"]
    return found


def document() -> str:
    """The text of docs/deviations.md."""
    columns = ("what", "paper", "here", "why")
    rows = [[row[column] for column in columns] for row in choices()]
    chosen = table(("what", "paper or code", "here", "why"), rows)
    settings = table(("setting", "why"), [[f"`{name}`", why] for name, why in reasons().items()])
    return f"{_INTRODUCTION}\n{chosen}{_PRESETS}\n{settings}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
