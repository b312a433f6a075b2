"""robots.txt as RFC 9309 has it, with Crawl-delay beside it; and opt-outs in answers' headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from protego import Protego
from yarl import URL

# Section 2.5: at least so much must be read. The rest of a longer file is ignored.
MAX_BYTES = 500 << 10

# The line that starts a group or names one more crawler, up to the end of the name: a version and
# anything else that follows is not part of it (2.2.1).
_AGENT = re.compile(r"\s*user[- ]?agent(?:\s*:\s*|\s+)([a-z_-]+|\*)?", re.IGNORECASE)

_NO_IMAGES = frozenset({"noindex", "noimageindex", "noai", "noimageai", "none"})
# Directives of X-Robots-Tag that have a value after a colon, and so are no crawler's name.
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)


@dataclass(frozen=True)
class Robots:
    """What a robots.txt tells one crawler.

    Attributes:
        rules: The file's groups for that crawler and for everybody.
        product: The crawler's name, without version.
    """

    rules: Protego
    product: str

    @property
    def crawl_delay(self) -> float | None:
        """Seconds between requests, or None."""
        return self.rules.crawl_delay(self.product)

    def allows(self, url: URL) -> bool:
        """Whether the longest rule that fits allows the address; Allow wins a tie (2.2.2)."""
        return self.rules.can_fetch(str(url), self.product)


def parse_robots(content: bytes, product: str) -> Robots:
    """Read the groups for `product`, or for `*` where there is none.

    Several groups for one product count as one. Anything that is no rule is passed over.

    Args:
        content: The file's bytes, any of them.
        product: The crawler's name, without version.
    """
    lines = (_for(product.lower(), line) for line in _lines(content))
    return Robots(Protego.parse("\n".join(lines)), product)


def _lines(content: bytes) -> list[str]:
    if len(content) > MAX_BYTES:
        # The last line is cut, and half a rule may mean something else.
        content = re.split(rb"[\r\n][^\r\n]*\Z", content[:MAX_BYTES])[0]
    return content.decode("utf-8-sig", "replace").splitlines()


def _for(product: str, line: str) -> str:
    """A line as it concerns `product`: a version after its name goes, and so do other names.

    Protego keeps a rule once for every crawler that its group names: a file of 500 KiB would
    fill the memory. It also takes the start of our name, such as `dcgan`, for us.
    """
    found = _AGENT.match(line)
    if not found:
        return line
    name = (found[1] or "").lower()
    return f"User-agent: {name if name in {product, '*'} else ''}"


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
