"""Every nasty server and picture is a rejected row with its reason; the rest goes on."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import tarfile
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from picture_servers import (
    Answer,
    Bench,
    Names,
    Request,
    Server,
    SkippingClock,
    encoded,
    enormous_png,
    in_turn,
    jpeg,
    moved,
    picture,
    status,
    wanted,
)

GOOD = jpeg()


async def numbered(request: Request) -> None:
    await request.answer(200, jpeg(int(request.path[1:])))


async def slow_loris(request: Request) -> None:
    await request.head(200, Content_Length=len(GOOD))
    for position in range(len(GOOD)):
        await request.send(GOOD[position : position + 1])
        await asyncio.sleep(0.02)


async def silent(request: Request) -> None:
    await asyncio.sleep(60)


async def endless(request: Request) -> None:
    await request.head(200, Content_Type="image/jpeg")
    for _ in range(1 << 14):
        await request.send(GOOD[:3] + bytes([0xE1, 0xFF, 0xFF]) + bytes(1 << 16))


async def endless_chunks(request: Request) -> None:
    await request.head(200, Transfer_Encoding="chunked")
    for _ in range(1 << 14):
        await request.send(b"4000\r\n" + GOOD[:3] + bytes(0x4000 - 3) + b"\r\n")


async def endless_page(request: Request) -> None:
    await request.head(200, Content_Type="image/jpeg")
    await request.send(b"<!doctype html><html>")
    for _ in range(1 << 14):
        await request.send(b"<p>more</p>" * 1000)


def length(said: int) -> Answer:
    async def answer(request: Request) -> None:
        await request.head(200, Content_Length=said)
        await request.send(GOOD)
        request.writer.close()

    return answer


async def reset(request: Request) -> None:
    await request.head(200, Content_Length=len(GOOD))
    await request.send(GOOD[:100])
    linger = struct.pack("ii", 1, 0)
    request.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    request.writer.transport.abort()


async def no_http(request: Request) -> None:
    await request.send(b"SSH-2.0-OpenSSH_9.9\r\n")
    request.writer.close()


NASTY: dict[str, tuple[Answer, str, str]] = {
    "endless": (endless, "too large", "over 300,000"),
    "endless chunks": (endless_chunks, "too large", "over 300,000"),
    "announced too large": (length(10**12), "too large", "1,000,000,000,000 bytes"),
    # aiohttp may see what is left over as a second, broken answer before the first is read.
    "longer than said": (length(len(GOOD) - 100), "truncated or no answer", ""),
    "shorter than said": (length(len(GOOD) + 100), "broken off", ""),
    "gzip bomb": (
        picture(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"),
        "encoded",
        "gzip",
    ),
    "400 megapixels": (picture(enormous_png()), "too many pixels", "20000x20000"),
    "HTML as JPEG": (
        picture(b"<!DOCTYPE html><html>no</html>", Content_Type="image/jpeg"),
        "not a picture",
        "HTML, not a picture",
    ),
    "endless HTML as JPEG": (endless_page, "not a picture", "HTML, not a picture"),
    "SVG": (picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not a picture", ""),
    "TIFF": (picture(b"II*\0" + bytes(2000)), "truncated", ""),
    "nothing": (picture(b""), "not a picture", "empty"),
    "no dimensions": (picture(b"GIF89a\0\0\0\0\0,\0\0\0\0\0\0\0\0\0\2\0\0;"), "damaged", ""),
    "cut PNG": (picture(encoded("PNG")[:-20]), "truncated", ""),
    "reset": (reset, "broken off", ""),
    "no HTTP": (no_http, "no answer", ""),
    "not found": (status(404), "HTTP status", "HTTP 404"),
    "a part": (status(206), "HTTP status", "HTTP 206"),
    "teapots": (status(503), "HTTP status", "HTTP 503"),
    "noai": (picture(GOOD, X_Robots_Tag="noai, nofollow"), "opted out", "X-Robots-Tag: noai"),
    "tdm": (picture(GOOD, TDM_Reservation="1"), "opted out", "tdm-reservation: 1"),
    "circle": (moved("circle"), "redirects", "more than 5"),
    "no location": (status(302), "redirects", "HTTP 302 without Location"),
    "metadata": (moved("http://169.254.169.254/latest"), "private address", "169.254.169.254"),
    "metadata in IPv6": (moved("http://[::ffff:a9fe:a9fe]/"), "private address", "::ffff"),
    "localhost": (moved("http://localhost/admin"), "private address", "localhost"),
    "localhost by number": (moved("http://2130706433/"), "bad address", ""),
    "another port": (moved("http://127.0.0.1:22/"), "bad address", "port 22"),
    "file": (moved("file:///etc/passwd"), "bad address", "neither http nor https"),
    "password": (moved("http://me:secret@203.0.113.1/"), "bad address", "user or password"),
    "half an address": (moved("http://[half/"), "bad address", ""),
}
SLOW = {"slow loris": (slow_loris, "too slow", ""), "silent": (silent, "too slow", "")}


def test_each_is_a_row_with_its_reason_while_good_ones_are_kept(tmp_path: Path) -> None:
    nasty = NASTY | SLOW
    answers = {f"/{name.replace(' ', '-')}": one for name, (one, _, _) in nasty.items()}
    answers["/circle"] = moved("/circle")
    with Server(answers).running() as bad, Server(default=numbered).running() as good:
        bench = Bench(tmp_path)
        # The bad site is to be asked to the end: a breaker would be right to leave it.
        bench.limits = replace(bench.limits, max_bytes=300_000, gone_after=1000, tries=2)
        pictures = [wanted(bad.url(f"/{name.replace(' ', '-')}"), name) for name in NASTY]
        pictures.append(wanted(good.url("/1"), "good"))
        bench.run(pictures, bad, good)
        # Only what never ends is given little time: a busy machine takes some for all others.
        bench.limits = replace(bench.limits, deadline=1.0, grace=0.6)
        pictures += [wanted(bad.url(f"/{name.replace(' ', '-')}"), name) for name in SLOW]
        pictures.append(wanted(good.url("/2"), "good too"))
        rows = bench.run(pictures, bad, good)
    assert [rows.pop(name)["status"] for name in ("good", "good too")] == ["kept", "kept"]
    assert rows.keys() == nasty.keys()
    for name, row in rows.items():
        _, reason, detail = nasty[name]
        assert row["status"] == "rejected"
        assert row["reason"] in reason.split(" or "), (name, row)
        assert detail in row["detail"], (name, row)
        assert row["sha256"] is row["offset"] is row["final_address"] is None
    again = {"slow loris", "silent", "shorter than said", "reset", "no HTTP", "teapots"}
    for name in nasty.keys() - {"longer than said"}:
        expected = 2 if name in again else 6 if name == "circle" else 1
        assert bad.asked_for(f"/{name.replace(' ', '-')}") == expected, name


def test_a_picture_is_what_its_bytes_are_whatever_the_server_says(tmp_path: Path) -> None:
    kinds = {"PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "JPEG": "image/jpeg"}
    answers = {f"/{kind}": picture(encoded(kind, 30), Content_Type="text/html") for kind in kinds}
    with Server(answers).running() as server:
        rows = Bench(tmp_path).run([wanted(server.url(f"/{k}"), k) for k in kinds], server)
    assert {key: row["mime"] for key, row in rows.items()} == kinds
    assert {(row["width"], row["height"]) for row in rows.values()} == {(30, 30)}


def test_redirects_are_followed_five_times_and_each_step_is_checked(tmp_path: Path) -> None:
    with Server().running() as first, Server().running() as second:
        for step in range(5):
            host = (first, second)[step % 2]
            host.answers[f"/{step}"] = moved((second, first)[step % 2].url(f"/{step + 1}"))
        second.answers["/5"] = picture(GOOD)
        forbidden = picture(b"User-agent: *\nDisallow: /private")
        second.answers["/robots.txt"] = forbidden
        first.answers["/sly"] = moved(second.url("/private/x.jpg"))
        first.answers["/relative"] = moved("4?")
        first.answers["/4?"] = first.answers["/4"]
        keys = ("/0", "/sly", "/relative")
        rows = Bench(tmp_path).run([wanted(first.url(key), key) for key in keys], first, second)
    assert rows["/0"]["status"] == "kept"
    assert rows["/0"]["final_address"] == second.url("/5")
    assert rows["/relative"]["reason"] == "duplicate content"
    assert rows["/sly"]["reason"] == "robots.txt"
    assert "/private/x.jpg" not in second.asked


def test_cookies_are_neither_kept_nor_sent(tmp_path: Path) -> None:
    answer = in_turn(
        status(302, Location="/next", Set_Cookie="id=1; Path=/"), status(503, Set_Cookie="id=2")
    )
    with Server({"/a": answer, "/next": picture(GOOD)}).running() as server:
        assert Bench(tmp_path).run([wanted(server.url("/a"), "a")], server)["a"]["sha256"]
        assert not any("Cookie" in headers for headers in server.headers)


def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Server(default=picture(GOOD)).running() as server:
        assert Bench(tmp_path).run([wanted(server.url("/a"), "a")], server)["a"]["sha256"]


# -- names that lead inside


def test_names_that_resolve_to_private_addresses_are_not_connected_to(tmp_path: Path) -> None:
    inside = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fe80::1"]
    inside += [
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "100.64.0.1",
        "0.1.2.3",
        "fd00::1",
    ]
    names = Names({f"h{number}.test": [address] for number, address in enumerate(inside)})
    bench = Bench(tmp_path, names=names)
    rows = bench.run([wanted(f"http://{name}/a.jpg", name) for name in names.book])
    assert {row["reason"] for row in rows.values()} == {"private address"}
    assert rows["h1.test"]["detail"] == "h1.test is 10.1.2.3"


def test_the_address_checked_is_the_address_connected(tmp_path: Path) -> None:
    """The name changes after the first answer; what was checked is what is connected to."""
    with (
        Server(default=picture(GOOD)).running() as outside,
        Server(default=picture(GOOD), address="127.0.0.2").running() as inside,
    ):
        names = Names({"pictures.test": ["127.0.0.1", "127.0.0.2"]})
        bench = Bench(tmp_path, names=names)
        bench.limits = replace(bench.limits, allow_private=(f"pictures.test:{outside.port}",))
        rows = bench.run([wanted(f"http://pictures.test:{outside.port}/a.jpg", "a")])
        assert rows["a"]["status"] == "kept"
        assert outside.connections >= 1
        assert inside.connections == 0
        assert names.asked == ["pictures.test"], "looked up once, for the connection itself"


def test_a_name_that_turns_private_between_two_tries_is_refused_at_the_second(
    tmp_path: Path,
) -> None:
    # A name without a public server: the first look-up fails, the second leads inside.
    class Turning(Names):
        async def resolve(self, host: str, *more: Any, **extra: Any) -> Any:
            if not self.asked:
                self.asked.append(host)
                raise OSError(None, "not now")
            return await super().resolve(host, *more, **extra)

    bench = Bench(tmp_path, names=Turning({"pictures.test": ["10.0.0.1"]}))
    row = bench.run([wanted("http://pictures.test/a.jpg", "a")])["a"]
    assert (row["reason"], row["detail"]) == ("private address", "pictures.test is 10.0.0.1")


def test_unknown_host(tmp_path: Path) -> None:
    bench = Bench(tmp_path, names=Names({}))
    row = bench.run([wanted("https://nowhere.test/a.jpg", "a")])["a"]
    assert row["reason"] == "robots.txt unreachable"
    assert row["detail"] == "no answer: no such host"


@pytest.mark.parametrize(
    "address",
    ["", "pictures/a.jpg", "data:image/png;base64,AA", "ftp://h.test/a", "http:///a", "http://h:0/",
     "http://h.test:8080/", "http://u@h.test/", "http://h.test\\@x.test/", "http://h.te st/",
     "http://h.test/\n", "https://h.test:80/", "http://h.test/" + "a" * 9000, "http://\udcff/"],
)  # fmt: skip
def test_odd_addresses_are_rows_too(tmp_path: Path, address: str) -> None:
    row = Bench(tmp_path).run([wanted(address, "odd")])["odd"]
    assert row["reason"] == "bad address"
    assert row["detail"]


def test_odd_names_are_carried_and_never_become_file_names(tmp_path: Path) -> None:
    names = ["Ωmega/../../x", "李\u0000", "half \udc80", "\u202egnp.exe", "😀" * 300]
    with Server(default=picture(GOOD)).running() as server:
        url = server.url("/Zo%C3%AB é/☃%2C.jpg?q=a b&n=1")
        pictures = [
            wanted(url + f"&{n}", f"{n}", person_name=name, author=name)
            for n, name in enumerate(names)
        ]
        rows = Bench(tmp_path).run(pictures, server)
    assert rows["0"]["person_name"] == names[0]
    assert rows["2"]["author"] == "half ?"
    assert rows["0"]["status"] == "kept"
    assert "/Zo%C3%AB%20%C3%A9/%E2%98%83,.jpg?q=a+b&n=1&0" in server.asked
    with tarfile.open(tmp_path / "out" / "photos.tar") as tar:
        assert tar.getnames() == [f"{rows['0']['sha256']}.jpg"]
    found = {path.name for path in (tmp_path / "work").iterdir()}
    assert found <= {"ledger.sqlite", "ledger.sqlite-wal", "pictures.bin"}


# -- servers that ask for patience


@pytest.mark.parametrize(
    ("header", "least"),
    [(None, 0.5), ("7", 7.0), ("date", 30.0), ("soon", 0.5), ("999999", 300.0)],
)
@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says_so(
    tmp_path: Path, code: int, header: str | None, least: float
) -> None:
    clock = SkippingClock()
    headers = {} if header is None else {"Retry_After": header}
    if header == "date":
        headers = {"Retry_After": formatdate(clock.wall() + 32, usegmt=True)}
    answer = in_turn(status(code, **headers), picture(GOOD))
    with Server({"/a": answer}).running() as server:
        rows = Bench(tmp_path, clock=clock).run([wanted(server.url("/a"), "a")], server)
    assert rows["a"]["status"] == "kept"
    assert clock.passed >= 0.98 * least
    assert clock.skipped <= least + 4


def test_a_storm_of_refusals_ends(tmp_path: Path) -> None:
    with Server(default=status(429, Retry_After="1")).running() as server:
        bench = Bench(tmp_path)
        rows = bench.run([wanted(server.url(f"/{n}"), f"{n:03}") for n in range(200)], server)
    assert {row["reason"] for row in rows.values()} <= {"HTTP status", "site gone"}
    assert bench.packed is not None
    assert bench.packed.rejected == 200
    assert len(server.asked) < 60, "it was left alone instead"


def test_a_server_gone_for_a_minute_loses_nothing(tmp_path: Path) -> None:
    clock = SkippingClock()
    began = clock.now()

    async def away_at_first(request: Request) -> None:
        if clock.now() - began < 60:
            request.writer.transport.abort()
        else:
            await request.answer(200, jpeg(hash(request.path) % 1000))

    with (
        Server(default=away_at_first).running() as away,
        Server(default=picture(GOOD)).running() as there,
    ):
        pictures = [wanted(away.url(f"/{n}"), f"away {n:03}") for n in range(100)]
        pictures += [wanted(there.url(f"/{n}"), f"there {n}") for n in range(3)]
        bench = Bench(tmp_path, clock=clock)
        rows = bench.run(pictures, away, there)
    reasons = {row["reason"] for key, row in rows.items() if key.startswith("away")}
    assert reasons <= {None, "duplicate content"}
    assert len(away.asked) < 100 + 40
    assert clock.passed > 50
    assert clock.skipped < 200


def test_a_server_gone_for_good_is_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else can take the port, and it refuses.
        taken.bind(("127.0.0.1", 0))
        gone = Server(port=taken.getsockname()[1])
        with Server(default=picture(GOOD)).running() as there:
            pictures = [wanted(gone.url(f"/{n}"), f"gone {n:03}") for n in range(300)]
            bench = Bench(tmp_path)
            rows = bench.run([*pictures, wanted(there.url("/a"), "there")], gone, there)
    assert rows["there"]["status"] == "kept"
    assert {rows[f"gone {n:03}"]["reason"] for n in range(100, 300)} == {"site gone"}
    assert "robots.txt unreachable: no answer" in rows["gone 299"]["detail"]
    assert bench.packed is not None
    assert bench.packed.reasons["site gone"] > 280


# -- robots.txt


def test_robots_forbid_allow_and_slow_down(tmp_path: Path) -> None:
    rules = (
        b"User-agent: *\nDisallow: /\n\nUser-agent: DCGAN-assets\nCrawl-delay: 5\nDisallow: /no\n"
    )
    clock = SkippingClock()
    with Server({"/robots.txt": picture(rules)}, picture(GOOD)).running() as server:
        bench = Bench(tmp_path, clock=clock)
        rows = bench.run([wanted(server.url(f"/{n}"), n) for n in ("a", "b", "c", "no")], server)
    assert rows["no"]["reason"] == "robots.txt"
    assert rows["a"]["status"] == "kept"
    assert server.asked_for("/robots.txt") == 1
    assert "/no" not in server.asked
    assert server.most_at_once == 1
    assert clock.passed >= 9
    assert clock.skipped <= 25


async def hang(request: Request) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("robots", "reason"),
    [
        (status(500), "robots.txt unreachable"),
        (status(429), "robots.txt unreachable"),
        (hang, "robots.txt unreachable"),
        (moved("http://169.254.169.254/robots.txt"), "private address"),
        (picture(b"User-agent: *\nCrawl-delay: 86400"), "robots.txt"),
        (picture(gzip.compress(b"x"), Content_Encoding="gzip"), "robots.txt"),
        (status(404), None),
        (status(403), None),
        (moved("/robots.txt"), None),
        (picture(b"\xff\xfe\x00<html>"), None),
    ],
)
def test_robots_that_cannot_be_had(tmp_path: Path, robots: Answer, reason: str | None) -> None:
    with Server({"/robots.txt": robots}, picture(GOOD)).running() as server:
        bench = Bench(tmp_path)
        bench.limits = replace(bench.limits, tries=2)
        if robots is hang:
            bench.limits = replace(bench.limits, deadline=0.15)
        rows = bench.run([wanted(server.url(f"/{n}"), n) for n in ("a", "b")], server)
        assert rows["a"]["reason"] == reason
        if reason:
            assert not {"/a", "/b"} & set(server.asked)


def test_robots_are_asked_for_once_a_day(tmp_path: Path) -> None:
    clock = SkippingClock()
    with Server(default=picture(GOOD)).running() as server:
        bench = Bench(tmp_path, clock=clock)
        for hours, times in ((0, 1), (23, 1), (2, 2)):
            clock.skipped += hours * 3600
            bench.run([wanted(server.url(f"/{hours}"), "a")], server)
            assert server.asked_for("/robots.txt") == times


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(served)
    return served


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return client


def test_tls_is_checked(tmp_path: Path, authority: trustme.CA) -> None:
    right = Server(default=picture(GOOD), tls=context(authority, "127.0.0.1"))
    wrong_name = Server(default=picture(GOOD), tls=context(authority, "other.test"))
    stranger = Server(default=picture(GOOD), tls=context(trustme.CA(), "127.0.0.1"))
    with right.running(), wrong_name.running(), stranger.running(), Server().running() as plain:
        right.answers["/down"] = moved(plain.url("/a.jpg"))
        bench = Bench(tmp_path, tls=trusting(authority))
        rows = bench.run(
            [
                wanted(right.url("/a"), "right"),
                wanted(right.url("/down"), "down"),
                wanted(wrong_name.url("/a"), "wrong name"),
                wanted(stranger.url("/a"), "stranger"),
            ],
            right,
            wrong_name,
            stranger,
            plain,
        )
        assert plain.asked == []
    assert rows["right"]["status"] == "kept"
    assert (rows["down"]["reason"], rows["down"]["detail"]) == ("redirects", "from https to http")
    assert rows["wrong name"]["reason"] == "TLS"
    assert rows["stranger"]["reason"] == "TLS"
