"""Artefacts of machines that share no folder: their files and records in S3.

    PREFIX/objects/SHA256                   the bytes of a file
    PREFIX/records/KIND/GROUP/ASSET/[SHARD/]_meta.json

The files are written first and the record last, each by what S3 carries out whole or not at all.
So whoever finds a record finds all that it lists, and of an upload that was broken off nothing is
seen. What is published is what the records here say; what lies on a machine's disk is a copy.

Who may read and write is said by the environment alone (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_ENDPOINT_URL and the others that AWS's own tools read).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcgan_models.errors import UserError
from dcgan_models.extras import from_extra
from dcgan_models.files import sha256_file

# What another machine has published since is seen after so many seconds at the latest.
_LOOK_SECONDS = 10.0
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class Exchange:
    """What machines that share no folder have published.

    Args:
        url: `s3://BUCKET/PREFIX`, from params.yaml.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._top = url.removeprefix("s3://").strip("/")
        self._seen: dict[str, tuple[str, bytes]] = {}
        self._looked = float("-inf")
        self._systems: dict[int, Any] = {}

    def record(self, place: str) -> bytes | None:
        """The record of what is published at a place; None where nothing is.

        Args:
            place: Of the artefact, relative to a workspace.

        Raises:
            UserError: The exchange cannot be read.
        """
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self.look()
        found = self._seen.get(self._record(place))
        return None if found is None else found[1]

    def look(self) -> None:
        """See now what others have published since the last look.

        Raises:
            UserError: The exchange cannot be read.
        """
        with self._open() as system:
            listed = system.find(f"{self._top}/records", detail=True)
            tags = {name: str(facts["ETag"]) for name, facts in listed.items()}
            known = {n: one for n, one in self._seen.items() if tags.get(n) == one[0]}
            fresh = [name for name in tags if name not in known]
            contents = system.cat(fresh) if fresh else {}
        self._seen = {**known, **{name: (tags[name], contents[name]) for name in fresh}}
        self._looked = time.monotonic()

    def publish(self, place: str, record: bytes, files: Mapping[str, Path]) -> None:
        """Write files that are not there yet, and then the record that lists them.

        Args:
            place: Of the artefact, relative to a workspace.
            files: By their SHA-256.

        Raises:
            UserError: The exchange cannot be written; what was published there stands.
        """
        with self._open() as system:
            for sha256, path in files.items():
                if not system.exists(self._object(sha256)):
                    system.put_file(str(path), self._object(sha256))
            system.pipe_file(self._record(place), record)
        self._looked = float("-inf")

    def fetch(self, sha256: str, target: Path) -> None:
        """Write an object into a new file.

        Raises:
            UserError: It is missing, or its bytes are not those of its name.
        """
        with self._open() as system:
            system.get_file(self._object(sha256), str(target))
        if sha256_file(target) != sha256:
            raise UserError(
                f"{self.url}/objects/{sha256}: its bytes are not those of its name; remove it "
                "there, and make what lists it again with --force"
            )

    def _object(self, sha256: str) -> str:
        return f"{self._top}/objects/{sha256}"

    def _record(self, place: str) -> str:
        return f"{self._top}/records/{place}/_meta.json"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The file system, and one line for whatever goes wrong with it."""
        # A forked process needs connections of its own.
        system = self._systems.get(os.getpid()) or _connect()
        self._systems[os.getpid()] = system
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield system
        except (OSError, BotoCoreError, ClientError) as error:
            raise UserError(f"machine.exchange: {self.url}: {_reason(error)}") from None


def _connect() -> Any:
    s3fs = from_extra("s3fs", "machine.exchange", "s3")
    settings = {"connect_timeout": 10, "retries": {"mode": "standard", "max_attempts": 3}}
    return s3fs.S3FileSystem(
        config_kwargs=settings, use_listings_cache=False, skip_instance_cache=True
    )


def _reason(error: Exception) -> str:
    """What a failure says, in one line and without what must stay secret."""
    words = " ".join(str(error).split()) or type(error).__name__
    for name in _SECRETS:
        if secret := os.environ.get(name):
            words = words.replace(secret, "***")
    return words
