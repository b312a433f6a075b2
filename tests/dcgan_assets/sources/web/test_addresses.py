"""Addresses: what is asked, what means the same, and which machines are inside."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_assets.sources.ip_addresses import is_public
from dcgan_assets.sources.web.addresses import (
    canonical,
    joined,
    origin_of,
    parse_address,
    site_of,
)
from dcgan_assets.sources.web.wanted import RejectedError

INSIDE = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
    198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::ffff:0:127.0.0.1 ::ffff:0:a00:1 ::ffff:10.0.0.1
    ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::808:808 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1
    2002:7f00:1:: 2002:c0a8:101::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
    fe80::1%eth0 fec0::1 ff02::1 ff0e::1"""
OUTSIDE = """
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1
    198.20.0.1 223.255.255.255 2001:200::1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8
    ::ffff:0:8.8.8.8    64:ff9b::808:808"""


@pytest.mark.parametrize("address", INSIDE.split())
def test_inside(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE.split())
def test_outside(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["localhost", "a.LOCALHOST.", "printer.local", "db.internal", "intranet", "intranet."]
)
def test_names_that_mean_something_inside_alone(host: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_address(f"https://{host}/a.jpg")
    assert caught.value.reason == "private address"


@given(st.ip_addresses(v=4))
def test_what_an_ipv4_address_is_packed_into_is_as_public_as_itself(address: object) -> None:
    number = int(ip_address(str(address)))
    for packed in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ip_address(packed)) == is_public(ip_address(number))
    assert not is_public(ip_address(0x2002 << 112 | number << 80 | 1))


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("HTTP://Pictures.TEST:80/a.jpg#x", "http://pictures.test/a.jpg"),
        ("https://pictures.test.:443", "https://pictures.test/"),
        ("http://pictures.test/%7eann/%c3%a9", "http://pictures.test/~ann/é"),
        ("http://pictures.test/a?utm_source=x&w=9&fbclid=y", "http://pictures.test/a?w=9"),
        ("http://bücher.test/a", "http://xn--bcher-kva.test/a"),
    ],
)
def test_addresses_that_mean_the_same(address: str, same: str) -> None:
    assert canonical(parse_address(address)) == canonical(parse_address(same))


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("http://pictures.test/a", "https://pictures.test/a"),
        ("http://pictures.test/a", "http://pictures.test/A"),
        ("http://pictures.test/a%2fb", "http://pictures.test/a/b"),
        ("http://pictures.test/a?w=1&h=2", "http://pictures.test/a?h=2&w=1"),
        ("http://pictures.test/a?utm=1", "http://pictures.test/a"),
    ],
)
def test_addresses_that_need_not_mean_the_same(address: str, other: str) -> None:
    assert canonical(parse_address(address)) != canonical(parse_address(other))


def test_a_plain_address_is_asked_for_as_it_stands() -> None:
    text = "https://thumb.wikimedia.org/a/960px-Zo%C3%AB_%282020%29%2C_x.jpg?a=%41&&b"
    assert str(parse_address(text)) == text
    assert parse_address(text).raw_path_qs in text


def test_sites_and_origins() -> None:
    http, https = parse_address("http://H.test/a"), parse_address("https://h.test/a")
    assert site_of(http) == site_of(https) == "h.test"
    assert (origin_of(http), origin_of(https)) == ("http://h.test:80", "https://h.test:443")
    allowed = frozenset({"127.0.0.1:8080"})
    assert site_of(parse_address("http://127.0.0.1:8080/", allowed)) == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:8081/", "bad address"),
        ("http://127.0.0.1/", "private address"),
        ("http://[::1]/", "private address"),
        ("http://[fe80::1%25eth0]/", "bad address"),
        ("http://0x7f000001/", "bad address"),
        ("http://0177.0.0.1/", "bad address"),
        ("http://127.1/", "bad address"),
        ("http://2130706433/", "bad address"),
        ("http://pictures.test@127.0.0.1/", "bad address"),
    ],
)
def test_ways_to_say_localhost(address: str, reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_address(address, frozenset({"127.0.0.1:8080"}))
    assert caught.value.reason == reason


def test_where_redirects_lead() -> None:
    base = parse_address("https://h.test/a/b?c")
    assert str(joined(base, "../d e")) == "https://h.test/d%20e"
    assert str(joined(base, "//x.test/%2C")) == "https://x.test/%2C"
    assert str(joined(parse_address("http://h.test/"), "https://h.test/")) == "https://h.test/"
    with pytest.raises(RejectedError) as caught:
        joined(base, "http://h.test/a/b?c")
    assert caught.value.detail == "from https to http"
