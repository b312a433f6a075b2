"""The groups whose pictures are looked for by name: faces, and albums where the web is asked.

people -> image_urls -> photos [shards] -> face_boxes [shards] -> manifest -> training_set -> ...
titles -> image_urls -> photos [shards] -> images [shards] -> training_set -> ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dcgan_assets.assets.groups import image_group, networks, samples
from dcgan_assets.assets.internals.steps import figure_steps
from dcgan_assets.assets.pictures import (
    cover_images,
    face_boxes,
    face_manifest,
    image_urls,
    people,
    photos,
)
from dcgan_assets.assets.pictures import (
    images as group_images,
)
from dcgan_assets.assets.training import training_set
from dcgan_assets.engine.step import WEB, Step, StepMaker, step_maker
from dcgan_assets.params.groups import AlbumsGroup, FacesGroup
from dcgan_assets.params.search import Search


def faces_group(section: FacesGroup) -> tuple[Step, ...]:
    """Section 4.2 and Figure 10; `section` says how many shards there are, and what is read."""
    about = "faces cut out of photographs of people"
    step = step_maker("faces", "faces", pictures="face_boxes")
    return (
        *search_steps(step, section, "people", "of people (section 4.2)"),
        _face_boxes(step, section),
        _manifest(step),
        *networks(
            step,
            about,
            pictures="face_boxes",
            manifest=True,
            early=bool(section.samples.epochs),
            checks=training_set.PEOPLE_CHECKS,
        ),
        samples(step, "Figure 10: samples of faces, of as many fixed z."),
        *figure_steps(step, "faces", section.figures()),
    )


def search_steps(step: StepMaker, search: Search, names: str, whose: str) -> tuple[Step, ...]:
    """From names to photographs.

    Args:
        search: The part of params.yaml that all three read.
        names: The asset with the names.
        whose: For the descriptions: 'of people (section 4.2)'.
    """
    folder = search.image_urls.folder
    pictures = folder.path if folder is not None else None
    # Packaged photographs lie with the names; those of the web are fetched from addresses.
    local = ("image_urls", names) if search.people.packaged is not None else ("image_urls",)
    return (
        step(
            names,
            section="people",
            kind="data",
            compute=people.make_people,
            source_version=partial(people.people_version, search),
            checks=people.PEOPLE_CHECKS,
            pool=WEB,
            files=_always(search.removals, search.people.path),
            kinds=frozenset({"parquet", "table"}),
            description=(
                f"Names {whose}, ranked by how many wikis write about them; who asked not to be "
                "there is left out."
            ),
        ),
        step(
            "image_urls",
            inputs=(names,),
            kind="data",
            compute=image_urls.make_image_urls,
            source_version=partial(image_urls.addresses_version, search),
            checks=image_urls.ADDRESS_CHECKS,
            pool=WEB,
            files=_always(search.removals, pictures),
            kinds=frozenset({"parquet", "table"}),
            description=(
                f"Where pictures {whose} lie, under what licence, and who made them: a row for "
                "each one found, kept or rejected."
            ),
        ),
        step(
            "photos",
            inputs=local,
            kind="data",
            compute=photos.make_photos,
            shards=lambda _: photos.shard_names(search),
            source_version=partial(photos.photos_version, search),
            checks=photos.PHOTO_CHECKS,
            pool=WEB,
            files=_always(search.removals, pictures),
            kinds=frozenset({"parquet"}),
            description=(
                f"The pictures {whose}, each fetched once and as politely as its server asks, or "
                "rejected with a reason."
            ),
        ),
    )


def _always(*paths: str | None) -> Callable[[Any, Path], tuple[str, ...]]:
    """`Step.files` of a step that reads these paths, of those that are named."""
    return lambda _section, _root: tuple(path for path in paths if path is not None)


def _face_boxes(step: StepMaker, search: Search) -> Step:
    return step(
        "face_boxes",
        inputs=("photos",),
        kind="data",
        compute=face_boxes.make_face_boxes,
        shards=lambda _: photos.shard_names(search),
        source_version=partial(face_boxes.boxes_version, search),
        checks=face_boxes.BOX_CHECKS,
        files=_always(search.removals),
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=(
            "The faces that OpenCV's detector finds (section 4.2), every box with its score, kept "
            "or rejected; crops of 128 pixels, of which the central 64 are trained on."
        ),
    )


def _manifest(step: StepMaker) -> Step:
    return step(
        "manifest",
        inputs=("face_boxes",),
        section="face_boxes",
        kind="data",
        compute=face_manifest.make_manifest,
        checks=face_manifest.MANIFEST_CHECKS,
        kinds=frozenset({"parquet", "table"}),
        shows=("result.json",),
        description=(
            "Every photograph and every box (section 4.2): kept, a copy of a kept one, or "
            "rejected with a reason; how many faces came of how many photographs."
        ),
    )


def albums_group(section: AlbumsGroup) -> tuple[Step, ...]:
    """The README's album covers; where they are searched for, the road of faces leads to them."""
    about = "album covers, 128 pixels wide (the README of the authors' code; networks: section 3)"
    step, early = step_maker("albums", "albums"), bool(section.samples.epochs)
    if section.search is None:
        return image_group("albums", "albums", about, walk=False, early=early)
    search = step_maker("albums", "albums.search")
    images = step(
        "images",
        inputs=("photos",),
        kind="data",
        compute=cover_images.make_cover_images,
        shards=group_images.shard_names,
        checks=group_images.IMAGE_CHECKS,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=f"{about}: short side scaled and centre cropped, as section 4 does.",
    )
    return (
        *search_steps(search, section.search, "titles", "of albums (section 4.2's road)"),
        *image_group("albums", "albums", about, images=images, walk=False, early=early),
    )
