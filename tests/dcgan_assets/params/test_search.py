"""Sections about the web: people, searches and fetching; each mistake names its key."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import CHECKOUT
from pydantic import ValidationError

from dcgan_assets.params.search import ImageUrls, Operator, People, Photos
from dcgan_assets.sources.web.search.people import Web
from dcgan_assets.sources.web.wanted import Limits
from dcgan_models.errors import UserError

WORKSPACE, PEOPLE = Path("workspace"), Path("workspace/data/faces/people")
WEB = {"source": "wikidata", "count": 10, "born_after": "1900-01-01", "born_before": "2000-01-01"}
ADA = Operator(contact="ada@example.org", pause=2.0)


def refusal(section: type[People] | type[ImageUrls], content: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        section(**content)
    errors = caught.value.errors()
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors)


def test_people_from_the_web() -> None:
    text = yaml.safe_load(
        "{source: both, count: 10000, born_after: 1900-01-01, born_before: 2000-01-01}"
    )
    origin = People(**text).origin(WORKSPACE, ADA)
    assert isinstance(origin, Web)
    assert origin.sources == ("wikidata", "dbpedia")
    assert (origin.born_after, origin.born_before) == (dt.date(1900, 1, 1), dt.date(2000, 1, 1))
    assert origin.least_sitelinks == 15
    assert origin.manners.contact == "ada@example.org"
    assert origin.manners.pause == 2.0
    assert not origin.manners.allow_private


def test_reading_params_loads_nothing_that_speaks_http() -> None:
    script = "import sys, dcgan_assets.params.search; sys.exit('aiohttp' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0


def test_people_from_a_list() -> None:
    people = People(source="list", path="names.csv", count=5)
    assert people.origin(WORKSPACE, Operator()) == WORKSPACE / "names.csv"


def test_identity_is_plain_and_without_the_operator() -> None:
    assert People(**WEB).identity() == {
        **WEB,
        "path": None,
        "least_sitelinks": 15,
        "packaged": None,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "names.csv"}, "`path` is needed with `source: list` or `folder`, and only there"),
        ({"source": "list"}, "`path` is needed with `source: list`"),
        ({"source": "packaged"}, "`packaged` is needed with `source: packaged`"),
        ({"packaged": {}}, "`packaged` is needed with `source: packaged`, and only there"),
        ({"source": "folder", "path": "x"}, "go with SPARQL sources"),
        ({"born_after": None}, "`born_after` and a later `born_before` are needed"),
        ({"born_after": "2000-01-01"}, "`born_after` and a later `born_before` are needed"),
        ({"born_before": str(dt.date.today())}, "which lets children in"),
        ({"source": "facebook"}, "source: Input should be 'wikidata', 'dbpedia', 'both'"),
        ({"count": 0}, "count: Input should be greater than 0"),
    ],
)
def test_people_that_are_none(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(People, {**WEB, **changes})


def test_children_are_left_out_to_the_day() -> None:
    today = dt.date.today()
    grown = dt.date(today.year - 18, today.month, min(today.day, 28))
    assert People(**{**WEB, "born_before": str(grown)}).born_before == grown
    assert str(grown) in refusal(People, {**WEB, "born_before": str(grown + dt.timedelta(days=1))})


def test_searches() -> None:
    folder = {"path": "pictures", "licence": "CC0"}
    local = ImageUrls(searches=("folder",), licences=("CC0",), folder=folder, most=7)
    searching = local.searching(WORKSPACE, PEOPLE, ADA)
    assert searching.searches == ("folder",)
    assert searching.folder == WORKSPACE / "pictures"
    assert (searching.folder_licence, searching.folder_attribution) == ("CC0", "unstated")
    assert searching.folder_terms is None
    assert (searching.most, searching.licences) == (7, ("CC0",))
    assert not local.asks_the_web
    web = ImageUrls(searches=("covers", "commons"), licences=("any",))
    searching = web.searching(WORKSPACE, PEOPLE, ADA)
    assert (searching.searches, searching.width) == (("covers", "commons"), 960)
    assert (searching.folder, searching.manners) == (None, ADA.manners())
    assert web.asks_the_web


def test_packaged_photographs_are_a_folder_with_terms_of_their_own() -> None:
    packaged = ImageUrls(searches=("packaged",), licences=("any",))
    searching = packaged.searching(WORKSPACE, PEOPLE, ADA)
    assert searching.searches == ("folder",)
    assert searching.folder == packaged.pictures(WORKSPACE, PEOPLE) == PEOPLE / "people"
    assert searching.folder_terms == PEOPLE / "pictures.parquet"
    assert not packaged.asks_the_web


@pytest.mark.parametrize(
    ("contact", "words"),
    [
        ("", "`contact` is missing"),
        ("me", "neither an e-mail nor a web address"),
        ("you@example.com", "a placeholder; give your own"),
    ],
)
def test_an_operator_without_a_contact_of_their_own(contact: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Operator(contact=contact).require_contact()
    assert words in str(caught.value)
    assert str(caught.value).startswith("params.yaml: operator: ")
    assert Operator(contact="operator@dcgan.test").require_contact() == "operator@dcgan.test"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"searches": ()}, "searches: "),
        ({"searches": ("bing",)}, "searches.0: "),
        ({"searches": ("commons", "packaged")}, "`folder` and `packaged` stand alone"),
        ({"searches": ("folder", "covers"), "folder": {"path": "x"}}, "stand alone"),
        ({"searches": ("commons", "commons")}, "names one twice: commons, commons"),
        ({"searches": ("folder",)}, "`folder` is needed with `folder` among the searches"),
        ({"folder": {"path": "x"}}, "`folder` is needed with `folder` among the searches"),
        ({"width": 800}, "`width` is 800; allowed: 250, 330, 500, 960"),
        ({"licences": ()}, "licences: "),
    ],
)
def test_searches_that_are_none(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(ImageUrls, {"searches": ("commons",), "licences": ("CC0",), **changes})


# --- Fetching -------------------------------------------------------------------------------


def photos(**section: Any) -> Photos:
    return Photos.model_validate({"shards": 2, **section})


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"contact": ADA.contact}, "contact"),  # it is the operator's, for all that is asked
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
def test_a_mistake_of_fetching_is_named(section: dict[str, Any], named: str) -> None:
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
    limits = photos(max_megabytes=1.5, **section).limits(ADA.contact)
    assert limits.contact == ADA.contact
    for name, value in section.items():
        assert getattr(limits, name) == value
    assert limits.max_bytes == 1_500_000


def test_defaults_are_the_downloaders_own() -> None:
    assert photos().limits(ADA.contact) == Limits(ADA.contact)


def test_who_asks_and_how_fast_is_in_no_version() -> None:
    before = photos().identity()
    assert photos(per_site=1, tries=9).identity() == before
    assert photos(max_megabytes=5.0).identity() != before
    assert Photos.model_validate({"shards": 3}).identity() != before
