"""The groups of pictures, composed of steps; each step stands below its function, in its topic.

A group of pictures (LSUN, ImageNet, albums, a user's own):

images [shards] -> training_set -> candidate -> quality -> generator + discriminator -> samples,
                                -> extractor ->                                         latent_walk
with deduplication:
images [shards] -> dedup_autoencoder -> hashes -> manifest, dedup_report
                                                  manifest -> training_set -> ...
                                        ... generator -> nearest_training_images
and Figures 5 to 8. Where pictures are looked for by name:
people -> image_urls -> photos [shards] -> face_boxes [shards] -> manifest -> training_set -> ...
titles -> image_urls -> photos [shards] -> images [shards] -> training_set -> ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dcgan_assets.assets.classification.features import features_step
from dcgan_assets.assets.classification.supervised_cnn import cifar10_cnn_step, svhn_cnn_step
from dcgan_assets.assets.classification.svm_scores import svhn_table_step, table_1_step
from dcgan_assets.assets.dedup.deduplication import autoencoder_step, hashes_step, manifest_step
from dcgan_assets.assets.dedup.report import report_step
from dcgan_assets.assets.internals.claims import claims_step
from dcgan_assets.assets.internals.concept_figures import turn_vector_step, vector_arithmetic_step
from dcgan_assets.assets.internals.explorer.making import explorer_step
from dcgan_assets.assets.internals.guided_backprop import guided_backprop_step
from dcgan_assets.assets.internals.nearest_training_images import nearest_training_images_step
from dcgan_assets.assets.internals.samples import latent_walk_step, samples_step
from dcgan_assets.assets.internals.window_dropout import window_dropout_step
from dcgan_assets.assets.pictures.cover_images import cover_images_step
from dcgan_assets.assets.pictures.face_boxes import face_boxes_step
from dcgan_assets.assets.pictures.face_manifest import face_manifest_step
from dcgan_assets.assets.pictures.image_urls import image_urls_step
from dcgan_assets.assets.pictures.images import images_step
from dcgan_assets.assets.pictures.labelled_images import cifar10_images_step, svhn_images_step
from dcgan_assets.assets.pictures.people import people_step
from dcgan_assets.assets.pictures.photos import photos_step
from dcgan_assets.assets.publishing.networks import networks_step
from dcgan_assets.assets.publishing.quality import quality_step
from dcgan_assets.assets.training.candidate import candidate_step
from dcgan_assets.assets.training.extractor import extractor_step
from dcgan_assets.assets.training.guidelines import ablations_step
from dcgan_assets.assets.training.judge import judge_step
from dcgan_assets.assets.training.training_set import (
    PEOPLE_CHECKS,
    TRAINING_SET_CHECKS,
    training_set_step,
)
from dcgan_assets.engine.step import Check, Step, StepMaker
from dcgan_assets.params.groups import AlbumsGroup, FacesGroup, SvhnGroup
from dcgan_assets.params.internals import LookingInside
from dcgan_assets.params.search import Search

_AFTER_EPOCHS = "samples of the same z after early epochs and the last."
FIGURES_2_AND_3 = f"Figures 2 and 3: {_AFTER_EPOCHS}"
FIGURE_11 = f"Figure 11: {_AFTER_EPOCHS}"


def image_group(
    group: str,
    section: str,
    about: str,
    *,
    images: Step | None = None,
    dedup: bool = False,
    ordered: bool = False,
    walk: bool = True,
    early: bool = True,
    inside: LookingInside | None = None,
) -> tuple[Step, ...]:
    """The steps of a picture group.

    Args:
        group: Name of the group, the first half of every key.
        section: Where it stands in params.yaml, such as `lsun` or `groups.cats`.
        about: What the pictures are, for the descriptions.
        images: Makes the group's `images` where `GroupImages` does not describe them.
        dedup: Whether near-duplicates are removed by semantic hashes (section 3.1).
        ordered: Whether D may choose the order of the samples (Figure 11).
        walk: Whether there is a latent walk (Figure 4).
        early: Whether samples are shown early in training, too (Figures 2 and 3).
        inside: Says which of Figures 5 to 8 there are.
    """
    step = StepMaker(group, section)
    return (
        images or images_step(step, about),
        *(_deduplication(step) if dedup else ()),
        *_networks(step, about, manifest=dedup, early=early),
        samples_step(step, FIGURE_11 if ordered else FIGURES_2_AND_3, ordered=ordered),
        *((latent_walk_step(step),) if walk else ()),
        *((nearest_training_images_step(step),) if dedup else ()),
        *(_figures(step, inside, manifest=dedup) if inside is not None else ()),
    )


def _deduplication(step: StepMaker) -> tuple[Step, ...]:
    return autoencoder_step(step), hashes_step(step), manifest_step(step), report_step(step)


def _networks(
    step: StepMaker,
    about: str,
    *,
    manifest: bool = False,
    early: bool = True,
    checks: tuple[Check, ...] = TRAINING_SET_CHECKS,
) -> tuple[Step, ...]:
    """From pictures to published networks.

    Args:
        manifest: Whether an asset `manifest` says which of them are duplicates.
        early: Whether a figure needs the generator's snapshots.
        checks: Of the training set.
    """
    return (
        training_set_step(step, manifest=manifest, checks=checks),
        extractor_step(step),
        candidate_step(step, about),
        quality_step(step),
        networks_step(step, early=early),
    )


def _figures(step: StepMaker, inside: LookingInside, *, manifest: bool) -> tuple[Step, ...]:
    """Those of Figures 5 to 8, of judges and ablations that are named; `manifest` as before."""
    judge = inside.judge is not None
    makers: dict[str, Callable[[StepMaker], Step]] = {
        "judge": partial(judge_step, manifest=manifest),
        "claims": partial(claims_step, claims=inside.claims, manifest=manifest),
        "guided_backprop": guided_backprop_step,
        "window_dropout": partial(window_dropout_step, judge=judge),
        "vector_arithmetic": partial(vector_arithmetic_step, judge=judge),
        "turn_vector": partial(turn_vector_step, judge=judge),
        "ablations": ablations_step,
        "explorer": partial(explorer_step, inside=inside),
    }
    return tuple(makers[name](step) for name in inside.figures())


# --- Where pictures are looked for by name --------------------------------------------------


def faces_group(section: FacesGroup) -> tuple[Step, ...]:
    """Section 4.2 and Figure 10; `section` says how many shards there are, and what is read."""
    about = "faces cut out of photographs of people"
    step, early = StepMaker("faces", "faces", "face_boxes"), bool(section.samples.epochs)
    return (
        *_search(step, section, "people", "of people (section 4.2)"),
        face_boxes_step(step),
        face_manifest_step(step, drawn=section.people.packaged is not None),
        *_networks(step, about, manifest=True, early=early, checks=PEOPLE_CHECKS),
        samples_step(step, "Figure 10: samples of faces, of as many fixed z."),
        *_figures(step, section, manifest=True),
    )


def albums_group(section: AlbumsGroup) -> tuple[Step, ...]:
    """The README's album covers; where they are searched for, the road of faces leads to them."""
    about = "album covers, 128 pixels wide (the README of the authors' code; networks: section 3)"
    step, early = StepMaker("albums", "albums"), bool(section.samples.epochs)
    if section.search is None:
        return image_group("albums", "albums", about, walk=False, early=early)
    search = StepMaker("albums", "albums.search")
    images = cover_images_step(step, about)
    return (
        *_search(search, section.search, "titles", "of albums (section 4.2's road)"),
        *image_group("albums", "albums", about, images=images, walk=False, early=early),
    )


def _search(step: StepMaker, search: Search, names: str, whose: str) -> tuple[Step, ...]:
    """From names to photographs.

    Args:
        search: The part of params.yaml that all three read; it decides what is an input.
        names: The asset with the names.
        whose: For the descriptions: 'of people (section 4.2)'.
    """
    return (
        people_step(step, names, whose),
        image_urls_step(step, names, whose),
        photos_step(step, names, whose, packaged=search.people.packaged is not None),
    )


# --- Where D is evaluated -------------------------------------------------------------------


def cifar10_group() -> tuple[Step, ...]:
    """Section 5.1: pictures that D never saw, classified by its features."""
    step = StepMaker("cifar10", "cifar10")
    return (
        cifar10_images_step(step),
        features_step(step, "imagenet/discriminator"),
        table_1_step(step),
        cifar10_cnn_step(step),
    )


def svhn_group(section: SvhnGroup) -> tuple[Step, ...]:
    """Section 5.2 of the paper's second version.

    Args:
        section: Says whose features are used, which decides what is an input of them.
    """
    step, early = StepMaker("svhn", "svhn"), bool(section.samples.epochs)
    whose, released = section.features.networks
    about, images = "SVHN's house numbers", svhn_images_step(step)
    return (
        *image_group("svhn", "svhn", about, images=images, walk=False, early=early),
        features_step(step, None if released else f"{whose}/discriminator"),
        svhn_table_step(step),
        svhn_cnn_step(step),
    )
