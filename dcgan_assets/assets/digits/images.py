"""`mnist/images`: the digits as every labelled picture lies on disk, and how they are dealt.

Beside the pictures lies what a group's `training_set` is, `index.parquet` and `dataset.json`:
which digits are trained on, which a candidate is validated by, which are tested on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_assets.assets.pictures.labelled_images import (
    LABELLED_CHECKS,
    labelled_images_step,
    write_labelled,
)
from dcgan_assets.assets.pictures.shards import open_files
from dcgan_assets.assets.training.training_set import INDEX_FILE
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.digits import MnistImages
from dcgan_assets.sources.reading.manifest import Pictures
from dcgan_models.data import write_dataset
from dcgan_models.errors import UserError

UNUSED = "unused"
DIGIT_IMAGE_CHECKS = (
    *LABELLED_CHECKS,
    Check("pixel_range", "Pixels use their range, and no picture is blank.", required=True),
)


def make_images(work: Work) -> Outcome:
    """MNIST from its IDX files, or the digits of a package or of the user in its place."""
    from dcgan_assets.sources import mnist

    section: MnistImages = work.section
    if section.source == "packaged":
        pictures = mnist.packaged()
    elif section.source == "folder":
        pictures = mnist.from_folder(work.root / str(section.path), workspace=work.root)
    else:
        with work.downloading() as report:
            pictures = mnist.from_download(work.root / "data" / "downloads" / "mnist", report)
    sizes = {name: getattr(section, name) for name in ("train", "validation", "test")}
    splits = deal_splits(pictures, sizes, section.split_seed, work.step.section)
    classes = tuple(map(str, range(mnist.CLASSES)))
    outcome = write_labelled(work, pictures, classes, splits, stand_in=_is_stand_in(work))
    write_index(work.out(), pictures, splits)
    return replace(
        outcome,
        metadata={**outcome.metadata, **{f"{name}_pictures": n for name, n in sizes.items()}},
        verdicts=(*outcome.verdicts, _judge_range(pictures.pixels)),
    )


def mnist_images_step(step: StepMaker) -> Step:
    """`mnist/images`."""
    return labelled_images_step(
        step,
        make_images,
        "Handwritten digits, 28x28 grey, with a manifest row for every input (section 8.1). In "
        "full: 50,000 for training, 10,000 for validation, 10,000 for test.",
        DIGIT_IMAGE_CHECKS,
    )


def _is_stand_in(work: Work) -> bool:
    """Whether the digits are anything but the whole of MNIST, file by file."""
    from dcgan_assets.sources.mnist import holds_mnist

    section: MnistImages = work.section
    if section.source == "folder":
        return not holds_mnist(work.root / str(section.path))
    return section.source == "packaged"


def deal_splits(
    pictures: Pictures, sizes: Mapping[str, int], seed: int, where: str
) -> npt.NDArray[np.object_]:
    """Shuffle the pictures and deal them into splits of exact sizes.

    Pictures that the source calls test are dealt into `test` and no others, where it does.

    Args:
        pictures: From a source.
        sizes: Pictures in each split.
        seed: Of the shuffle.
        where: The section of params.yaml, for the message.

    Returns:
        (n_kept,) names of splits; `unused` for what is left over.

    Raises:
        UserError: There are too few pictures.
    """
    test = np.array([split == "test" for split in pictures.kept["split"].to_pylist()], bool)
    order = np.random.default_rng(seed).permutation(len(test))
    own_test = bool(test.any())
    pools = {True: order[test[order]], False: order[~test[order]]}
    dealt = np.full(len(test), UNUSED, object)
    for split, size in sizes.items():
        pool = own_test and split == "test"
        if len(pools[pool]) < size:
            raise UserError(
                f"params.yaml: {where}.{split}: {size} pictures asked for, "
                f"{len(pools[pool])} left of {len(test)}"
            )
        dealt[pools[pool][:size]] = split
        pools[pool] = pools[pool][size:]
    return dealt


def write_index(folder: Path, pictures: Pictures, splits: npt.NDArray[np.object_]) -> None:
    """Write where each kept digit lies, and in which split it is."""
    files = sorted(folder.glob("pixels_*.npy"))
    store = open_files(files)
    index = {
        "key": pictures.kept["key"],
        "shard": store.shard,
        "row": store.row,
        "label": pictures.kept["label"],
        "split": splits,
    }
    pq.write_table(pa.table(index), folder / INDEX_FILE)
    write_dataset(
        folder,
        index=INDEX_FILE,
        shards=[path.name for path in files],
        n=len(store),
        shape=list(store.shape),
        dtype="uint8",
        splits={name: int((splits == name).sum()) for name in sorted(set(splits))},
    )


def _judge_range(pixels: npt.NDArray[np.uint8]) -> Verdict:
    flat = pixels.reshape(len(pixels), -1)
    low, high = int(flat.min()), int(flat.max())
    blank = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    return Verdict(
        "pixel_range",
        low < 64 and high > 191 and not blank,
        {"lowest": low, "highest": high, "blank": blank},
    )
