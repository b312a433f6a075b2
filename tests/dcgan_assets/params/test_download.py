"""The section on fetching: limits that reach the downloader, and what is in no version."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.params.search import Photos
from dcgan_assets.sources.web.wanted import Limits

CONTACT = "operator@dcgan.test"


def photos(**section: Any) -> Photos:
    return Photos.model_validate({"shards": 2, **section})


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"contact": CONTACT}, "contact"),  # it is the operator's, for all that is asked
        ({"per_site": 17}, "per_site"),
        ({"per_site": 0}, "per_site"),
        ({"concurrency": "many"}, "concurrency"),
        ({"delay": -1.0}, "delay"),
        ({"deadline": 0.0}, "deadline"),
        ({"shards": 100}, "shards"),
        ({"robots": False}, "robots"),
        ({"allow_private": ["127.0.0.1:80"]}, "allow_private"),
    ],
)
def test_mistakes_are_named(section: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        photos(**section)


def test_every_setting_reaches_the_downloader() -> None:
    section = {
        "concurrency": 3,
        "per_site": 1,
        "delay": 7.0,
        "site_megabits": 8.0,
        "connect": 9.0,
        "deadline": 10.0,
        "tries": 11,
    }
    limits = photos(max_megabytes=1.5, **section).limits(CONTACT)
    assert limits.contact == CONTACT
    for name, value in section.items():
        assert getattr(limits, name) == value
    assert limits.max_bytes == 1_500_000


def test_defaults_are_the_downloaders_own() -> None:
    assert photos().limits(CONTACT) == Limits(CONTACT)


def test_who_asks_and_how_fast_is_in_no_version() -> None:
    before = photos().identity()
    assert photos(per_site=1, tries=9).identity() == before
    assert photos(max_megabytes=5.0).identity() != before
    assert Photos.model_validate({"shards": 3}).identity() != before
