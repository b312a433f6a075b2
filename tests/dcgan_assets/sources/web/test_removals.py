"""The removal list: what it takes, what it refuses, and that no spelling slips through."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from fixture_types import Refused
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dcgan_assets.sources.web.addresses import canonical, parse_address
from dcgan_assets.sources.web.removals import RemovalList, canonical_address
from dcgan_assets.sources.web.wanted import RejectedError

HEAD = "address,sha256,person,comment\n"
DIGEST = "ab" * 32


def written(folder: Path, *lines: str) -> Path:
    path = folder / "removals.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_each_kind_matches_and_says_where(tmp_path: Path) -> None:
    found = RemovalList.read(
        written(
            tmp_path,
            'https://a.example/x.jpg,,,"asked for, by mail"',
            f",{DIGEST.upper()},,",
            ",,http://www.wikidata.org/entity/Q1,herself",
        )
    )
    line = "(line {} of the removal list)"
    addresses = [None, "HTTP://A.example/x.jpg"]
    assert found.match(addresses=addresses) == f"removed: address {line.format(2)}"
    assert found.match(sha256=DIGEST) == f"removed: sha256 {line.format(3)}"
    people = ("x:1", "http://www.wikidata.org/entity/Q1")
    assert found.match(people=people) == f"removed: person {line.format(4)}"
    assert found.match(addresses=["https://a.example/y.jpg"], sha256="0" * 64) is None
    assert found.match() is None


def test_version_is_that_of_what_is_removed(tmp_path: Path) -> None:
    first = RemovalList.read(written(tmp_path, f",{DIGEST},,a", ",,x:1,b"))
    same = RemovalList.read(written(tmp_path, ",,x:1,", f",{DIGEST},,other words"))
    other = RemovalList.read(written(tmp_path, f",{DIGEST},,a"))
    assert first.version == same.version
    assert len({first.version, other.version, RemovalList().version}) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("https://a.example/x.jpg,,x:1,", "line 2: exactly one of address, sha256, person"),
        (",,,only a comment", "line 2: exactly one of"),
        (f",{DIGEST},,a,b", "line 2: exactly one of"),
        (f",{DIGEST[1:]},,", "is no SHA-256, 64 hexadecimal digits are"),
        ("x.jpg,,,", "address 'x.jpg' is no address"),
        (",,Ada Lovelace,", "person 'Ada Lovelace' is no address"),
    ],
)
def test_rows_that_name_nothing(tmp_path: Path, line: str, words: str, refused: Refused) -> None:
    with refused("removals.csv", words):
        RemovalList.read(written(tmp_path, line))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"url,comment\n", "the first line is 'url,comment'; address,sha256,person,comment"),
        (b"", "the first line is ''"),
        (HEAD.encode() + b"\xff\n", "cannot be read as CSV in UTF-8"),
        (HEAD.encode() + b'"' + b"a" * 200_000 + b'",,,\n', "cannot be read as CSV in UTF-8"),
    ],
)
def test_files_that_are_no_lists(
    tmp_path: Path, content: bytes, words: str, refused: Refused
) -> None:
    path = tmp_path / "removals.csv"
    path.write_bytes(content)
    with refused("removals.csv: ", words):
        RemovalList.read(path)


def test_missing_list(tmp_path: Path, refused: Refused) -> None:
    with refused("removals.csv is missing; it may hold `address,sha256,person,comment` alone"):
        RemovalList.read(tmp_path / "removals.csv")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.example", "https://A.Example./"),
        ("https://a.example:443/b", "http://a.example:80/b#c"),
        ("https://a.example/%7Eb/%c3%bc", "https://a.example/~b/ü"),
        ("https://a.example/u\u0308", "https://a.example/ü"),
        ("https://a.example/b?q=%41", "https://a.example/b?q=A"),
        ("https://a.example/b?utm_source=x", "https://a.example/b"),
        ("https://a.example/b?q=1%20+2&utm_id=x&r", "https://a.example/b?fbclid=y&q=1%20+2&r"),
        ("https://b\u00fccher.example/b", "https://xn--bcher-kva.example/b"),
        ("https://a.example/50%", "https://a.example/50%25"),
    ],
)
def test_spellings_of_one_address(one: str, other: str) -> None:
    assert canonical_address(one) == canonical_address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/b", "https://a.example/B"),
        ("https://a.example/b?x", "https://a.example/b"),
        ("https://a.example/b%2Fc", "https://a.example/b/c"),
        ("https://a.example:8443/", "https://a.example/"),
    ],
)
def test_different_addresses_stay_different(one: str, other: str) -> None:
    assert canonical_address(one) != canonical_address(other)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("%41?&=u+é#")), max_size=40))
@example("\ud800" + "0")
def test_the_downloader_and_the_list_agree_on_what_is_the_same(text: str) -> None:
    address = unicodedata.normalize("NFC", f"HTTP://B\u00fccher.Example:80/{text}".strip())
    assume(not any(one.isspace() for one in address))
    try:
        url = parse_address(address)
    except RejectedError:
        assume(False)
    assert canonical_address(address) == canonical_address(canonical(url))


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("%3461?#/")), max_size=40))
@example("%%361")
@example("\ud800")
def test_any_text_has_one_form(text: str) -> None:
    form = canonical_address(f"https://a.example/{text}")
    assert canonical_address(f"https:{form}") == form
    canonical_address(text)
