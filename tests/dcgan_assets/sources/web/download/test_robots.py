"""robots.txt by RFC 9309: its own examples, the disputed corners, and headers that opt out."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict
from yarl import URL

from dcgan_assets.sources.web.download.robots import MAX_BYTES, opted_out, parse_robots


def allows(text: str | bytes, path: str, product: str = "foobot") -> bool:
    content = text.encode() if isinstance(text, str) else text
    return parse_robots(content, product).allows(URL("https://h.test" + path, encoded=True))


# RFC 9309, 5.1.
SIMPLE = """User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("product", "path", "expected"),
    [
        ("other", "/a.gif", False),
        ("other", "/a.gif?x", True),
        ("other", "/example/x", False),
        ("other", "/publications/x", True),
        ("other", "/", True),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/example/", False),
        ("FooBot", "/publications/", False),
        ("barbot", "/example/page.html", False),
        ("barbot", "/example/page.htm", True),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/a.gif", True),
        ("quxbot", "/example/page.html", True),
        ("quxbot", "/a.gif", True),
    ],
)
def test_the_simple_example(product: str, path: str, expected: bool) -> None:
    assert allows(SIMPLE, path, product) is expected


def test_the_longest_match_wins() -> None:
    # RFC 9309, 5.2.
    text = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"
    assert not allows(text, "/example/page/disallowed.gif")
    assert allows(text, "/example/page/allowed.gif")


def test_groups_of_one_name_are_one() -> None:
    # RFC 9309, 2.2.1.
    text = """user-agent: ExampleBot
disallow: /foo
disallow: /bar

user-agent: ExampleBot
disallow: /baz
"""
    for path in ("/foo", "/bar", "/baz"):
        assert not allows(text, path, "examplebot")
    assert allows(text, "/qux", "examplebot")


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        # RFC 9309, 2.2.2: the table of escapes.
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=http://foo.bar", "/foo/bar?baz=http://foo.bar"),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        # 2.2.3: special characters.
        ("/foo/*/qux", "/foo/bar/baz/qux"),
        ("/this/path/exactly$", "/this/path/exactly"),
        ("/this/*/exactly", "/this/path/exactly"),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-%2A.html"),
        ("/path/foo-%24", "/path/foo-%24"),
        ("*", "/"),
        ("/fish*", "/fish.html"),
        ("/*.php$", "/folder/x.php"),
        ("/a*$", "/abc"),
        ("/a$b", "/a$b"),
    ],
)
def test_patterns_that_fit(rule: str, path: str) -> None:
    assert not allows(f"User-agent: *\nDisallow: {rule}", path)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/foo/bar/baz", "/foo/bar%2Fbaz"),
        ("/this/path/exactly$", "/this/path/exactly/not"),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-x.html"),
        ("/Fish", "/fish"),
        ("/fish/", "/fish"),
        ("/*.php$", "/x.php?y"),
        ("/a*b$", "/ab/c"),
        ("/aa*a$", "/aa"),
        ("", "/anything"),
    ],
)
def test_patterns_that_do_not_fit(rule: str, path: str) -> None:
    assert allows(f"User-agent: *\nDisallow: {rule}", path)


@pytest.mark.parametrize("order", [1, -1])
def test_allow_wins_a_tie_in_any_order(order: int) -> None:
    rules = ["Allow: /a", "Disallow: /a"][::order]
    assert allows("\n".join(["User-agent: *", *rules]), "/a/b")


def test_the_file_itself_is_always_allowed() -> None:
    assert allows("User-agent: *\nDisallow: /", "/robots.txt")


def test_odd_lines_are_passed_over() -> None:
    text = "\ufeffSitemap: /s\rDisallow: /early\r\nUser-agent : *  # us all\nnonsense\n"
    text += "\nDisallow : /a # b\nNoindex: /c\n"
    assert not allows(text, "/a")
    assert allows(text, "/c")
    assert allows(text, "/early"), "a rule before any group is nobody's"
    assert allows(b"\xff\xfe\x00\x01" * 100, "/")


def test_other_records_do_not_end_a_list_of_names() -> None:
    text = "User-agent: foobot\nSitemap: /s\nUser-agent: other\nDisallow: /"
    assert not allows(text, "/a")


@pytest.mark.parametrize("name", ["foobot/2.1 (x)", "FooBot/2", "foobot 2.1", "foobot # us"])
def test_what_follows_the_name_is_not_of_it(name: str) -> None:
    assert not allows(f"User-agent: {name}\nDisallow: /", "/a")


@pytest.mark.parametrize("name", ["foo", "bot", "foobots", "foo-bot", "7"])
def test_a_part_of_the_name_is_another_name(name: str) -> None:
    assert allows(f"User-agent: {name}\nDisallow: /", "/a")
    assert not allows(f"User-agent: {name}\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a")


def test_only_the_first_500_kib_count_and_no_torn_line() -> None:
    filler = b"# filler\n" * 60_000
    assert len(filler) > MAX_BYTES
    assert allows(b"User-agent: *\n" + filler + b"Disallow: /", "/a")
    head = b"User-agent: *\nDisallow: /x\n"
    torn = head + b"#" * (MAX_BYTES - len(head) - 11) + b"\nDisallow: /a-long-name\n"
    assert torn[:MAX_BYTES].endswith(b"Disallow: ")
    torn_later = torn.replace(b"\nDisallow: /a-", b"\nDisallow:/a-")
    assert allows(torn_later, "/about"), "half a rule is no rule"
    assert not allows(torn_later, "/x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5", 5.0), ("0.5", 0.5), ("1e9", 1e9), ("-1", None), ("soon", None), ("nan", None)],
)
def test_crawl_delay(value: str, expected: float | None) -> None:
    text = f"User-agent: foobot\nCrawl-delay: {value}\nUser-agent: *\nCrawl-delay: 99"
    assert parse_robots(text.encode(), "foobot").crawl_delay == expected
    assert parse_robots(text.encode(), "other").crawl_delay == 99.0
    shared = f"User-agent: foobot\n{text}"
    assert parse_robots(shared.encode(), "foobot").crawl_delay == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-Robots-Tag", "noindex")], "X-Robots-Tag: noindex"),
        ([("x-robots-tag", "nofollow, NoImageIndex")], "X-Robots-Tag: noimageindex"),
        ([("X-Robots-Tag", "nofollow"), ("X-Robots-Tag", "noai")], "X-Robots-Tag: noai"),
        ([("X-Robots-Tag", "noimageai")], "X-Robots-Tag: noimageai"),
        ([("X-Robots-Tag", "none")], "X-Robots-Tag: none"),
        ([("X-Robots-Tag", "otherbot: noindex, nofollow")], None),
        ([("X-Robots-Tag", "otherbot: noindex, foobot: noai")], "X-Robots-Tag: noai"),
        ([("X-Robots-Tag", "FooBot: noindex")], "X-Robots-Tag: noindex"),
        (
            [("X-Robots-Tag", "unavailable_after: 25 Jun 2027 15:00:00 PST, noindex")],
            "X-Robots-Tag: noindex",
        ),
        ([("X-Robots-Tag", "max-image-preview: large")], None),
        ([("TDM-Reservation", "1")], "tdm-reservation: 1"),
        ([("tdm-reservation", "0")], None),
        ([], None),
    ],
)
def test_headers_that_opt_out(headers: list[tuple[str, str]], expected: str | None) -> None:
    assert opted_out(CIMultiDict(headers), "foobot") == expected
