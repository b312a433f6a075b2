"""A folder of pictures as an image search: a sub-folder a name. The `sample` profile's source.

The address of such a picture is `folder:` and its name relative to the folder, percent-encoded;
`read_folder_picture` gets its bytes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pyarrow.parquet as pq

from dcgan_assets.sources.folder import FileBytes, Folder, may_be_read
from dcgan_assets.sources.reading.header import BadHeaderError
from dcgan_assets.sources.reading.headers import read_header
from dcgan_assets.sources.reading.items import UNSTATED, Item, UnreadableError
from dcgan_assets.sources.web.content import MIMES
from dcgan_assets.sources.web.search.found import FoundPicture, Subject
from dcgan_assets.sources.web.text import clean

SCHEME = "folder:"


class FolderSearch:
    """Pictures in the sub-folder that has the subject's name, sorted.

    Args:
        folder: Its first-level sub-folders are names.
        licence, attribution: Of all its pictures that `terms` does not have.
        terms: A Parquet table with a picture's own: `file` (relative to the folder), `licence`,
            `author` and `attribution`.
        workspace: Whose DVC cache symlinks may lead into.
    """

    name = "folder"

    def __init__(
        self,
        folder: Path,
        licence: str = UNSTATED,
        attribution: str = UNSTATED,
        terms: Path | None = None,
        workspace: Path | None = None,
    ) -> None:
        self._folder = folder
        self._workspace = workspace
        self._general = (licence, attribution, attribution)
        self._terms_file = terms

    async def search(self, subject: Subject, most: int) -> AsyncIterator[FoundPicture]:
        """As `ImageSearch.search`. What cannot be read is found, too: reading says why."""
        for item in self._pictures.get(subject.name, ())[:most]:
            width, height, mime = _facts(item)
            licence, author, attribution = self._terms.get(item.key, self._general)
            yield FoundPicture(
                search=self.name,
                page=None,
                address=self._address(item),
                licence=licence,
                author=author,
                attribution=attribution,
                width=width,
                height=height,
                mime=mime,
            )

    @cached_property
    def _pictures(self) -> Mapping[str, list[Item]]:
        """By name; `UserError` where the folder cannot be listed, or is empty."""
        listed = defaultdict(list)
        for item in Folder(self._folder, self._workspace, labels=True).items(0, 1):
            listed[clean(item.key.partition("/")[0])].append(item)
        return listed

    @cached_property
    def _terms(self) -> dict[str, list[str]]:
        if self._terms_file is None:
            return {}
        columns = ["file", "licence", "author", "attribution"]
        rows = pq.read_table(self._terms_file, columns=columns).to_pydict().values()
        return {file: terms for file, *terms in zip(*rows, strict=True)}

    def _address(self, item: Item) -> str:
        if isinstance(item.location, FileBytes):
            return SCHEME + quote(os.path.relpath(item.location.path, os.fsencode(self._folder)))
        return SCHEME + quote(item.key)


def _facts(item: Item) -> tuple[int | None, int | None, str | None]:
    """Width, height and MIME type; nothing of what is no picture."""
    try:
        header = read_header(item.location.read())
    except (UnreadableError, BadHeaderError):
        return None, None, None
    return header.width, header.height, MIMES[header.format]


def read_folder_picture(folder: Path, address: str, workspace: Path | None = None) -> bytes:
    """The bytes of a picture that `FolderSearch` has found.

    Args:
        folder, workspace: Of the search.
        address: Of the picture.

    Raises:
        UnreadableError: It cannot be read, is too large, or does not lie in the folder.
    """
    top = os.path.realpath(os.fsencode(folder))
    path = os.path.realpath(os.path.join(top, unquote_to_bytes(address.removeprefix(SCHEME))))  # noqa: PTH118
    if not (address.startswith(SCHEME) and may_be_read(path, top, workspace)):
        raise UnreadableError("does not lie in the folder of pictures")
    return FileBytes(path).read()
