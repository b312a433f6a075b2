"""Sections of params.yaml that say where pictures come from and how large they are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dcgan_assets.params.base import Count, Epochs, Flag, PictureSource, Seed
from dcgan_assets.sources.lsun_downloads import LSUN_CATEGORIES
from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_models.presets import SIZES

SIDE = 32  # of labelled pictures
HASH_SIDE = 32  # of the pictures that the semantic hash is made of
MADE_HERE = ("photographs", "rooms", "faces", "things")  # sources that come with packages, or drawn


def _known_size(size: int) -> int:
    if size not in SIZES:
        raise ValueError(f"pictures are {', '.join(map(str, SIZES))} pixels wide, not {size}")
    return size


def _known_category(category: str | None) -> str | None:
    if category is not None and category not in LSUN_CATEGORIES:
        raise ValueError(f"LSUN has no {category!r}; allowed: {', '.join(LSUN_CATEGORIES)}")
    return category


Size = Annotated[int, Field(strict=True), AfterValidator(_known_size)]


class GroupImages(PictureSource):
    """Where a group's pictures come from, and how large they are made.

    Attributes:
        source: `photographs` are those of installed packages; `rooms`, `faces` and `things` are
            drawn, and what is seen on each is in the manifest; `folder` is a tree of pictures,
            `archive` a zip or tar, `lsun` one of LSUN's databases (LMDB), `imagenet` ImageNet-1k's
            class folders or its official tar, `cifar10` CIFAR-10's training pictures, `search`
            (of albums alone) what was looked for on the web.
        path: Of folder, archive or database, relative to the workspace. Of `cifar10` the folder
            of its binary archive, which is downloaded when there is no path.
        category: Of LSUN, to be downloaded; in place of a path.
        size: Side of the training pictures: short side scaled to it, centre cropped.
        min_side: Pictures with a shorter side are rejected; by default `size`, so that none is
            enlarged, and 32 for packaged photographs and drawings, which are small on purpose.
        shards: Parts that are made one by one, each in a run of its own.
        pictures, held_out, planted, seed: Of photographs and drawings: how many there are, how
            many more are held out, the share that are near-duplicates of others, and the seed.
        licence, attribution: What holds for all pictures of a folder or archive.
        stand_in: Whether a folder or archive holds other pictures than the paper's.
    """

    source: Literal[
        "photographs",
        "rooms",
        "faces",
        "things",
        "folder",
        "archive",
        "lsun",
        "imagenet",
        "cifar10",
        "search",
    ]
    path: str | None = None
    category: Annotated[str | None, AfterValidator(_known_category)] = None
    size: Size
    min_side: Count | None = None
    shards: Annotated[int, Field(ge=1, le=99, strict=True)]
    pictures: Count | None = None
    held_out: Epochs = 0
    planted: Annotated[float, Field(ge=0, le=0.5, strict=True)] = 0.0
    seed: Seed = 42
    licence: str = UNSTATED
    attribution: str = UNSTATED
    stand_in: Flag = False

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        if self._made_here != (self.pictures is not None):
            *most, last = (f"`{source}`" for source in MADE_HERE)
            sources = f"{', '.join(most)} or {last}"
            raise ValueError(f"`pictures` is needed with `source` {sources}, and only there")
        if self.category is not None and self.source != "lsun":
            raise ValueError("`category` goes with `source: lsun`")
        without = self._made_here or self.category is not None
        without = without or self.source == "search"
        if self.source != "cifar10" and (self.path is None) != without:
            raise ValueError("`path` is needed unless the pictures are packaged or downloaded")
        return self

    @property
    def _made_here(self) -> bool:
        """Whether the pictures are crops of packaged photographs, or drawn."""
        return self.source in MADE_HERE

    @property
    def least_side(self) -> int:
        """The least short side of a picture that is taken: `min_side`, or its default."""
        if self.min_side is not None:
            return self.min_side
        return HASH_SIDE if self._made_here else self.size

    def identity(self) -> dict[str, Any]:
        """The section with `min_side` filled in."""
        return {**super().identity(), "min_side": self.least_side}

    @property
    def downloaded(self) -> bool:
        """Whether the pictures are downloaded before they are read."""
        return self.category is not None or (self.source == "cifar10" and self.path is None)

    def to_fetch(self) -> str:
        """The size of LSUN's database, or of CIFAR-10's archive."""
        if self.category is not None:
            size, _ = LSUN_CATEGORIES[self.category]
            download = f"{size / 1e9:.1f} GB to download, and as much again to unpack"
            return f", {self.category}: {download}"
        if self.downloaded:
            from dcgan_assets.sources.cifar10 import CIFAR10_DOWNLOAD

            return f", {CIFAR10_DOWNLOAD.size / 1e6:.0f} MB to download"
        return ""


class LabelledImages(PictureSource):
    """Where labelled pictures of 32 pixels come from.

    Attributes:
        path: With `source: folder`, where it lies, relative to the workspace.
        train, test: Pictures of each split of a stand-in.
        seed: Seed that deals the pictures of a stand-in.
    """

    source: str
    path: str | None = None
    train: Count | None = None
    test: Count | None = None
    seed: Seed = 42

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        if (self.source == "folder") != (self.path is not None):
            raise ValueError("`path` is needed with `source: folder`, and only there")
        made = self.source not in ("folder", "download")
        if any((count is not None) != made for count in (self.train, self.test)):
            raise ValueError(
                "`train` and `test` are needed with the packaged stand-in, and only there"
            )
        return self


class Cifar10Images(LabelledImages):
    """Where the pictures of CIFAR-10 come from, or of its stand-in.

    Attributes:
        source: `things` are drawn, of ten kinds that the group source of that name does not show;
            `folder` holds CIFAR-10's binary version, `download` fetches it.
    """

    source: Literal["things", "folder", "download"]


class SvhnImages(LabelledImages):
    """Where the pictures of SVHN come from, or of its stand-in.

    Attributes:
        source: `stand_in` draws MNIST digits on plates before photographs; `folder` holds
            SVHN's published .mat files, `download` fetches them.
        extra: Whether the 531,131 easier digits are there for the GAN, too.
    """

    source: Literal["stand_in", "folder", "download"]
    extra: Flag = False

    @model_validator(mode="after")
    def _extra_is_svhns(self) -> Self:
        if self.extra and self.source == "stand_in":
            raise ValueError("`extra` goes with `source: folder` or `source: download`")
        return self
