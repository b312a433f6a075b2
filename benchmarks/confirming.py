"""The bound of the second look at near codes: `python -m benchmarks.confirming`.

`dcgan_models.dedup.confirming.BOUND` is the least whole number of grey levels within which 99% of
edited copies lie, of each kind of picture: drawn rooms, drawn faces, crops of photographs. They
are drawn for this with a seed that no profile has, so that recall and false removals, which
`dedup_report` counts in a group, are told by other pictures than those that the bound was set by.
Beside it: how many pairs of different pictures lie within the bound, whatever their codes.
"""

from __future__ import annotations

import math

import numpy as np
from tabulate import tabulate

from benchmarks.harness import hardware, options
from dcgan_assets.params.pictures import HASH_SIDE
from dcgan_assets.sources.drawn.drawings import Drawings
from dcgan_assets.sources.photographs import Photographs
from dcgan_assets.sources.reading.decode import Decoded, decode, thumbnails
from dcgan_assets.sources.reading.items import Source
from dcgan_models.dedup.confirming import BOUND, differences
from dcgan_models.dedup.planted import EDITS
from dcgan_models.files import write_json
from dcgan_models.pixels import Pixels

CALIBRATION_SEED = 7001
_SHARE = 0.99


def calibration_pictures(count: int) -> dict[str, list[Pixels]]:
    """So many pictures of each kind, uint8 (height, width, 3), as large as they come."""
    sources: dict[str, Source] = {
        "rooms": Drawings("rooms", count, 64, seed=CALIBRATION_SEED),
        "faces": Drawings("faces", count, 64, seed=CALIBRATION_SEED),
        "photographs": Photographs(count, seed=CALIBRATION_SEED, side_range=(64, 256)),
    }
    read = {
        name: [decode(item.location.read()) for item in source.items(0, 1)]
        for name, source in sources.items()
    }
    return {
        name: [one.pixels for one in found if isinstance(one, Decoded)]
        for name, found in read.items()
    }


def small(pictures: list[Pixels]) -> Pixels:
    """As `images` makes them small for hashing: uint8 (n, 32, 32, 3)."""
    return np.stack([thumbnails(picture, (HASH_SIDE,))[0] for picture in pictures])


def of_copies(pictures: list[Pixels]) -> np.ndarray:
    """Differences of pictures and their edited copies, float64 (n * edits,)."""
    plain = small(pictures)
    pairs = np.stack([np.arange(len(plain)), np.arange(len(plain)) + len(plain)], axis=1)
    found = [
        differences(np.concatenate([plain, small([edit(one) for one in pictures])]), pairs)
        for edit in EDITS.values()
    ]
    return np.concatenate(found)


def of_others(pictures: list[Pixels]) -> np.ndarray:
    """Differences of all pairs of different pictures, 200 at most: float64 (n (n - 1) / 2,)."""
    some = small(pictures[:200])
    return differences(some, np.stack(np.triu_indices(len(some), 1), axis=1))


def main() -> None:
    """Measure, print, and write the figures where they are asked for."""
    arguments = options(__doc__ or "", runs=400).parse_args()
    found = {}
    for name, pictures in calibration_pictures(arguments.runs).items():
        copies, others = of_copies(pictures), of_others(pictures)
        found[name] = {
            "copies": len(copies),
            "99% of copies": round(float(np.quantile(copies, _SHARE)), 1),
            "within the bound, %": round(100 * float((copies <= BOUND).mean()), 2),
            "pairs of others": len(others),
            "within": int((others <= BOUND).sum()),
        }
    print(tabulate([{"pictures": name, **row} for name, row in found.items()], headers="keys"))
    least = math.ceil(max(row["99% of copies"] for row in found.values()))
    print(f"the bound is {BOUND:g}; by these pictures it is {least}")
    if arguments.json:
        write_json(arguments.json, {"hardware": hardware(), "bound": least, "pictures": found})


if __name__ == "__main__":
    main()
