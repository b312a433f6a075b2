"""Sections of params.yaml of the groups whose pictures are looked for by name: faces and albums."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from dcgan_assets.params.base import Section
from dcgan_assets.params.download import Photos
from dcgan_assets.params.faces import FaceBoxes
from dcgan_assets.params.groups import IngestedGroup, TrainedGroup
from dcgan_assets.params.internals import LookingInside
from dcgan_assets.params.search import ImageUrls, People
from dcgan_assets.sources.faces.finding import TRAINING_SIDE
from dcgan_models.errors import UserError


class Search(Section):
    """From names to pictures: what faces and album covers have in common.

    Attributes:
        removals: CSV of people and pictures that are to be left out, relative to the workspace.
            Every step from names to faces reads it; it may hold its first line alone.
    """

    removals: str
    people: People
    image_urls: ImageUrls
    photos: Photos

    @model_validator(mode="after")
    def _packaged_throughout(self) -> Self:
        if (self.people.source == "packaged") != ("packaged" in self.image_urls.searches):
            raise ValueError(
                "people.source and image_urls.searches are both `packaged`, or neither is"
            )
        return self

    @property
    def asks_the_web(self) -> bool:
        """Whether names or pictures are asked for, which needs the operator's contact."""
        return self.people.asks_the_web or self.image_urls.asks_the_web

    def found(self, root: Path) -> str:
        """Where names and pictures are looked for, and how much is to be left out."""
        from dcgan_assets.sources.web.removals import RemovalList

        folder = self.image_urls.folder
        for path in (self.people.path, folder.path if folder else None):
            if path is not None and not (root / path).exists():
                raise UserError(f"{root / path} is missing")
        removed = len(RemovalList.read(root / self.removals).lines)
        searches = ", ".join(self.image_urls.searches)
        where = f"names: {self.people.source}; pictures: {searches}"
        return f"{where}; {removed} on the removal list"


class FacesGroup(Search, LookingInside, TrainedGroup):
    """Section 4.2, and Figures 7, 8 and 10."""

    face_boxes: FaceBoxes

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        side = self.candidate.resolved().image[1]
        if side != TRAINING_SIDE:
            raise ValueError(
                f"faces are {TRAINING_SIDE} pixels wide and candidate's networks draw {side}"
            )
        return self


class AlbumsGroup(IngestedGroup):
    """The README's album covers, 128 pixels wide.

    Attributes:
        search: Where covers are looked for, with `images.source: search`, and only there.
    """

    search: Search | None = None

    @model_validator(mode="after")
    def _search_where_needed(self) -> Self:
        if (self.images.source == "search") != (self.search is not None):
            raise ValueError("`search` is needed with `images.source: search`, and only there")
        if self.search is not None and self.search.photos.shards != self.images.shards:
            raise ValueError(
                f"search.photos.shards is {self.search.photos.shards} and images.shards "
                f"{self.images.shards}; a shard of photographs becomes one of pictures"
            )
        return self
