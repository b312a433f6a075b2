"""The reference pages say what the code says, and leave nothing out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from checkout import CHECKOUT
from pydantic import BaseModel, Field

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.engine.results import Result, Row
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text
from dcgan_models.presets import PRESETS
from docs.writers.markdown import table
from docs.writers.models import fields_table, meanings
from docs.writers.params import profiles_page, sections
from docs.writers.reference import FOLDER, PAGES, cli_page, paper_references

ROOT = CHECKOUT


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    written = (ROOT / FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `python -m docs.writers`"


def test_there_are_no_other_pages() -> None:
    assert {path.name for path in (ROOT / FOLDER).iterdir()} == set(PAGES)


@pytest.mark.parametrize("model", [*sections(), Result, Row], ids=lambda model: model.__name__)
def test_every_key_has_a_meaning(model: type[BaseModel]) -> None:
    missing = [name for name in model.model_fields if not meanings(model).get(name)]
    assert not missing, f"say what {missing} mean, in the docstring of {model.__name__}"


def test_every_leaf_of_every_profile_is_on_its_page() -> None:
    lines = profiles_page().splitlines()
    (epochs,) = [line for line in lines if line.startswith("| `dedup_autoencoder.epochs` ")]
    values = [
        str(yaml.safe_load(profile_text(name))["lsun"]["dedup_autoencoder"]["epochs"])
        for name in PROFILES
    ]
    assert epochs.split(" | ")[1:] == [*values[:-1], f"{values[-1]} |"]
    for name in PROFILES:
        text = profile_text(name)
        assert text.count("preset: ") == sum(
            line.split(" | ")[1 + PROFILES.index(name)].strip(" |") != "–"  # noqa: RUF001
            for line in lines
            if ".preset` " in line
        )


def test_every_command_and_preset_has_a_heading() -> None:
    assert all(f"\n## dcgan {name}\n" in cli_page() for name in main.commands)
    assert all(f"\n## {name}\n" in PAGES["presets.md"]() for name in PRESETS)


def test_every_asset_is_in_the_catalogue_and_names_the_paper(tmp_path: Path) -> None:
    page = PAGES["assets.md"]()
    (tmp_path / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    for step in open_catalogue(Workspace(tmp_path)).steps:
        for key in step.outputs:
            assert f"`{key}`" in page
        assert step.description.replace("|", "\\|") in page


def test_paper_references_are_found_once_each() -> None:
    text = "Figures 2 and 3 (section 3.1; Table 3 in v2). section 3.1 of the set, figure of 5."
    assert paper_references(text) == ["Figures 2 and 3", "Section 3.1", "Table 3"]


class _Part(BaseModel):
    """A part."""


class _Whole(BaseModel):
    """A whole.

    Attributes:
        count, share: Both
            of them.
        kind: Which | what.
    """

    count: Annotated[int, Field(gt=0)]
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    kind: Literal["a", "b"] | None = None
    parts: dict[str, _Part] = Field(default_factory=dict)
    sides: tuple[int, int] = (1, 2)


def test_a_model_as_a_table() -> None:
    assert fields_table(_Whole) == table(
        ("key", "allowed", "default", "meaning"),
        [
            ["`count`", "whole number from 1", "", "Both of them."],
            ["`share`", "number from 0 to 1", "`0.5`", "Both of them."],
            ["`kind`", "`a`, `b`", "none", "Which | what."],
            ["`parts`", "names, each with [_Part](#_part)", "empty", "A part."],
            ["`sides`", "list of 2: whole number", "`[1, 2]`", ""],
        ],
    )
    assert "Which \\| what." in fields_table(_Whole)
