"""Addresses from strangers: what would lead inside, elsewhere than it seems, or nowhere."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest
from picture_servers import Names

from dcgan_assets.sources.ip_addresses import is_loopback, is_public
from dcgan_assets.sources.web.addresses import joined, parse_address
from dcgan_assets.sources.web.resolver import CheckedResolver
from dcgan_assets.sources.web.wanted import RejectedError


def refusal(address: str) -> str:
    with pytest.raises(RejectedError) as caught:
        parse_address(address)
    detail = caught.value.detail
    assert "\n" not in detail
    assert len(detail) < 9000
    return caught.value.reason


SCHEMES = """
    ftp://h.test/a file:///etc/passwd file://h.test/a gopher://h.test/ dict://h.test:11211/
    ldap://h.test/ jar:http://h.test/a!/b data:image/png;base64,AA javascript:alert(1)
    about:blank blob:https://h.test/x ws://h.test/ wss://h.test/ sftp://h.test/ smb://h.test/a
    tel:1 view-source:http://h.test/ mailto:a@h.test urn:isbn:1 //h.test/a /a a http:a http:
    https: http:// http:/// http:///a https:///h.test/a httpx://h.test/ folder:a.jpg
    netdoc:/etc/passwd php://filter/x ://h.test/ :80 http//h.test"""


@pytest.mark.parametrize("address", SCHEMES.split())
def test_what_is_neither_http_nor_https_or_has_no_host(address: str) -> None:
    assert refusal(address) == "bad address"


SPELLINGS = [
    # Numbers that some systems take for 127.0.0.1, 10.0.0.1 and 169.254.169.254.
    "2130706433", "017700000001", "0x7f000001", "0X7F000001", "127.1", "127.0.1", "0177.0.0.1",
    "0x7f.0.0.1", "0x7f.1", "0177.1", "127.0.0.01", "127.0.0.0x1", "127.0.0.1.", "2130706433.",
    "167772161", "0xa.1", "10.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
    "169.254.43518",
    "0xA9.0xFE.0xA9.0xFE", "00000000000127.0.0.1", "0", "0.", "00", "0x", "0x0", "1", "127",
    "4294967296", "4294967295", "99999999999999999999", "256.256.256.256", "127.0.0.256", "1.2.3",
    "1.2.3.4.5", "127.0.0.1.2", "a.127", "a.0x7f", "127.0.0.1.1.",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
def test_numbers_in_the_place_of_a_host(host: str) -> None:
    assert refusal(f"http://{host}/a.jpg") in {"bad address", "private address"}


SCRIPTS = [
    # Other scripts' digits, letters and dots, of which IDNA makes ours.
    "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.⓪.⓪.①", "１0.0.0.1",  # noqa: RUF001
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "ℓocalhost", "localhoſt",  # noqa: RUF001
    "loc\u00adalhost", "local\u200bhost",
    "printer。local", "a.ｌocal", "db.ｉnternal", "[::①]", "0ｘ7f.1", "\u202e1.0.0.721",  # noqa: RUF001
]  # fmt: skip


@pytest.mark.parametrize("host", SCRIPTS)
def test_other_scripts_lead_no_further_inside(host: str) -> None:
    assert refusal(f"http://{host}/a.jpg") in {"bad address", "private address"}


LITERALS = """
    127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254
    100.100.100.200 192.0.0.192 0.0.0.0 255.255.255.255 224.0.0.251 [::] [::1] [0:0:0:0:0:0:0:1]
    [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] [::ffff:0:7f00:1]
    [0:0:0:0:ffff:0:7f00:1] [::ffff:10.0.0.1] [::ffff:169.254.169.254]
    [::ffff:0:169.254.169.254] [64:ff9b::127.0.0.1] [64:ff9b::10.0.0.1] [64:ff9b:1::10.0.0.1]
    [2002:7f00:1::] [2002:c0a8:1::1] [2001::1] [fe80::1] [fec0::1] [fc00::1] [fd00:ec2::254]
    [ff02::1] [100::1] [3fff::1] [5f00::1] [2001:db8::1]"""


@pytest.mark.parametrize("host", LITERALS.split())
def test_literals_that_are_no_public_address(host: str) -> None:
    assert refusal(f"https://{host}/latest/meta-data/") == "private address"


BROKEN = [
    "http://[::1", "http://::1/", "http://]::1[/", "http://[]/", "http://[127.0.0.1]/",
    "http://[::1]x/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1]:99999/",
    "http://[1::2::3]/", "http://[::g]/",
    # Ports of other services.
    "http://h.test:22/", "http://h.test:0/", "http://h.test:6379/", "http://h.test:65536/",
    "http://h.test:-1/", "http://h.test:8080/", "http://h.test:443/", "https://h.test:80/",
    "http://h.test:80a/",
    # Where does the host begin, and where does it end?
    "http://h.test@127.0.0.1/", "http://a:b@h.test/", "http://:@h.test/", "http://h.test\\@127.0.0.1/",
    "http://127.0.0.1\\.h.test/", "http://h.test%2f@127.0.0.1/",
    "http://h%2etest/", "http://%6c%6f%63alhost/", "http://127.0.0.1%23.h.test/", "http://h..test/",
    "http://.h.test/", "http://*/", "http://h_.te st/", "http://h.test,127.0.0.1/", "http://-/",
    "http://'/", "http://a;b.test/", "http://<h>.test/", "http://{h}.test/", "http://$h.test/",
    # Characters that no address has.
    "http://h.test/\r\nHost: x", "http://h.test/\n", "http://h.test/\x00", "http://h.te\tst/",
    "http://h.test/\x7f", "http://h.test\r/", "\x00http://h.test/", "http://\udcff.test/",
    "http://h.test/\ud800", "http://h.test/" + "a" * 9000, "http://" + "a" * 300 + ".test/",
    "http://" + "a." * 200 + "test/", "http://xn--\u00fc.test/",
]  # fmt: skip


@pytest.mark.parametrize("address", BROKEN, ids=ascii)
def test_addresses_that_are_taken_apart_in_two_ways(address: str) -> None:
    assert refusal(address) in {"bad address", "private address"}


NAMES = """
    localhost LOCALHOST localhost. localhost.. a.localhost a.b.localhost. localhost.local
    x.local X.LOCAL. a.internal metadata.google.internal metadata.internal. intranet intranet.
    wpad gateway kubernetes host.docker.internal ip6-localhost"""


@pytest.mark.parametrize("host", NAMES.split())
def test_names_of_the_inside(host: str) -> None:
    assert refusal(f"https://{host}/") in {"bad address", "private address"}


NETWORKS = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
    224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32
    3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8"""


@pytest.mark.parametrize("network", NETWORKS.split())
def test_a_special_network_is_closed_from_its_first_address_to_its_last(network: str) -> None:
    found = ip_network(network)
    for address in (found[0], found[found.num_addresses // 2], found[-1]):
        assert not is_public(address)
        if address.version == 4:
            packed = int(address)
            for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"):
                assert not is_public(ip_network(prefix)[0] + packed), prefix


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1",
                                  "::ffff:0:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
                                  "localhost", "LocalHost."])  # fmt: skip
def test_loopback_in_whatever_it_is_packed(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.test", "127.1", "1.1.1.1", "::2", "::ffff:1.1.1.1",
                                  "128.0.0.1", "0.0.0.0", "10.0.0.1"])  # fmt: skip  # noqa: S104
def test_no_loopback(host: str) -> None:
    assert not is_loopback(host)


BASE = parse_address("https://h.test/a/b?c#d")


@pytest.mark.parametrize(
    "location",
    ["http://h.test/", "HTTP://h.test/a", "//127.0.0.1/", "//localhost/", "//[::1]/",
     "https://10.0.0.1/", "https://[::ffff:0:10.0.0.1]/", "file:///etc/passwd", "ftp://h.test/",
     "javascript:alert(1)", "data:,x", "//h.test:22/", "https://u:p@h.test/", "https://[half/",
     "https://2130706433/",
     "https://" + "a" * 9000 + "/", "//\udcff.test/", "https://h.test:99999/"],
    ids=ascii,
)  # fmt: skip
def test_redirects_that_are_not_followed(location: str) -> None:
    with pytest.raises(RejectedError) as caught:
        joined(BASE, location)
    assert caught.value.reason in {"bad address", "private address", "redirects"}


@pytest.mark.parametrize(
    "location", ["///", "///127.0.0.1/", "\\\\127.0.0.1\\a", "/\\127.0.0.1/", "/a\r\nSet-Cookie: x",
                 "?//127.0.0.1/", "#@127.0.0.1", "./127.0.0.1", "@127.0.0.1"], ids=ascii,
)  # fmt: skip
def test_redirects_that_stay_whatever_they_look_like(location: str) -> None:
    found = joined(BASE, location)
    assert found.host == "h.test"
    assert not set(str(found)) & set("\r\n\\ ")


# --- The resolver -----------------------------------------------------------------------------


class Odd(Names):
    """Answers as no honest resolver does."""

    def __init__(self, *answers: Any) -> None:
        super().__init__({})
        self.answers = answers

    async def resolve(self, host: str, port: int = 0, *more: Any, **extra: Any) -> Any:
        return [
            {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0,
             "flags": 0}
            for one in self.answers
        ]  # fmt: skip


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"],
        ["8.8.8.8"] * 50 + ["10.0.0.1"], ["::1"], ["2606:4700::1111", "::1"], ["::ffff:10.0.0.1"],
        ["::ffff:0:10.0.0.1"], ["64:ff9b::a00:1"], ["2002:a00:1::"], ["fe80::1%eth0"],
        ["fe80::1%2"], ["0.0.0.7"], ["::"], ["169.254.169.254"], ["fd00:ec2::254"],
        ["255.255.255.255"], ["224.0.0.1"], ["100.100.100.200"],
    ],
    ids=lambda answers: answers[-1],
)  # fmt: skip
def test_one_answer_that_leads_inside_condemns_a_name(answers: list[str]) -> None:
    resolver = CheckedResolver(Odd(*answers), frozenset({"other.test:80", "h.test:8080"}))
    with pytest.raises(RejectedError, match="private address"):
        asyncio.run(resolver.resolve("h.test", 80))


@pytest.mark.parametrize("inside", ["10.0.0.1", "169.254.169.254", "fd00::1", "0.0.0.0"])  # noqa: S104
def test_what_tests_allow_is_this_machine_alone(inside: str) -> None:
    resolver = CheckedResolver(Odd(inside), frozenset({"h.test:80"}))
    with pytest.raises(RejectedError):
        asyncio.run(resolver.resolve("H.test.", 80))
