"""robots.txt as RFC 9309 has it, with Crawl-delay beside it; and opt-outs in answers' headers.

The standard library's parser knows no wildcards and takes the first rule that fits instead of
the longest, so here is one that follows the RFC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from yarl import URL

from dcgan_assets.scraping.addresses import spelled

# Section 2.5: at least so much must be read. The rest of a longer file is ignored.
MAX_BYTES = 500 << 10

_TOKEN = re.compile(r"[A-Za-z_-]+")

_NO_IMAGES = frozenset({"noindex", "noimageindex", "noai", "noimageai", "none"})
# Directives of X-Robots-Tag that have a value after a colon, and so are no crawler's name.
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


@dataclass
class _Group:
    rules: list[tuple[bool, str]] = field(default_factory=list)
    delay: float | None = None


@dataclass(frozen=True)
class Robots:
    """What a robots.txt tells one crawler.

    Attributes:
        rules: Allowed or not, and the pattern with its escapes made alike.
        crawl_delay: Seconds between requests, or None.
    """

    rules: tuple[tuple[bool, str], ...] = ()
    crawl_delay: float | None = None

    def allows(self, url: URL) -> bool:
        """Whether the longest rule that fits allows the address; Allow wins a tie (2.2.2)."""
        if not self.rules:
            return True
        path = spelled(url.raw_path or "/")
        if path == "/robots.txt":
            return True
        query = url.raw_query_string
        target = f"{path}?{spelled(query)}" if query else path
        fitting = [(len(rule), allow) for allow, rule in self.rules if _fits(rule, target)]
        return max(fitting, default=(0, True))[1]


def parse_robots(content: bytes, product: str) -> Robots:
    """Read the groups for `product`, or for `*` where there is none.

    Several groups for one product count as one. Anything that is no rule is passed over.

    Args:
        content: The file's bytes, any of them.
        product: The crawler's name, without version.
    """
    groups = {product.lower(): _Group(), "*": _Group()}
    named: set[str] = set()
    current: list[_Group] = []
    in_rules = False
    for name, value in _records(content):
        if name == "user-agent":
            if in_rules:
                current, in_rules = [], False
            token = _TOKEN.match(value)
            agent = "*" if value.startswith("*") else (token[0].lower() if token else "")
            named.add(agent)
            if agent in groups:
                current.append(groups[agent])
        elif name in {"allow", "disallow"}:
            in_rules = True
            if value:
                for group in current:
                    group.rules.append((name == "allow", spelled(value)))
        elif name == "crawl-delay" and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            for group in current:
                group.delay = max(float(value), group.delay or 0.0)
    chosen = groups[product.lower() if product.lower() in named else "*"]
    return Robots(tuple(chosen.rules), chosen.delay)


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    if len(content) > MAX_BYTES:
        # The last line is cut, and half a rule may mean something else.
        content = re.split(rb"[\r\n][^\r\n]*\Z", content[:MAX_BYTES])[0]
    for line in re.split(r"[\r\n]+", content.decode("utf-8-sig", "replace")):
        name, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def _fits(pattern: str, target: str) -> bool:
    """Whether a pattern with `*` and a final `$` fits the start of `target`; linear in both."""
    whole = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not target.startswith(first):
        return False
    if whole and not others:
        return target == first
    position = len(first)
    last = others.pop() if whole else None
    for part in others:
        position = target.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return last is None or (target.endswith(last) and len(target) - len(last) >= position)


class Headers(Protocol):
    """Headers that may come several times."""

    def getall(self, key: str, default: Iterable[str]) -> Iterable[str]:
        """All values of a header."""
        ...


def opted_out(headers: Headers, product: str) -> str | None:
    """The header by which an answer asks not to be used so, or None.

    These are X-Robots-Tag with noindex, noimageindex, noai, noimageai or none, for everybody or
    for `product`, and the TDM Reservation Protocol's `tdm-reservation: 1`.
    """
    for value in headers.getall("X-Robots-Tag", ()):
        agent = "*"
        for part in value.split(","):
            name, colon, rest = (piece.strip().lower() for piece in part.partition(":"))
            if colon and name not in _WITH_VALUE:
                agent, name = name, rest
            if name in _NO_IMAGES and agent in {"*", product.lower()}:
                return f"X-Robots-Tag: {name}"
    if any(value.strip() == "1" for value in headers.getall("TDM-Reservation", ())):
        return "tdm-reservation: 1"
    return None
