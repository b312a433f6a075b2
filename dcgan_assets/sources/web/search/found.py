"""What an image search is asked and what it answers, whichever service is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from dcgan_assets.sources.reading.items import UNSTATED

# Wikimedia's steps, as measured in November 2026, from the smallest that shows a face.
THUMBNAIL_WIDTHS = (250, 330, 500, 960, 1280, 1920, 3840)


class Subject(NamedTuple):
    """Whose pictures are looked for: a person, or an album.

    Attributes:
        uri: The key in the table of people.
        name: In NFC.
        wikidata: Address of the Wikidata item, where it is known.
    """

    uri: str
    name: str
    wikidata: str | None = None


class FoundPicture(NamedTuple):
    """A picture that a search has found; nothing of it has been fetched yet.

    Attributes:
        search: The service and its kind of query: 'commons:depicts'.
        page: Address of the page about the picture.
        address: Where the picture is to be fetched, exactly as the service gave it.
        original: Where its original is, when `address` is a smaller copy.
        licence: Short name, or 'unstated'.
        licence_url: Address of the licence's text.
        author: Who made it, or 'unstated'.
        attribution: Whom to name, and how, or 'unstated'.
        restrictions: What else its page warns of, such as personality rights.
        sha1: Hex SHA-1 of the original's bytes.
        width, height: Of the original, in pixels.
        mime: Of the original.
    """

    search: str
    page: str | None
    address: str
    original: str | None = None
    licence: str = UNSTATED
    licence_url: str | None = None
    author: str = UNSTATED
    attribution: str = UNSTATED
    restrictions: str | None = None
    sha1: str | None = None
    width: int | None = None
    height: int | None = None
    mime: str | None = None


class ImageSearch(Protocol):
    """A service that finds pictures of a subject."""

    @property
    def name(self) -> str:
        """A short name: 'commons', 'covers'."""
        ...

    def search(self, subject: Subject, most: int) -> AsyncIterator[FoundPicture]:
        """The pictures of a subject, best first, at most `most`.

        Raises:
            ApiError: This subject could not be looked for, or not to the end.
            UserError: The service cannot be used at all: its folder cannot be listed.
        """
        ...


def positive(value: object) -> int | None:
    """A size in pixels, where that is what an API gave."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
