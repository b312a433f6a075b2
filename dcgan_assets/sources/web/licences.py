"""Licences as image searches name them, and which of them a user accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dcgan_assets.sources.reading.items import UNSTATED

ANY = "any"
_VERSION = re.compile(r"\s\d.*$")


def licence_family(name: str) -> str:
    """The kind of a licence without its version and country, in small letters.

    'CC BY-SA 3.0 de' and 'CC-BY-SA-4.0' are both 'cc by sa'; 'CC BY-NC 2.0' is another family.
    """
    words = " ".join(re.split(r"[\s_-]+", name.strip().lower()))
    return _VERSION.sub("", words)


@dataclass(frozen=True)
class LicenceFilter:
    """Which licences are accepted.

    Attributes:
        families: From `licence_family`; `ANY` accepts everything, what is unstated as well.
    """

    families: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> LicenceFilter:
        """A filter from names as a user writes them: 'CC BY-SA', 'public domain'."""
        return cls(frozenset(map(licence_family, names)))

    def refusal(self, name: str) -> str | None:
        """Why a picture under this licence is not taken, or None."""
        if ANY in self.families or licence_family(name) in self.families:
            return None
        return "licence not stated" if name == UNSTATED else f"licence not accepted: {name}"
