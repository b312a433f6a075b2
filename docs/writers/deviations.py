"""docs/deviations.md: what this project does otherwise than the paper, and why."""

from __future__ import annotations

from pathlib import Path

from dcgan_assets.assets.report.deviations import choices, reasons
from docs.writers.markdown import table

DOCUMENT = Path("docs/deviations.md")
_INTRODUCTION = """\
# Deviations

Every choice that the paper leaves open, and every place where we do something else than the paper
or the authors' code. "Code" is the authors' public repository, Newmu/dcgan_code; "Torch code" is
soumith/dcgan.torch. This page is written from `dcgan_assets/assets/report/deviations.yaml`.

## Choices
"""
_PRESETS = """\

## Why the presets differ from one another

`dcgan presets A B` prints what differs between two of them, with these reasons.
"""


def document() -> str:
    """The text of docs/deviations.md."""
    columns = ("what", "paper", "here", "why")
    rows = [[row[column] for column in columns] for row in choices()]
    chosen = table(("what", "paper or code", "here", "why"), rows)
    settings = table(("setting", "why"), [[f"`{name}`", why] for name, why in reasons().items()])
    return f"{_INTRODUCTION}\n{chosen}{_PRESETS}\n{settings}"
