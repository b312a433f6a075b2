"""paper.yaml: all that the paper shows, in its order, with its numbers."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from page_elements import make_catalogue
from pydantic import ValidationError

from dcgan_assets.assets.classification import supervised_cnn, svm_scores
from dcgan_assets.assets.digits import mnist
from dcgan_assets.assets.report.compose import compose
from dcgan_assets.assets.report.deviations import choices
from dcgan_assets.assets.report.items import Table, TableRow, caption, load_paper
from dcgan_assets.engine.measures import MEASURES
from dcgan_assets.params.file import PROFILES

ITEMS = {item.id: item for item in load_paper().items}
FIGURES = [f"Figure {number}" for number in range(1, 12)]


def test_every_figure_and_table_of_both_versions_is_there_once() -> None:
    for version, tables in (("v1", 2), ("v2", 3)):
        numbers = [getattr(item, version) for item in ITEMS.values()]
        numbered = [number for number in numbers if number[:5] in {"Figur", "Table"}]
        expected = [*FIGURES, *(f"Table {number}" for number in range(1, tables + 1))]
        assert sorted(numbered) == sorted(expected)
    assert (ITEMS["table-svhn"].v1, ITEMS["table-svhn"].v2) == ("", "Table 2")
    assert (ITEMS["table-mnist"].v1, ITEMS["table-mnist"].v2) == ("Table 2", "Table 3")


def test_they_come_in_the_papers_order() -> None:
    names = [item.v2 for item in ITEMS.values()]
    places = [names.index(name) for name in FIGURES]
    assert places == sorted(places)
    assert names.index("Figure 3") < names.index("Table 1") < names.index("Table 2")
    assert names.index("Table 2") < names.index("Figure 4")
    assert names.index("Figure 8") < names.index("Table 3") < names.index("Figure 9")
    readme = [item.section == "README" for item in ITEMS.values()]
    assert sum(later < earlier for earlier, later in pairwise(readme)) == 0, "the README is last"


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "gallery"])
def test_what_items_name_is_in_the_graph(profile: str, tmp_path: Path) -> None:
    known = make_catalogue(tmp_path, profile).by_key
    for item in ITEMS.values():
        named = {shown.asset for shown in item.shows if not shown.optional} | {*item.networks}
        named |= {item.pictures} - {""}
        assert named <= set(known), item.id
        optional = {shown.asset for shown in item.shows if shown.optional}
        assert item.headline is None or item.headline.asset in named | optional


def test_tables_and_claims_are_in_the_vocabulary() -> None:
    for item in ITEMS.values():
        shown = {one.asset for one in item.shows}
        assert item.table is None or item.table.measure in MEASURES
        for claim in item.claims:
            assert claim.asset in shown, claim.words
            re.compile(claim.row)
            assert isinstance(claim.than, float) or claim.than.split(": ")[0].count("/") == 1


@pytest.mark.parametrize(
    ("picture", "figure"),
    [
        ("lsun/claims/walk.png", "figure-4"),
        ("lsun/claims/forgetting.png", "figure-6"),
        ("faces/claims/arithmetic.png", "figure-7"),
        ("faces/claims/turn.png", "figure-8"),
    ],
)
def test_a_picture_of_what_was_counted_is_shown_with_its_figure(picture: str, figure: str) -> None:
    asset, file = picture.rsplit("/", maxsplit=1)
    shown = [
        item.id
        for item in ITEMS.values()
        for one in item.shows
        if one.asset == asset and any(fnmatchcase(file, pattern) for pattern in one.files)
    ]
    assert shown == [figure]


def paper_cells(table: Any) -> dict[str, tuple[str | None, ...]]:
    return {row.model: row.paper for row in table.rows}


def leading(cells: tuple[str | None, ...]) -> tuple[float | None, ...]:
    return tuple(cell and float(cell.split()[0]) for cell in cells)


def test_the_papers_numbers_are_those_that_results_carry() -> None:
    table = paper_cells(ITEMS["table-1"].table)
    for model, numbers in svm_scores._TABLE_1.items():
        assert leading(table[model]) == numbers
    assert leading(table["DCGAN and L2-SVM"]) == svm_scores._DCGAN_TABLE_1
    table = paper_cells(ITEMS["table-svhn"].table)
    for model, number in svm_scores._SVHN_TABLE.items():
        assert leading(table[model]) == (number,)
    assert leading(table["DCGAN and L2-SVM"]) == (svm_scores._DCGAN_SVHN,)
    (supervised,) = (cells for model, cells in table.items() if model.startswith("supervised"))
    assert leading(supervised) == (supervised_cnn._PAPER,)
    table = paper_cells(ITEMS["table-mnist"].table)
    known = {**mnist._PAPER, **mnist._PAPER_ONLY}
    models = {"real": "real digits", "GAN": "GAN, fully connected"}
    for (name, size), number in known.items():
        column = {50_000: 0, 10_000_000: 1}[size]
        assert leading(table[models.get(name, name)])[column] == number
    assert sum(cell is not None for cells in table.values() for cell in cells) == len(known)


def test_every_deviation_is_told_once_and_in_its_profile() -> None:
    every = {choice["what"] for choice in choices()}
    for prefix in (prefix for item in ITEMS.values() for prefix in item.differs):
        assert any(what.startswith(prefix) for what in every), prefix
    for profile in PROFILES:
        report = compose({}, (), {}, profile)
        of_items = {choice["what"] for entry in report.entries for choice in entry.differs}
        general = {choice["what"] for choice in report.general}
        assert not of_items & general
        other = {what for what in every if " profile" in what and profile not in what}
        assert of_items | general == every - other
    assert any("sample profile" in what for what in every)


def test_a_row_with_too_few_cells_is_refused() -> None:
    with pytest.raises(ValidationError, match="a cell a column, 2, is needed"):
        Table(
            caption="",
            measure="accuracy",
            columns=("a", "b"),
            rows=(TableRow(model="m", paper=("1",)),),
        )


def test_captions_hold_for_any_group() -> None:
    words = caption("cats/samples", "epoch_0012.png")
    assert (words.words, words.rank) == ("After epoch 12.", 0)
    assert caption("cats/samples", "figure.png").rank == 1
    odd = caption("cats/whiskers", "length.png")
    assert (odd.words, odd.alt) == ("length.", "length of cats/whiskers")
