"""Verdicts on the paper's claims: by intervals, both ways, and never where nothing can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_elements import Element, PageParser, composed, make_catalogue
from small_results import publish

from dcgan_assets.assets.internals.looking import mean_row
from dcgan_assets.assets.report.compose import Report
from dcgan_assets.assets.report.items import Claim, load_paper
from dcgan_assets.assets.report.render import page_html, page_markdown
from dcgan_assets.assets.report.verdicts import (
    CONTRADICTS,
    RULE,
    SUPPORTS,
    UNTOLD,
    Told,
    compare,
)
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine.results import Row


def row(low: float | None, high: float | None, interval: str = "95% t, over seeds") -> Row:
    middle = 5.0 if low is None or high is None else (low + high) / 2
    return Row(name="a row", value=middle, low=low, high=high, interval=interval)


@pytest.mark.parametrize(
    ("one", "other", "lower", "higher"),
    [
        (row(1, 2), row(3, 4), SUPPORTS, CONTRADICTS),
        (row(3, 4), row(1, 2), CONTRADICTS, SUPPORTS),
        (row(1, 3), row(2, 4), UNTOLD, UNTOLD),
        (row(1, 2), row(2, 4), UNTOLD, UNTOLD),
        (row(1, 2), 2.5, SUPPORTS, CONTRADICTS),
        (row(1, 3), 2.5, UNTOLD, UNTOLD),
        (row(None, None), 2.5, UNTOLD, UNTOLD),
        (row(1, 2), row(None, None), UNTOLD, UNTOLD),
        (row(1, 2), row(3, 4, "lowest and highest of 10 draws"), UNTOLD, UNTOLD),
    ],
    ids=[
        *("below", "above", "overlap", "touch", "below a bound", "about a bound"),
        *("no interval", "no interval beside", "a range"),
    ],
)
def test_intervals_decide(one: Row, other: Any, lower: str, higher: str) -> None:
    assert compare(one, other, "lower") == lower
    assert compare(one, other, "higher") == higher


def by_words(report: Report, begin: str) -> Told:
    (found,) = (one for one in report.verdicts if one.claim.words.startswith(begin))
    return found


def test_claims_on_made_up_results(report: Report) -> None:
    assert len(report.verdicts) == sum(len(item.claims) for item in load_paper().items)
    better = by_words(report, "The DCGAN's digits are better")
    assert (better.verdict, better.why, better.stand_in) == (SUPPORTS, "", True)
    assert [one.name for one in better.ours] == ["DCGAN @50,000"]
    assert "GAN @50,000" in better.other[0]
    worse = by_words(report, "The DCGAN's digits are no worse")
    assert worse.verdict == CONTRADICTS
    # The bound is the paper's number, and these are not its pictures.
    told = by_words(report, "D's features tell more")
    assert (told.verdict, told.why[:34]) == (UNTOLD, "the bound is the paper's number, t")
    assert by_words(report, "With few labels").why == "svhn/svm_scores is not made"


def svm(name: str, right: int) -> Row:
    return share_row(name, right, 1000, measure="accuracy", split="test")


@pytest.mark.parametrize(
    ("few", "verdict", "why"),
    [
        (900, SUPPORTS, ""),
        (500, UNTOLD, "of 2 measurements 1 support it, 1 contradict it"),
        (600, UNTOLD, "of 2 measurements 1 support it, 1 cannot tell"),
    ],
    ids=str,
)
def test_what_was_measured_twice_has_to_agree(
    tmp_path: Path, few: int, verdict: str, why: str
) -> None:
    rows = [
        *(svm("trained D, all labels", 900), svm("random D, all labels", 600)),
        *(svm("trained D, 40 a class", few), svm("random D, 40 a class", 600)),
    ]
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "cifar10/svm_scores", "results", rows=rows)
    verdicts = [
        one for one in composed(catalogue).verdicts if one.claim.asset == "cifar10/svm_scores"
    ]
    assert [one.verdict for one in verdicts] == [UNTOLD, verdict]
    assert len(verdicts[1].ours) == 2
    assert verdicts[1].why == why


def test_a_test_error_is_held_to_the_controls_test_error(tmp_path: Path) -> None:
    """The control was chosen by its validation error, which is the lower for it."""
    control = "supervised CNN, 40 a class"
    rows = {
        "svm_scores": [("trained D, 40 a class", "test", 300)],
        "supervised_cnn": [
            (f"{control}, best validation error", "validation", 200),
            (f"{control}, test error", "test", 400),
        ],
    }
    catalogue = make_catalogue(tmp_path)
    for asset, found in rows.items():
        made = [
            share_row(name, wrong, 1000, measure=f"{split} error", split=split)
            for name, split, wrong in found
        ]
        publish(tmp_path, f"svhn/{asset}", "results", rows=made)
    told = by_words(composed(catalogue), "With few labels")
    assert told.verdict == SUPPORTS
    assert [words.split(", ", 1)[1] for words in told.other] == [f"{control}, test error"]


def test_a_papers_bound_counts_on_the_papers_data(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    rows = [svm("trained D, all labels", 900)]
    publish(tmp_path, "cifar10/svm_scores", "results", rows=rows, stand_in=False)
    assert by_words(composed(catalogue), "D's features tell more").verdict == SUPPORTS


def test_expressions_are_held_against_their_own_controls(tmp_path: Path) -> None:
    """Their names have a + in them, which means something else in a pattern."""
    one = "smile_longhair - nosmile_longhair + nosmile_nolonghair"
    other = "glasses_nolonghair - noglasses_nolonghair + noglasses_longhair"
    right = {"three exemplars": 180, "one exemplar": 90, "pixels of three": 60, "any sample": 20}
    rows = [
        share_row(f"{expression}: {name}, right", found - less, 200, measure="share")
        for expression, less in ((one, 0), (other, 10))
        for name, found in right.items()
    ]
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "faces/claims", "results", rows=rows)
    verdicts = [one for one in composed(catalogue).verdicts if one.claim.asset == "faces/claims"]
    assert [one.verdict for one in verdicts] == [SUPPORTS] * 3
    chance = verdicts[0]
    assert [row.value for row in chance.ours] == [90.0, 85.0]
    assert [words.split(", ", 1)[1] for words in chance.other] == [
        f"{expression}: any sample, right" for expression in (one, other)
    ]


def test_forgetting_is_held_against_draws_of_random_maps(tmp_path: Path) -> None:
    draws = np.array([0.45, 0.5, 0.48, 0.52, 0.4, 0.55, 0.47, 0.5, 0.49, 0.51])
    rows = [
        share_row("window: without its maps", 110, 500, measure="share"),
        mean_row("window: without as many random maps", "share", draws, "draws of maps"),
    ]
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "lsun/claims", "results", rows=rows)
    assert by_words(composed(catalogue), "Without their maps").verdict == SUPPORTS


def test_the_supervised_network_is_compared_by_its_test_error(tmp_path: Path) -> None:
    """The validation error is the best of many trials."""
    cnn = "supervised CNN, 100 a class"
    rows = [
        share_row(
            f"{cnn}, best validation error",
            200,
            1000,
            measure="validation error",
            split="validation",
        ),
        share_row(f"{cnn}, test error", 400, 1000, measure="test error", split="test"),
    ]
    ours = share_row("trained D, 100 a class", 300, 1000, measure="test error", split="test")
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "svhn/supervised_cnn", "results", rows=rows)
    publish(tmp_path, "svhn/svm_scores", "results", rows=[ours])
    assert by_words(composed(catalogue), "With few labels").verdict == SUPPORTS


def test_the_page_leads_with_them(report: Report) -> None:
    page = PageParser(page_html(report)).root
    first = page.one("main").all("section")[0]
    assert first.attributes["id"] == "verdicts"
    assert "stand-in data" in first.text
    assert " ".join(RULE.split()) in first.text
    (table,) = first.all("table")
    rows = [
        [cell.text for cell in one.children if isinstance(cell, Element)]
        for one in table.one("tbody").all("tr")
    ]
    assert len(rows) == len(report.verdicts)
    for cells, one in zip(rows, report.verdicts, strict=True):
        assert one.claim.words in cells[0]
        assert cells[1].startswith(one.verdict)
        assert cells[2] == one.claim.paper
    markdown = page_markdown(report)
    assert markdown.index("## What it says") < markdown.index("## Overview")


def test_failed_checks_are_shown(tmp_path: Path) -> None:
    from dataclasses import replace

    from dcgan_assets.assets.report.compose import Failed

    report = composed(make_catalogue(tmp_path))
    assert report.failed == ()
    failed = replace(report, failed=(Failed("lsun/claims", "object_is_forgotten", "after: <57>"),))
    assert "<code>lsun/claims</code> object_is_forgotten <small>after: &lt;57&gt;" in page_html(
        failed
    )
    assert "`lsun/claims` object_is_forgotten" in page_markdown(failed)


def test_which_way_is_better_is_known_of_what_is_claimed() -> None:
    """A claim that a measure is lower is never one of a measure of which more is better."""
    directions = {
        "mnist/nearest_neighbour_scores": "lower",  # test error
        "cifar10/svm_scores": "higher",  # accuracy
        "svhn/svm_scores": "lower",  # test error
    }
    claims: list[Claim] = [claim for item in load_paper().items for claim in item.claims]
    for claim in claims:
        assert claim.holds == directions.get(claim.asset, claim.holds)
