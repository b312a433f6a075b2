"""NOTICE names everybody whose pictures can be seen in what the repository holds."""

from __future__ import annotations

import pytest
from checkout import CHECKOUT

from dcgan_assets.sources.photographs import PHOTOGRAPHS

NOTICE = " ".join((CHECKOUT / "NOTICE").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", sorted(PHOTOGRAPHS))
def test_every_photograph_has_its_author_and_licence(name: str) -> None:
    facts = PHOTOGRAPHS[name]
    line = f"- {name}: {facts.attribution}. {facts.licence}."
    assert " ".join(line.split()) in NOTICE


def test_the_digits_are_there_as_the_data_card_has_them() -> None:
    card = (CHECKOUT / "docs" / "data-card.md").read_text(encoding="utf-8")
    for words in ("CC BY-SA 3.0", "LeCun", "Cortes"):
        assert words in NOTICE
        assert words in card
