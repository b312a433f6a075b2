"""robots.txt files made to keep whoever reads them busy, or to fill the memory."""

from __future__ import annotations

import tracemalloc

from yarl import URL

from dcgan_assets.sources.web.download.robots import parse_robots


def test_patterns_of_thousands_of_wildcards() -> None:
    # A search that goes back would take longer than the universe has stood.
    robots = parse_robots(b"User-agent: *\nDisallow: /" + b"*a" * 3000 + b"*b$", "foobot")
    assert robots.allows(URL("https://h.test/" + "a" * 8000))


def test_many_names_over_many_rules_take_no_more_memory_than_the_rules() -> None:
    names = b"".join(b"User-agent: %d-a\n" % number for number in range(2000))
    rules = b"".join(b"Allow: /%d\n" % number for number in range(4000))
    tracemalloc.start()
    try:
        robots = parse_robots(names + b"User-agent: foobot\n" + rules + b"Disallow: /a", "foobot")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 16 << 20, "each rule once for each name would be 8 million"
    assert not robots.allows(URL("https://h.test/a"))
