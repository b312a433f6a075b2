"""`dcgan compare`: two publications of a group's networks side by side.

Pictures of the same latents where both take such, the scores by which each was decided, the losses
of each training. Scores are those of then: a row has both only where they were taken in the same
way, of as many pictures, in the same feature space.
"""

from __future__ import annotations

import csv
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from dcgan_assets.assets.publishing.contest import CANDIDATE, CHAMPION
from dcgan_assets.assets.publishing.quality_report import ORDER
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.publication_log import require_publishing, scores_of, take_in_all
from dcgan_assets.engine.publications import History, Publication, newly_published
from dcgan_assets.engine.results import LOSSES_FILE
from dcgan_models.errors import UserError
from dcgan_models.files import open_text
from dcgan_models.pixels import Pixels

_NETWORK = ("network.json", "weights.safetensors")
_PICTURES, _ACROSS, _SEED = 64, 8, 0
_LOSSES = ("d_loss", "g_loss")
_NUMBER = re.compile(r"(\S+?)(?: \[(\S+), (\S+)\])?")
# Of a row of the table by which was decided: numbers, not how they were taken.
_NUMBERS = {"measure", "interval", *ORDER}


@dataclass(frozen=True)
class Side:
    """What there is to see of one publication.

    Attributes:
        pictures: Of the seed's latents, uint8 (n, height, width, channels).
        latents: Dimension, distribution and classes.
        losses: By name, epoch and nats; empty where the training left none.
        scores: As text with its interval, by measure and how it was taken.
    """

    publication: Publication
    pictures: Pixels
    latents: tuple[Any, ...]
    losses: dict[str, tuple[list[float], list[float]]]
    scores: dict[tuple[tuple[str, str], ...], str]

    @property
    def title(self) -> str:
        """What stands above its pictures."""
        one = self.publication
        # Of a champion that was kept, the seed is that of the candidate which was not published.
        seed = "" if one.seed is None or one.contender == CHAMPION else f", seed {one.seed}"
        return f"{one.number}: {one.version[:8]}{seed}, {one.published[:10]}"


def choose_two(catalogue: Catalogue, group: str, ids: Sequence[int]) -> list[Publication]:
    """The publications that are named; else the last networks and those before them.

    Raises:
        UserError: The group publishes none, there are no such two, or they are of two assets.
    """
    steps = require_publishing(catalogue, group)
    take_in_all(catalogue, steps)
    history = History(catalogue.store.root)
    if ids:
        chosen = [history.read(group, number) for number in ids]
        if len({one.key for one in chosen}) > 1:
            keys = " and ".join(f"{one.number} is of {one.key}" for one in chosen)
            raise UserError(f"{group}: only publications of one asset are compared: {keys}")
        return chosen
    own = [one for one in history.publications(group)[0] if one.key == steps[0].key]
    last = newly_published(own)[-2:]
    if len(last) < 2:
        raise UserError(f"{group}: fewer than two versions of {steps[0].key} were published")
    return last


def look_at(catalogue: Catalogue, publication: Publication) -> Side:
    """Draw a publication's pictures, and read what else is shown of it.

    Raises:
        UserError: A file is missing or damaged, or it is no generator's publication.
    """
    from dcgan_models import load_generator

    meta = publication.records[0]
    names = [name for name in (*_NETWORK, LOSSES_FILE) if name in meta.files]
    with tempfile.TemporaryDirectory() as folder:
        History(catalogue.store.root).fill(meta, Path(folder), names)
        device = catalogue.workspace.params.machine.device
        generator = load_generator(folder, device=device)
        preset = generator.preset
        return Side(
            publication,
            generator.sample(_PICTURES, _SEED),
            (preset.z_dim, preset.z_distribution, preset.classes),
            _losses(Path(folder) / LOSSES_FILE),
            _scores(publication),
        )


def _losses(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    if not path.exists():
        return {}
    with open_text(path) as stream:
        rows = list(csv.DictReader(stream))
    try:
        epochs = [float(row["epoch"]) for row in rows]
        return {name: (epochs, [float(row[name]) for row in rows]) for name in _LOSSES}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path.name}: not the losses of a training ({error})") from None


def _scores(publication: Publication) -> dict[tuple[tuple[str, str], ...], str]:
    """The scores of a publication's networks: those of the gate, then the table's."""
    who = publication.contender
    found: dict[tuple[tuple[str, str], ...], str] = {
        (("measure", name.removeprefix(f"{who}: ")), ("sets", "mean of the gate's")): f"{value:.4g}"
        for name, value in scores_of(publication).items()
        if name.startswith(f"{who}: ")
    }
    table = shown.decode(publication.records[0].metadata).get("comparison")
    rows = table.records if isinstance(table, dg.TableMetadataValue) else ()
    for row in (record.data for record in rows):
        # Where the champion is the candidate, it has no column of its own.
        value = row.get(who, row.get(CANDIDATE))
        taken = [(name, str(of)) for name, of in row.items() if name not in _NUMBERS]
        found[("measure", str(row.get("measure"))), *taken] = str(value)
    return found


# --- What is said of both ---------------------------------------------------------------------


def score_rows(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """One row a score and way of taking it: `first` and `second`, each a number with its bounds."""
    first, second = sides
    return [
        {
            **dict(taken),
            "first": _number(first.scores.get(taken)),
            "second": _number(second.scores.get(taken)),
        }
        for taken in dict.fromkeys([*first.scores, *second.scores])
    ]


def _number(text: str | None) -> dict[str, float | None] | None:
    """A score and its bounds as numbers; None where it is none."""
    found = _NUMBER.fullmatch(text or "")
    try:
        parts = [None if part is None else float(part) for part in found.groups()] if found else []
    except ValueError:
        parts = []
    if not all(part is None or math.isfinite(part) for part in parts):
        return None
    return dict(zip(("value", "low", "high"), parts, strict=True)) if parts else None


def same_latents(sides: Sequence[Side]) -> bool:
    """Whether both drew the same latents."""
    return sides[0].latents == sides[1].latents


def describe(sides: Sequence[Side]) -> dict[str, Any]:
    """All that is said of two publications, as plain values."""
    return {
        **{
            name: {
                "id": side.publication.number,
                "networks": side.publication.key,
                "version": side.publication.version,
                "published": side.publication.published,
                "seed": side.publication.seed,
                "decision": side.publication.decision,
            }
            for name, side in zip(("first", "second"), sides, strict=True)
        },
        "same_latents": same_latents(sides),
        "scores": score_rows(sides),
    }


def comparison_lines(sides: Sequence[Side]) -> Iterator[str]:
    """The table of two publications for the terminal."""
    from tabulate import tabulate

    for side in sides:
        one = side.publication
        yield f"{one.label}: {one.version[:8]}, {one.published}, seed {one.seed}, {one.decision}"
    names = [str(side.publication.number) for side in sides]
    taken = dict.fromkeys([*sides[0].scores, *sides[1].scores])
    rows = [
        (
            dict(way)["measure"],
            *(side.scores.get(way, "-") for side in sides),
            ", ".join(f"{name} {of}" for name, of in way[1:]),
        )
        for way in taken
    ]
    if rows:
        header = ("measure", *names, "taken")
        yield from tabulate(rows, header, tablefmt="plain", disable_numparse=True).splitlines()
        yield "each was measured when it was decided on; a row has both where that was done alike"
    else:
        yield "no scores were recorded"


def draw(sides: Sequence[Side], path: Path) -> None:
    """Write one PNG: pictures above, losses below."""
    from matplotlib.figure import Figure

    from dcgan_models.files import open_atomic
    from dcgan_models.grids import tile

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=(5, 3))
    for axis, side in zip(axes[0], sides, strict=True):
        grid = tile(side.pictures, _ACROSS)
        grey = grid.shape[-1] == 1
        axis.imshow(grid[..., 0] if grey else grid, cmap="gray" if grey else None, vmin=0, vmax=255)
        axis.set_title(side.title, fontsize=10)
        axis.set_axis_off()
    for axis, name in zip(axes[1], _LOSSES, strict=True):
        for side in sides:
            if side.losses:
                axis.plot(
                    *side.losses[name], ".-", label=str(side.publication.number), markersize=3
                )
        axis.set(xlabel="epoch", ylabel=f"{name}, nats")
        if any(side.losses for side in sides):
            axis.legend(frameon=False, fontsize=8)
    latents = "the same latents" if same_latents(sides) else "latents of its own, as they differ"
    figure.suptitle(f"{sides[0].publication.key}: each draws {latents}", fontsize=11)
    with open_atomic(path) as stream:
        figure.savefig(stream, format="png", dpi=100)
