"""`dcgan log GROUP`: the publications of a group's networks, and how each was decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tabulate import tabulate

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.going_back import standing_together, take_in
from dcgan_assets.engine.publications import DamagedError, History, Publication
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.terminal import unknown
from dcgan_models.errors import UserError

_HEADER = ("id", "published", "networks", "version", "seed", "scores", "decision")
_SHOWN_SCORES = 3


def require_publishing(catalogue: Catalogue, group: str) -> list[Step]:
    """The steps that publish a group's networks.

    Raises:
        UserError: There are none; the line names the groups that have any.
    """
    steps = [step for step in catalogue.steps if catalogue.decides(step)]
    groups = list(dict.fromkeys(step.group for step in steps))
    if group not in groups:
        where = f"groups that publish networks: {', '.join(groups)}; `dcgan ui` shows all assets"
        raise unknown("asset or group", group, [*groups, *catalogue.by_key], where)
    return [step for step in steps if step.group == group]


def publication_rows(catalogue: Catalogue, group: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What there is to say of each publication, the newest first; and what is wrong with others.

    What stands and is not in the history yet, as after `dvc pull`, is taken into it.

    Raises:
        UserError: The group publishes no networks, or nothing is published.
    """
    steps = require_publishing(catalogue, group)
    notes = take_in_all(catalogue, steps)
    history = History(catalogue.store.root)
    found, wrong = history.publications(group)
    if not (found or wrong or notes):
        raise UserError(f"{group}: nothing is published; `dcgan materialize {steps[0].key}`")
    standing = {}
    for step in steps:
        metas = standing_together(catalogue, step)
        of_it = history.find(metas) if metas is not None else None
        standing[step.key] = of_it.number if of_it is not None else None
    rows = [_row(one, stands=one.number == standing.get(one.key)) for one in reversed(found)]
    return rows, [*notes, *(str(error) for error in wrong)]


def take_in_all(catalogue: Catalogue, steps: Iterable[Step]) -> list[str]:
    """Let the history have what stands, as `dvc pull` or an earlier version left it.

    Returns:
        Why it has not got some of it: the workspace may only be read, or a file is damaged.
    """
    notes = []
    for step in steps:
        try:
            take_in(catalogue, step)
        except (OSError, DamagedError) as error:
            notes.append(f"{step.key}: not kept in the history: {error}")
    return notes


def _row(one: Publication, *, stands: bool) -> dict[str, Any]:
    return {
        "id": one.number,
        "published": one.published,
        "networks": [meta.key for meta in one.records],
        "version": one.version,
        "seed": one.seed,
        "scores": scores_of(one),
        "decision": one.decision,
        "reason": str(one.facts.get("reason", "")),
        "stands": stands,
    }


def scores_of(one: Publication) -> dict[str, float]:
    """The numbers by which a publication was decided, by name."""
    return {name: value for name, value in one.facts.items() if isinstance(value, float)}


def publication_lines(catalogue: Catalogue, group: str) -> Iterator[str]:
    """The table of `publication_rows`, and a line for each that is damaged."""
    rows, wrong = publication_rows(catalogue, group)
    cells = [
        (
            f"{row['id']}{' *' if row['stands'] else ''}",
            row["published"][:16].replace("T", " "),
            row["networks"][0],
            row["version"][:8],
            "" if row["seed"] is None else row["seed"],
            _score_words(row["scores"]),
            row["decision"] + (f": {row['reason']}" if row["reason"] else ""),
        )
        for row in rows
    ]
    yield from tabulate(cells, _HEADER, tablefmt="plain", disable_numparse=True).splitlines()
    yield f"* stands; `dcgan rollback {group} ID` brings another one back"
    yield from (f"note: {line}" for line in wrong)


def _score_words(scores: dict[str, float]) -> str:
    words = [f"{name} {value:.4g}" for name, value in list(scores.items())[:_SHOWN_SCORES]]
    return ", ".join(words)
