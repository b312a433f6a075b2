"""How well copies of training pictures are seen: `python -m benchmarks.copies WORKSPACE`.

In every group of a workspace whose assets are made. First the twins: training pictures, edited, are
put among the held-out ones, and it is counted how many of them are found, and how many honest ones
are taken for twins. Then the copies: of the generator's samples a share is replaced by edited
training pictures, and it is counted how often the check `not_memorised` would have failed, over
draws of which are copied, with samples of another seed in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.harness import hardware, options
from dcgan_assets.params.publishing import Quality
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.files import write_json
from dcgan_models.metrics.extractor import load_extractor
from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.planted_copies import COPY_EDITS, plant, views
from dcgan_models.metrics.twins import find_twins
from dcgan_models.networks import load_generator

# 0 is no copy; the others are one in so many.
EVERY = (0, 50, 33, 20, 10, 5)
_HELD_OUT, _TRAIN, _TWINS = 500, 5000, 100
_COPIED = Quality.model_fields["copied"].default


def main() -> None:
    """Measure, print, and write the figures where they are asked for."""
    parser = options(__doc__ or "", runs=10)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE", help="with networks made")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for group in sorted(
        path.parent.name for path in arguments.workspace.glob("models/*/extractor")
    ):
        train, held_out = _pictures(arguments.workspace / "data" / group / "training_set")
        found[group] = {
            "held out": len(held_out),
            "train": len(train),
            **dict(_twins(train, held_out)),
            **dict(_power(arguments.workspace / "models" / group, train, held_out, arguments.runs)),
        }
    print(tabulate([{"group": group, **row} for group, row in found.items()], headers="keys"))
    if arguments.json:
        write_json(arguments.json, {"hardware": hardware(), "groups": found})


def _pictures(folder: Path) -> tuple[Any, Any]:
    """Training and held-out pictures, spread over the files, some thousand at most."""
    chosen = []
    for split, most in (("train", _TRAIN), ("held_out", _HELD_OUT)):
        store = PixelStore.open(folder, split)
        chosen.append(
            store.gather(np.linspace(0, len(store) - 1, min(len(store), most)).astype(int))
        )
    return chosen[0], chosen[1]


def _twins(train: Any, held_out: Any) -> Iterator[tuple[str, float]]:
    """Percent of honest held-out pictures taken for twins, and of planted twins found."""
    yield "honest", round(100 * float((find_twins(held_out, train) >= 0).mean()), 1)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(train))[:_TWINS]
    for name, edit in COPY_EDITS.items():
        planted = np.concatenate([held_out, edit(train[rows], rng)])
        # One in ten, as a leak may be: the dimension is told by the honest ones.
        few = planted[np.r_[: len(held_out), len(held_out) : len(held_out) + len(held_out) // 10]]
        found = find_twins(few, train)[len(held_out) :]
        yield f"twins, {name}", round(100 * float((found == rows[: len(found)]).mean()), 1)


def _power(models: Path, train: Any, held_out: Any, runs: int) -> Iterator[tuple[str, Any]]:
    """Percent found of planted copies by edit, and of runs in which so many would be refused."""
    extractor = load_extractor(models / "extractor")
    generator = load_generator(models / "generator")
    rng = np.random.default_rng(1)
    try:
        bounds = CopyBounds.of(extractor.features(train), *views(extractor, held_out))
    except UserError as error:
        yield "copies", str(error)
        return
    originals = train[rng.permutation(len(train))[:_TWINS]]
    for name, edit in COPY_EDITS.items():
        found = bounds.copies(*views(extractor, edit(originals, rng)))
        yield f"copies, {name}", round(100 * float(found.mean()), 1)
    refused = dict.fromkeys(EVERY, 0)
    for run in range(runs):
        fake = generator.sample(len(held_out), 100 + run)
        for every in EVERY:
            shown = plant(fake, train, run, every) if every else fake
            refused[every] += bounds.judge(*views(extractor, shown)).low > _COPIED
    for every, count in refused.items():
        name = f"refused at 1 in {every}" if every else "refused honest"
        yield name, round(100 * count / runs)


if __name__ == "__main__":
    main()
