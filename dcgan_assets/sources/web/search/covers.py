"""Album covers from the Cover Art Archive, which MusicBrainz knows the albums of.

An album is a release group of MusicBrainz. Where the list of albums has its address, the archive
is asked at once; otherwise MusicBrainz is searched for 'Artist - Title' first. Covers have no
free licence: the archive's licence field does not exist, and rows say 'unstated'.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_assets.sources.web.search.answers import Answer, MalformedError, RefusedError
from dcgan_assets.sources.web.search.client import ApiClient
from dcgan_assets.sources.web.search.found import FoundPicture, Subject
from dcgan_assets.sources.web.text import clean

MUSICBRAINZ_ENDPOINT = "https://musicbrainz.org/ws/2"
COVERS_ENDPOINT = "https://coverartarchive.org"
# The archive's files and listings lie at the Internet Archive.
_STORAGE = ("archive.org",)
_SIZES = ("500", "large", "1200", "250", "small")
_GROUP = re.compile(r"https?://musicbrainz\.org/release-group/([0-9a-f-]{36})")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEAST_SCORE = 90


class CoverSearch:
    """Front covers of albums. MusicBrainz allows one request a second."""

    name = "covers"

    def __init__(
        self,
        client: ApiClient,
        musicbrainz: str = MUSICBRAINZ_ENDPOINT,
        covers: str = COVERS_ENDPOINT,
    ) -> None:
        self._client = client
        self._musicbrainz = musicbrainz.rstrip("/")
        self._covers = covers.rstrip("/")

    async def search(self, subject: Subject, most: int) -> AsyncIterator[FoundPicture]:
        """As `ImageSearch.search`: one cover a release group."""
        given = 0
        for group, author in await self._groups(subject):
            if given >= most:
                return
            front = await self._front(group)
            if front is not None:
                given += 1
                yield front._replace(author=author, attribution=author)

    async def _front(self, group: str) -> FoundPicture | None:
        try:
            listing = await self._client.get_json(
                f"{self._covers}/release-group/{group}",
                {},
                headers={"Accept": "application/json"},
                follow=_STORAGE,
            )
        except RefusedError as error:
            if error.status == 404:  # how the archive says that an album has no cover
                return None
            raise
        return _front(listing)

    async def _groups(self, subject: Subject) -> list[tuple[str, str]]:
        """Release groups of an album, and who made each."""
        known = _GROUP.fullmatch(subject.uri)
        if known:
            return [(known[1], subject.name.partition(" - ")[0] or UNSTATED)]
        answer = await self._client.get_json(
            f"{self._musicbrainz}/release-group",
            {"query": _query(subject.name), "fmt": "json", "limit": "5"},
        )
        try:
            return [
                (group["id"], _artists(group))
                for group in answer.json["release-groups"]
                if int(group.get("score", 100)) >= _LEAST_SCORE and _ID.fullmatch(group["id"])
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedError("musicbrainz: JSON of another shape than documented") from error


def _query(name: str) -> str:
    """A search in Lucene's syntax; characters that mean something in it lose their meaning."""
    artist, dash, title = name.partition(" - ")
    if not dash:
        return f'releasegroup:"{_quoted(name)}"'
    return f'releasegroup:"{_quoted(title)}" AND artist:"{_quoted(artist)}"'


def _quoted(words: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", words.strip())


def _artists(group: dict[str, Any]) -> str:
    credit = group.get("artist-credit", [])
    return clean("".join(f"{one['name']}{one.get('joinphrase', '')}" for one in credit)) or UNSTATED


def _front(answer: Answer) -> FoundPicture | None:
    """The front cover of a listing, in the size that is nearest to what is trained on.

    Raises:
        MalformedError: The listing has another shape than the documented one.
    """
    try:
        for image in answer.json["images"]:
            if image.get("front"):
                sizes = image.get("thumbnails") or {}
                small = next((sizes[size] for size in _SIZES if size in sizes), image["image"])
                return FoundPicture(
                    "covers", answer.json.get("release"), _https(small), _https(image["image"])
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedError("covers: a listing of another shape than documented") from error
    return None


def _https(address: str) -> str:
    """The archive still writes http for what it serves over https."""
    return re.sub(
        r"^http://((?:[\w-]+\.)*(?:coverartarchive|archive)\.org/)", r"https://\1", address
    )
