"""Quality and speed of deduplication by semantic hashes: `python -m benchmarks.dedup`.

Ten photographs that scikit-image and scikit-learn carry, in two folds of five. An autoencoder is
trained on crops of one fold, at random scales, turned, mirrored and with colour channels
exchanged; copies are planted among 256-pixel crops of the other, and the same is asked of the
usual hashes. Each fold with each seed is one value. Then the speed of coding, and of grouping
three million random codes of which a tenth are copies. Targets: JPEG 75 at least 80% equal and
99% within 7 bits; crops and shifts at least 80% within 7 bits and 90% within 10; no false pair in
a million within 7; 50,000 pictures/s coded on 2 cores; 3 million codes grouped in 1 s and 1 GiB.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import skimage.data
import sklearn.datasets
from PIL import Image

from benchmarks.harness import options, report
from dcgan_models.dedup.autoencoder import Autoencoder, AutoencoderConfig, train_autoencoder
from dcgan_models.dedup.baselines import PrincipalHash, dhash, phash
from dcgan_models.dedup.codes import Codes, hamming
from dcgan_models.dedup.grouping import exact_groups, near_groups
from dcgan_models.dedup.judging import judge_codes
from dcgan_models.dedup.planted import EDITS, false_pairs, recall, thumbnail
from dcgan_models.pixels import Pixels

FOLDS = (
    ("astronaut.png", "coffee.png", "ihc.png", "retina.jpg", "china.jpg"),
    ("chelsea.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg", "flower.jpg"),
)
TRAIN_CROPS = 2400  # of each photograph
TEST_CROPS = 300
SIDE = 256
RADII = (0, 7, 10)
MIN_ACTIVE_BITS = 8

Figures = dict[str, list[float]]


def photograph(name: str) -> Pixels:
    """A packaged photograph, uint8 (height, width, 3)."""
    folders = (
        Path(skimage.data.__file__).parent,
        Path(sklearn.datasets.__file__).parent / "images",
    )
    path = next(folder / name for folder in folders if (folder / name).exists())
    return np.asarray(Image.open(path).convert("RGB"))


def training_pictures(names: tuple[str, ...], random: np.random.Generator) -> Pixels:
    """Thumbnails of squares of 128 pixels or more, turned, mirrored, channels exchanged."""
    pictures = []
    for name in names:
        photo = photograph(name)
        for _ in range(TRAIN_CROPS):
            side = int(random.integers(128, min(photo.shape[:2]) + 1))
            small = thumbnail(window(photo, side, random)[0])[:, :: random.choice((-1, 1))]
            small = np.rot90(small, int(random.integers(4)))
            pictures.append(small[:, :, random.permutation(3)])
    return np.array(pictures)


def window(photo: Pixels, side: int, random: np.random.Generator) -> tuple[Pixels, tuple[int, int]]:
    """A random square of a photograph, and where its corner lies."""
    y, x = (int(random.integers(size - side + 1)) for size in photo.shape[:2])
    return photo[y : y + side, x : x + side], (y, x)


def test_pictures(
    names: tuple[str, ...], random: np.random.Generator
) -> tuple[list[Pixels], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Crops at source resolution, the photograph of each, and the place of each, (n, 2)."""
    crops, places = [], []
    for name in names:
        photo = photograph(name)
        for _ in range(TEST_CROPS):
            crop, place = window(photo, SIDE, random)
            crops.append(crop)
            places.append(place)
    return crops, np.repeat(np.arange(len(names)), TEST_CROPS), np.array(places)


def apart_pairs(
    codes: Codes, photo: npt.NDArray[np.int64], place: npt.NDArray[np.int64], radius: int
) -> tuple[int, int]:
    """Pairs of crops of one photograph that share no pixel: how many are near, of how many."""
    one, other = np.triu_indices(len(codes), 1)
    apart = (photo[one] == photo[other]) & (np.abs(place[one] - place[other]).max(axis=1) >= SIDE)
    distances = hamming(codes[one[apart]], codes[other[apart]])
    return int((distances <= radius).sum()), len(distances)


def measure_fold(fold: int, seed: int, figures: Figures, pairs: dict[str, int]) -> Autoencoder:
    """Train on one fold and measure every hash on the other."""
    random = np.random.default_rng(fold)
    train = training_pictures(FOLDS[1 - fold], random)
    crops, photo, place = test_pictures(FOLDS[fold], random)
    test = np.array([thumbnail(crop) for crop in crops])
    edited = {
        name: np.array([thumbnail(edit(crop)) for crop in crops]) for name, edit in EDITS.items()
    }
    start = time.perf_counter()
    model = train_autoencoder(train, AutoencoderConfig(seed=seed))
    figures["training (s)"].append(time.perf_counter() - start)
    verdict = judge_codes(model.codes(test), MIN_ACTIVE_BITS)
    print(f"fold {fold}, seed {seed}: {verdict}")
    hashes: dict[str, Callable[[Pixels], Codes]] = {"autoencoder": model.codes}
    if seed == 0:
        hashes |= {"pHash 64": phash, "dHash 64": dhash, "PCA 128": PrincipalHash.fit(train).codes}
    for kind, code in hashes.items():
        codes = code(test)
        for name, pictures in edited.items():
            copies = code(pictures)
            for radius in RADII:
                found, n = recall(codes, copies, radius)
                figures[f"{kind}: {name}, {radius} bits (%)"].append(100 * found / n)
        for radius in RADII:
            false, pairs["across photographs"] = false_pairs(codes, photo, radius)
            figures[f"{kind}: false pairs across photographs, {radius} bits"].append(false)
            false, pairs[f"apart in one photograph, fold {fold}"] = apart_pairs(
                codes, photo, place, radius
            )
            figures[f"{kind}: false pairs apart, {radius} bits"].append(false)
    return model


def random_codes(n: int) -> Codes:
    """Random 128-bit codes; the last tenth copies the first, half of it with about 4 bits off."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (n, 16), dtype=np.uint8)
    copies = codes[: n // 10].copy()
    for _ in range(4):
        rows = np.arange(0, len(copies), 2)
        flip = np.uint8(1) << random.integers(0, 8, len(rows), dtype=np.uint8)
        copies[rows, random.integers(0, 16, len(rows))] ^= flip
    codes[n - len(copies) :] = copies
    return codes


def measure_speed(model: Autoencoder, runs: int, n: int, near: bool, figures: Figures) -> None:
    """Pictures coded and codes grouped."""
    pictures = np.random.default_rng(0).integers(0, 256, (40_000, 32, 32, 3), dtype=np.uint8)
    model.codes(pictures)
    for _ in range(runs):
        start = time.perf_counter()
        model.codes(pictures)
        figures["pictures coded per second"].append(len(pictures) / (time.perf_counter() - start))
    codes, informative, rank = random_codes(n), np.ones(n, np.bool_), np.arange(n)
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(runs):
        start = time.perf_counter()
        exact_groups(codes, informative)
        figures[f"{n} codes grouped exactly (s)"].append(time.perf_counter() - start)
    start = time.perf_counter()
    judge_codes(codes, MIN_ACTIVE_BITS)
    figures[f"{n} codes judged (s)"].append(time.perf_counter() - start)
    # Windows alone has no `ru_maxrss`; Linux counts in KiB. The peak is of the whole process.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["peak memory above the codes (GiB), at most"].append((peak - before) / 2**30)
    for radius in RADII[1:] if near else ():
        start = time.perf_counter()
        near_groups(codes, informative, rank, radius)
        figures[f"{n} codes grouped within {radius} bits (s)"].append(time.perf_counter() - start)


def main() -> None:
    parser = options("Quality and speed of deduplication.", runs=3)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each fold")
    parser.add_argument("--codes", type=int, default=3_000_000, metavar="N", help="codes to group")
    parser.add_argument("--no-near", action="store_true", help="leave the slow near mode out")
    arguments = parser.parse_args()
    figures: Figures = defaultdict(list)
    pairs: dict[str, int] = {}
    for seed in range(arguments.seeds):
        for fold in range(len(FOLDS)):
            model = measure_fold(fold, seed, figures, pairs)
    measure_speed(model, arguments.runs, arguments.codes, not arguments.no_near, figures)
    setting = {
        "test pictures of a fold": TEST_CROPS * len(FOLDS[0]),
        "training pictures of a fold": TRAIN_CROPS * len(FOLDS[0]),
        **{f"pairs {name}": count for name, count in pairs.items()},
    }
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
