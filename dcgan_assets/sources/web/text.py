"""Names and captions from anywhere, as text that fits any table: NFC, valid UTF-8, one line."""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser

# What breaks lines, is invisible or turns the direction of writing. The joiners U+200C and U+200D
# stay: Persian and Indic names need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# DBpedia's labels are Wikipedia's titles: "George Harrison (cricketer)".
_DISAMBIGUATOR = re.compile(r"\s*\([^()]*\)$")


def clean(text: str) -> str:
    """Text in NFC on one line, without control characters; lone surrogates become U+FFFD."""
    whole = _SURROGATE.sub("\ufffd", text)
    return " ".join(unicodedata.normalize("NFC", _UNPRINTABLE.sub(" ", whole)).split())


def person_name(label: str) -> str:
    """A person's name from a title: cleaned, without '(actor)' and the like at its end."""
    name = clean(label)
    return _DISAMBIGUATOR.sub("", name) or name


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def without_tags(markup: str) -> str:
    """The words of a fragment of HTML: Commons gives authors and credits as such."""
    if "<" not in markup:
        return clean(html.unescape(markup))
    parser = _Words()
    parser.feed(markup)
    parser.close()
    return clean("".join(parser.words))
