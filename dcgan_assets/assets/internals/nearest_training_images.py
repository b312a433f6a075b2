"""Generated pictures beside the training pictures that are most like them.

The authors' README gave a generated bedroom to a web search and got real interiors back. Here the
search goes over the training set, in two feature spaces at once: the deduplication's real-valued
code, and what D's last convolution sees. Held-out real pictures are looked up likewise: a G that
memorises lies nearer to its training pictures than they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.dedup.deduplication import AUTOENCODER_FILE
from dcgan_assets.assets.pictures.shards import open_pixels, stand_in
from dcgan_assets.assets.training.training_set import TRAIN, open_training_set, pictures_of
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.params.internals import NearestTrainingImages
from dcgan_assets.params.pictures import HASH_SIDE
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.data import DATASET_FILE
from dcgan_models.files import read_json
from dcgan_models.grids import neighbour_sheet, write_png
from dcgan_models.pixels import Pixels

WARNING = (
    "Section 6 of the paper warns that nearest neighbours in pixel or feature space are "
    '"trivially fooled" by small transformations of the picture: a far neighbour does not prove '
    "that nothing was memorised."
)
_SEED = 5
_BLOCK = 2048


def find_nearest(work: Work) -> Outcome:
    """Look up generated and held-out pictures among the training pictures."""
    from dcgan_models import load_generator

    section: NearestTrainingImages = work.section
    features = _Features(work)
    # Where nothing is held out, training pictures give the scale, and stand for nothing else.
    dataset = read_json(work.input(work.sibling("training_set")) / DATASET_FILE)
    held_out = dataset["splits"][HELD_OUT] > 1
    split = HELD_OUT if held_out else TRAIN
    store = open_training_set(work, split)
    some = np.linspace(0, len(store) - 1, min(len(store), section.pictures)).astype(int)
    real, real_small = store.gather(some), features.small(split, some)
    generator = load_generator(
        work.input(work.sibling("generator")), device=work.params.machine.device
    )
    generated = generator.sample(section.pictures, _SEED)
    scales = features.scales(real, real_small)
    queries = {"generated": (generated, shrink(generated))}
    if held_out:
        queries["held out"] = (real, real_small)
    found = {
        name: features.search(*pictures, section.neighbours, scales)
        for name, pictures in queries.items()
    }
    distances = _rows(
        {name: nearest.distances.cpu().numpy()[:, 0] for name, nearest in found.items()}
    )
    work.result(
        paper_ref="section 6 and the authors' README",
        stand_in=stand_in(work),
        rows=distances,
        notes=f"Distance 1 is that of two {split} pictures, the median. {WARNING}",
    ).write(work.out())
    rows = found["generated"].rows.cpu().numpy()[: section.shown]
    sheet = neighbour_sheet(generated[: section.shown], features.store, rows)
    write_png(work.out() / "figure.png", sheet)
    return Outcome(
        metadata={
            "note": WARNING,
            **{row.name: row.value for row in distances},
        },
        figures={"figure.png": "generated, then the nearest training pictures"},
    )


def nearest_training_images_step(step: StepMaker) -> Step:
    """A group's `nearest_training_images`."""
    return step(
        "nearest_training_images",
        inputs=("images", "dedup_autoencoder", "training_set", "generator", "discriminator"),
        kind="results",
        compute=find_nearest,
        kinds=frozenset({"pytorch", "table"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Generated pictures beside the training pictures most like them, and how far held-out "
            "real ones are. " + WARNING
        ),
    )


class _Features:
    """The training pictures in both feature spaces."""

    def __init__(self, work: Work) -> None:
        from dcgan_models import load_discriminator
        from dcgan_models.dedup.autoencoder import load_autoencoder
        from dcgan_models.networks import fix_statistics, on_device

        self.work = work
        self.store = open_training_set(work)
        self.small_pictures = open_pixels(work, HASH_SIDE)
        self.numbers = pictures_of(work, TRAIN)
        path = work.input(work.sibling("dedup_autoencoder")) / AUTOENCODER_FILE
        self.autoencoder = on_device(load_autoencoder(path), work.params.machine.device)
        self.discriminator = load_discriminator(
            work.input(work.sibling("discriminator")), device=work.params.machine.device
        )
        some = np.linspace(0, len(self.store) - 1, min(len(self.store), 4096)).astype(int)
        fix_statistics(self.discriminator, self.store.gather(some))

    def small(self, split: str, rows: npt.NDArray[np.int64]) -> Pixels:
        """The 32-pixel pictures of some of a split's rows."""
        return self.small_pictures.gather(pictures_of(self.work, split)[rows])

    def of(self, pictures: Pixels, small: Pixels) -> tuple[Any, Any]:
        """The autoencoder's code and D's features, float32 (n, d) each."""
        import torch

        from dcgan_models.neighbours.retrieval import last_features

        seen = last_features(self.discriminator, pictures)
        return torch.from_numpy(self.autoencoder.encode(small)).to(seen.device), seen

    def scales(self, pictures: Pixels, small: Pixels) -> list[float]:
        """What counts as 1 in each space."""
        from dcgan_models.neighbours.retrieval import median_distance

        return [median_distance(found) for found in self.of(pictures, small)]

    def search(self, pictures: Pixels, small: Pixels, k: int, scales: list[float]) -> Any:
        """The k nearest training pictures of each."""
        from dcgan_models.neighbours.retrieval import nearest_by

        return nearest_by(self.of(pictures, small), self._blocks(), k, scales=scales)

    def _blocks(self) -> Iterator[tuple[tuple[Any, Any], Any]]:
        import torch

        with self.work.progress(len(self.store), "pictures") as bar:
            for first in range(0, len(self.store), _BLOCK):
                rows = np.arange(first, min(first + _BLOCK, len(self.store)))
                small = self.small_pictures.gather(self.numbers[rows])
                yield self.of(self.store.gather(rows), small), torch.from_numpy(rows)
                bar.update(len(rows))


def shrink(pictures: Pixels) -> Pixels:
    """Generated pictures at the size that is hashed, as `images` makes them small."""
    from dcgan_assets.sources.reading.decode import thumbnails

    return np.stack([thumbnails(picture, (HASH_SIDE,))[0] for picture in pictures])


def _rows(distances: dict[str, npt.NDArray[np.float32]]) -> list[Row]:
    return [
        Row(
            name=f"{name}: distance to the nearest training picture",
            measure="distance",
            value=round(float(np.median(found)), 4),
            unit="of two real pictures'",
            n=len(found),
            low=round(float(np.quantile(found, 0.05)), 4),
            high=round(float(np.quantile(found, 0.95)), 4),
            interval="median, 5% to 95% of the pictures",
        )
        for name, found in distances.items()
    ]
