"""The factory of picture groups: the same assets for LSUN, faces, ImageNet and a user's pictures.

images [shards] -> training_set -> candidate -> generator + discriminator -> samples,
                                                                             latent_walk
with deduplication:
images [shards] -> dedup_autoencoder -> hashes -> manifest, dedup_report
                                                  manifest -> training_set -> ...
                                        ... generator -> nearest_training_images
"""

from __future__ import annotations

from typing import Any

from dcgan_assets.assets import (
    dedup_report,
    deduplication,
    features,
    group_figures,
    group_images,
    group_networks,
    labelled_images,
    nearest_training_images,
    supervised_cnn,
    svm_scores,
    training_set,
)
from dcgan_assets.assets.candidate import TRAINING_CHECKS
from dcgan_assets.evaluation_params import SvhnFeatures
from dcgan_assets.steps import Step

_TORCH = frozenset({"pytorch"})
_TABLE = frozenset({"parquet", "table"})


def image_group(
    group: str,
    section: str,
    about: str,
    *,
    images: Step | None = None,
    dedup: bool = False,
    ordered: bool = False,
    walk: bool = True,
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
    """

    def step(name: str, **facts: Any) -> Step:
        names = (name,) if isinstance(name, str) else name
        outputs = tuple(f"{group}/{one}" for one in names)
        inputs = tuple(f"{group}/{one}" for one in facts.pop("inputs", ()))
        own = facts.pop("section", names[0])
        return Step(outputs=outputs, inputs=inputs, section=f"{section}.{own}", **facts)

    return (
        images or _images(step, about),
        *(_deduplication(step) if dedup else ()),
        *_networks(step, about, dedup=dedup),
        _samples(step, ordered=ordered),
        *((_latent_walk(step),) if walk else ()),
        *((_nearest(step),) if dedup else ()),
    )


def _images(step: Any, about: str) -> Step:
    made: Step = step(
        "images",
        kind="data",
        compute=group_images.make_images,
        shards=group_images.shard_names,
        source_version=group_images.source_version,
        checks=group_images.IMAGE_CHECKS,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=(
            f"{about} (section 4): each input decoded once, short side scaled and centre cropped, "
            "small for training and 32 pixels for hashing; a manifest row for every input, kept or "
            "rejected."
        ),
    )
    return made


def _deduplication(step: Any) -> tuple[Step, ...]:
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
            compute=dedup_report.make_report,
            source_version=dedup_report.verdicts_version,
            kinds=frozenset({"table", "matplotlib"}),
            shows=("result.json", "figure.png"),
            shows_pictures=True,
            description=(
                "What was removed, and how good the removal is: recall of planted copies, false "
                "pairs, contact sheets, the usual perceptual hashes beside ours (section 3.1)."
            ),
        ),
    )


def _networks(step: Any, about: str, *, dedup: bool) -> tuple[Step, ...]:
    return (
        step(
            "training_set",
            inputs=("images", "manifest") if dedup else ("images",),
            kind="data",
            compute=training_set.make_training_set,
            checks=training_set.TRAINING_SET_CHECKS,
            kinds=_TABLE,
            passes_on=True,
            description=(
                "Which pictures are trained on (section 4) and which held out; it copies no pixels."
            ),
        ),
        step(
            "candidate",
            inputs=("images", "training_set"),
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
            ("generator", "discriminator"),
            inputs=("candidate",),
            section="candidate",
            kind="models",
            compute=group_networks.publish,
            kinds=_TORCH,
            description=(
                "The published networks (sections 3 and 4): the candidate if it is healthy, else "
                "those that were published before."
            ),
        ),
    )


def _samples(step: Any, *, ordered: bool) -> Step:
    about = "samples of the same z after early epochs and the last."
    made: Step = step(
        "samples",
        inputs=("generator", "discriminator") if ordered else ("generator",),
        kind="results",
        compute=group_figures.draw_ordered_samples if ordered else group_figures.draw_samples,
        kinds=frozenset({"matplotlib"}),
        shows=("figure.png",),
        description=f"Figure 11: {about}" if ordered else f"Figures 2 and 3: {about}",
    )
    return made


def _latent_walk(step: Any) -> Step:
    made: Step = step(
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
    return made


def _nearest(step: Any) -> Step:
    made: Step = step(
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
    return made


# --- Where D is evaluated ---------------------------------------------------------------------


def cifar10_group() -> tuple[Step, ...]:
    """Section 5.1: pictures that D never saw, classified by its features."""
    return (
        _labelled("cifar10", labelled_images.make_cifar10, "CIFAR-10 (section 5.1)"),
        _features("cifar10", "imagenet/discriminator"),
        _svm_scores("cifar10", svm_scores.make_table_1, "Table 1"),
    )


def svhn_group(section: SvhnFeatures) -> tuple[Step, ...]:
    """Section 5.2 of the paper's second version.

    Args:
        section: Says whose features are used, which decides what is an input of them.
    """
    whose = {"trained": "svhn/discriminator", "imagenet": "imagenet/discriminator"}
    images = _labelled("svhn", labelled_images.make_svhn, "SVHN (section 5.2 of v2)")
    return (
        *image_group("svhn", "svhn", "SVHN's house numbers", images=images, walk=False),
        _features("svhn", whose.get(section.discriminator)),
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
        checks=features.FEATURE_CHECKS,
        pool="gpu",
        kinds=_TORCH | {"arrow"},
        description=(
            "What a discriminator's convolutions see in every picture, max-pooled to 4x4 places "
            "(sections 5.1 and 5.2): 28,672 columns for `imagenet32`, 7,168 for `svhn32`, at full "
            "width."
        ),
    )


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
