"""The factory of picture groups: the same assets for LSUN, faces, ImageNet and a user's pictures.

images [shards] -> training_set -> candidate -> quality -> generator + discriminator -> samples,
                                -> extractor ->                                         latent_walk
with deduplication:
images [shards] -> dedup_autoencoder -> hashes -> manifest, dedup_report
                                                  manifest -> training_set -> ...
                                        ... generator -> nearest_training_images
and Figures 5 to 8, by figure_steps.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dcgan_assets.assets.classification import features, supervised_cnn, svm_scores
from dcgan_assets.assets.dedup import deduplication, report
from dcgan_assets.assets.internals import nearest_training_images
from dcgan_assets.assets.internals import samples as group_figures
from dcgan_assets.assets.internals.steps import figure_steps
from dcgan_assets.assets.pictures import images as group_images
from dcgan_assets.assets.pictures import labelled_images
from dcgan_assets.assets.training import (
    extractor,
    quality,
    training_set,
)
from dcgan_assets.assets.training import (
    networks as group_networks,
)
from dcgan_assets.assets.training.candidate import TRAINING_CHECKS
from dcgan_assets.engine.results import LOSSES_FILE
from dcgan_assets.engine.step import Check, Step, StepMaker, named_source, step_maker, where_there
from dcgan_assets.params.classification import SvhnFeatures
from dcgan_assets.params.groups import SvhnGroup

_TORCH = frozenset({"pytorch"})
_TABLE = frozenset({"parquet", "table"})
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
    figures: Sequence[str] = (),
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
        figures: Which of Figures 5 to 8 there are, by the names of their assets; of `figure_steps`.
    """
    step = step_maker(group, section)
    return (
        images or _images(step, about),
        *(_deduplication(step) if dedup else ()),
        *networks(step, about, manifest=dedup, early=early),
        samples(step, FIGURE_11 if ordered else FIGURES_2_AND_3, ordered=ordered),
        *((_latent_walk(step),) if walk else ()),
        *((_nearest(step),) if dedup else ()),
        *figure_steps(step, group, figures),
    )


def _images(step: StepMaker, about: str) -> Step:
    return step(
        "images",
        kind="data",
        compute=group_images.make_images,
        shards=group_images.shard_names,
        source_version=group_images.source_version,
        files=named_source,
        checks=group_images.IMAGE_CHECKS,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=(
            f"{about} (section 4): each input decoded once, short side scaled and centre cropped, "
            "small for training and 32 pixels for hashing; a manifest row for every input, kept or "
            "rejected."
        ),
    )


def _deduplication(step: StepMaker) -> tuple[Step, ...]:
    return (
        step(
            "dedup_autoencoder",
            inputs=("images",),
            kind="models",
            compute=deduplication.make_autoencoder,
            checks=deduplication.AUTOENCODER_CHECKS,
            pool="gpu",
            seeded=True,
            kinds=_TORCH,
            description=(
                "The 3072-128-3072 denoising autoencoder of section 3.1, dropout-regularised, with "
                "a ReLU code: which units are active is a picture's semantic hash."
            ),
        ),
        step(
            "hashes",
            inputs=("images", "dedup_autoencoder"),
            section="dedup_autoencoder",
            kind="data",
            compute=deduplication.make_hashes,
            kinds=frozenset({"numpy"}),
            passes_on=True,
            description="The 128-bit code of every kept picture (section 3.1), a file a shard.",
        ),
        step(
            "manifest",
            inputs=("images", "hashes"),
            kind="data",
            compute=deduplication.make_manifest,
            checks=deduplication.MANIFEST_CHECKS,
            kinds=_TABLE,
            passes_on=True,
            description=(
                "Every input: kept, a duplicate of a kept one by its code, or rejected with a "
                "reason (section 3.1)."
            ),
        ),
        step(
            "dedup_report",
            inputs=("images", "dedup_autoencoder", "hashes", "manifest"),
            kind="results",
            compute=report.make_report,
            source_version=report.verdicts_version,
            files=lambda section, root: where_there(root, section.verdicts),
            kinds=frozenset({"table", "matplotlib"}),
            shows=("result.json", "figure.png"),
            shows_pictures=True,
            description=(
                "What was removed, and how good the removal is: recall of planted copies, false "
                "pairs, contact sheets, the usual perceptual hashes beside ours (section 3.1)."
            ),
        ),
    )


def networks(
    step: StepMaker,
    about: str,
    *,
    pictures: str = "images",
    manifest: bool = False,
    early: bool = True,
    checks: tuple[Check, ...] = training_set.TRAINING_SET_CHECKS,
) -> tuple[Step, ...]:
    """From pictures to published networks.

    Args:
        pictures: The asset that holds the pixels.
        manifest: Whether an asset `manifest` says which of them are duplicates.
        early: Whether a figure needs the generator's snapshots.
        checks: Of the training set.
    """
    publish = group_networks.publish if early else group_networks.publish_without_snapshots
    return (
        step(
            "training_set",
            inputs=(pictures, "manifest") if manifest else (pictures,),
            kind="data",
            compute=training_set.make_training_set,
            checks=checks,
            kinds=_TABLE,
            passes_on=True,
            description=(
                "Which pictures are trained on (section 4) and which held out; it copies no pixels."
            ),
        ),
        step(
            "extractor",
            inputs=(pictures, "training_set"),
            kind="models",
            compute=extractor.make_extractor,
            checks=extractor.EXTRACTOR_CHECKS,
            pool="gpu",
            kept=True,
            kinds=_TORCH,
            description=(
                "The feature space in which generators of the group are compared, for want of "
                "labels the autoencoder of section 3.1. Trained once and kept: new pictures leave "
                "it as it is, another section of params.yaml or other code does not."
            ),
        ),
        step(
            "candidate",
            inputs=(pictures, "training_set"),
            kind="models",
            compute=group_networks.make_candidate,
            checks=TRAINING_CHECKS + group_networks.GROUP_CHECKS,
            pool="gpu",
            seeded=True,
            transient=True,
            kinds=_TORCH,
            description=f"A DCGAN trained on {about} (sections 3 and 4). Not yet published.",
        ),
        step(
            "quality",
            inputs=(pictures, "training_set", "extractor", "candidate"),
            kind="results",
            compute=quality.measure_quality,
            checks=quality.QUALITY_CHECKS,
            pool="gpu",
            transient=True,
            shows_pictures=True,
            kinds=_TORCH | {"table", "matplotlib"},
            description=(
                "What section 4 judges by eye: candidate, champion and real pictures, measured on "
                "the same held-out pictures and seeds. Sliced Wasserstein distance, MS-SSIM; in "
                "the group's own feature space Fréchet and kernel distance, precision, recall, "
                "density, coverage, and copies of training pictures."
            ),
        ),
        step(
            ("generator", "discriminator"),
            inputs=("candidate", "quality"),
            section="candidate",
            kind="models",
            compute=publish,
            kinds=_TORCH,
            shows=(LOSSES_FILE,),
            description=(
                "The published networks (sections 3 and 4): the candidate if it is healthy, has "
                "not memorised its training set and is not worse than the best on record by more "
                "than the margin; else those that were published before."
            ),
        ),
    )


def samples(step: StepMaker, about: str, *, ordered: bool = False) -> Step:
    """A grid of fixed latents; `ordered` where D may choose their order."""
    return step(
        "samples",
        inputs=("generator", "discriminator") if ordered else ("generator",),
        kind="results",
        compute=group_figures.draw_ordered_samples if ordered else group_figures.draw_samples,
        kinds=frozenset({"matplotlib"}),
        shows=("figure.png",),
        description=about,
    )


def _latent_walk(step: StepMaker) -> Step:
    return step(
        "latent_walk",
        inputs=("images", "training_set", "generator"),
        kind="results",
        compute=group_figures.draw_walk,
        checks=group_figures.WALK_CHECKS,
        kinds=frozenset({"matplotlib"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Figure 4: a walk through the latent space, with photographs faded into one "
            "another as the baseline, and how evenly both change (section 6.1)."
        ),
    )


def _nearest(step: StepMaker) -> Step:
    return step(
        "nearest_training_images",
        inputs=("images", "dedup_autoencoder", "training_set", "generator", "discriminator"),
        kind="results",
        compute=nearest_training_images.find_nearest,
        kinds=frozenset({"pytorch", "table"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Generated pictures beside the training pictures most like them, and how far held-out "
            "real ones are. " + nearest_training_images.WARNING
        ),
    )


# --- Where D is evaluated ---------------------------------------------------------------------


def cifar10_group() -> tuple[Step, ...]:
    """Section 5.1: pictures that D never saw, classified by its features."""
    return (
        _labelled("cifar10", labelled_images.make_cifar10, "CIFAR-10 (section 5.1)"),
        _features("cifar10", "imagenet/discriminator"),
        _svm_scores("cifar10", svm_scores.make_table_1, "Table 1"),
    )


def svhn_group(section: SvhnGroup) -> tuple[Step, ...]:
    """Section 5.2 of the paper's second version.

    Args:
        section: Says whose features are used, which decides what is an input of them.
    """
    about, early = "SVHN's house numbers", bool(section.samples.epochs)
    whose = {"trained": "svhn/discriminator", "imagenet": "imagenet/discriminator"}
    images = _labelled("svhn", labelled_images.make_svhn, "SVHN (section 5.2 of v2)")
    return (
        *image_group("svhn", "svhn", about, images=images, walk=False, early=early),
        _features("svhn", whose.get(section.features.discriminator)),
        _svm_scores("svhn", svm_scores.make_svhn_table, "Table 2 of the second version"),
        _supervised_cnn(),
    )


def _labelled(group: str, compute: Any, about: str) -> Step:
    return Step(
        outputs=(f"{group}/images",),
        section=f"{group}.images",
        kind="data",
        compute=compute,
        source_version=labelled_images.listed_version,
        files=named_source,
        checks=labelled_images.LABELLED_CHECKS,
        kinds=frozenset({"numpy", "parquet"}),
        description=f"{about}: pictures of 32 pixels with labels, a manifest row for every input.",
    )


def _features(group: str, discriminator: str | None) -> Step:
    inputs = (f"{group}/images", *((discriminator,) if discriminator else ()))
    return Step(
        outputs=(f"{group}/features",),
        inputs=inputs,
        section=f"{group}.features",
        kind="data",
        compute=features.make_features,
        source_version=None if discriminator else features.released_version,
        files=None if discriminator else _released,
        checks=features.FEATURE_CHECKS,
        pool="gpu",
        kinds=_TORCH | {"arrow"},
        description=(
            "What a discriminator's convolutions see in every picture, max-pooled to 4x4 places "
            "(sections 5.1 and 5.2): 28,672 columns for `imagenet32`, 7,168 for `svhn32`, at full "
            "width."
        ),
    )


def _released(section: SvhnFeatures, root: Path) -> tuple[str, ...]:
    return (section.released,) if section.released else ()


def _svm_scores(group: str, compute: Any, table: str) -> Step:
    return Step(
        outputs=(f"{group}/svm_scores",),
        inputs=(f"{group}/images", f"{group}/features"),
        section=f"{group}.svm_scores",
        kind="results",
        compute=compute,
        checks=svm_scores.SVM_CHECKS,
        pool="gpu",
        kinds=_TORCH | {"table", "matplotlib"},
        shows=("result.json", "figure.png"),
        description=(
            f"{table} (section 5): a linear L2-SVM on D's features, with a D of random weights "
            "and the pixels as controls; by class, by number of labels, by layer."
        ),
    )


def _supervised_cnn() -> Step:
    return Step(
        outputs=("svhn/supervised_cnn",),
        inputs=("svhn/images",),
        section="svhn.supervised_cnn",
        kind="results",
        compute=supervised_cnn.search_cnn,
        pool="gpu",
        seeded=True,
        kinds=_TORCH | {"optuna", "table"},
        shows=("result.json", "figure.png"),
        description=(
            "The control of section 5.2 (v2): D's architecture trained on the same few labels "
            "alone, the best of a random search."
        ),
    )
