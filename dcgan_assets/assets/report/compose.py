"""The content of the report: the paper's items with what was made for them, before any markup."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dcgan_assets.assets.publishing.quality_report import ORDER
from dcgan_assets.assets.report.deviations import choices
from dcgan_assets.assets.report.encoding import Encoded
from dcgan_assets.assets.report.gather import Made
from dcgan_assets.assets.report.items import Headline, Item, TableRow, caption, load_paper
from dcgan_assets.assets.report.verdicts import Told, told
from dcgan_assets.engine.results import Row
from dcgan_assets.params.file import PROFILES

MADE, PARTLY, MISSING = "made", "in part", "missing"


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes:
        name: `GROUP/ASSET/FILE`.
    """

    name: str
    encoded: Encoded
    words: str
    alt: str

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width to be legible."""
        picture = self.encoded
        large_chart = not picture.grid and picture.width > 1000
        return large_chart or picture.width > 2.2 * picture.height


@dataclass(frozen=True)
class Cell:
    """What the paper has in a cell of its table, and our row for it."""

    paper: str | None
    ours: Row | None


@dataclass(frozen=True)
class Line:
    """A row of one of the paper's tables.

    Attributes:
        control: Whether it is ours alone.
    """

    model: str
    cells: tuple[Cell, ...]
    also: str
    control: bool


@dataclass(frozen=True)
class Entry:
    """An item of the paper and what was made for it.

    Attributes:
        made: What it shows and stands on, as far as it is there.
        missing: What is not, and why, a sentence each.
        shows: Those of `made` that belong to it alone.
        stand_in: Whether the data are not the paper's; None where there are no data.
        here: Data and networks in words.
        headline: The row that stands for it in the overview.
        differs: Entries of deviations.yaml.
    """

    item: Item
    shows: tuple[Made, ...]
    made: tuple[Made, ...]
    missing: tuple[str, ...]
    stand_in: bool | None
    here: tuple[str, ...]
    pictures: tuple[Picture, ...]
    lines: tuple[Line, ...]
    headline: Row | None
    differs: tuple[Mapping[str, str], ...]

    @property
    def state(self) -> str:
        """`made`, `in part` or `missing`."""
        if not self.missing:
            return MADE
        return PARTLY if self.shows else MISSING


@dataclass(frozen=True)
class Other:
    """A result that the paper has no item for."""

    made: Made
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Quality:
    """How a published generator was chosen, and the table that it was chosen by."""

    key: str
    decision: str
    reason: str
    columns: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Failed:
    """A check that did not come out well."""

    key: str
    check: str
    facts: str


@dataclass(frozen=True)
class Report:
    """All that the page says.

    Attributes:
        verdicts: The paper's claims, and what the results say of each.
        failed: Checks that failed.
        general: Entries of deviations.yaml that belong to no single item.
        made: All that was read, by key.
        as_of: When the newest of it was made, ISO 8601; empty where there is nothing.
    """

    profile: str
    verdicts: tuple[Told, ...]
    failed: tuple[Failed, ...]
    entries: tuple[Entry, ...]
    others: tuple[Other, ...]
    quality: tuple[Quality, ...]
    general: tuple[Mapping[str, str], ...]
    made: tuple[Made, ...]
    as_of: str

    @property
    def hardware(self) -> tuple[str, ...]:
        """The machines that it was made on."""
        return tuple(sorted({one.meta.hardware for one in self.made}))

    def count(self, state: str) -> int:
        """How many items are in a state."""
        return sum(entry.state == state for entry in self.entries)


def compose(
    made: Mapping[str, Made],
    known: Collection[str],
    encoded: Mapping[str, Encoded],
    profile: str,
) -> Report:
    """Put the paper's items and what was made side by side.

    Args:
        made: What there is, by key.
        known: Keys of all assets that could be there, with params.yaml as it is.
        encoded: The pictures of `picture_paths`.
    """
    paper = load_paper()
    concerned = [choice for choice in choices() if _concerns(choice["what"], profile)]
    of_items = tuple(prefix for item in paper.items for prefix in item.differs)
    return Report(
        profile=profile,
        verdicts=tuple(told(item, claim, made) for item in paper.items for claim in item.claims),
        failed=tuple(failed for one in made.values() for failed in _failed(one)),
        entries=tuple(_entry(item, made, known, encoded, concerned) for item in paper.items),
        others=tuple(
            Other(one, _pictures(encoded, one.key, ("*",)))
            for key, one in made.items()
            if key not in _shown_keys() and (one.result or one.pictures)
        ),
        quality=tuple(_quality(one) for one in made.values() if one.told("comparison")),
        general=tuple(choice for choice in concerned if not choice["what"].startswith(of_items)),
        made=tuple(made.values()),
        as_of=max((one.meta.created for one in made.values()), default=""),
    )


def picture_paths(made: Mapping[str, Made]) -> dict[str, Path]:
    """The pictures that the report shows, by `GROUP/ASSET/FILE`."""
    patterns: dict[str, tuple[str, ...]] = {}
    for item in load_paper().items:
        for one in item.shows:
            patterns[one.asset] = (*patterns.get(one.asset, ()), *one.files)
    return {
        f"{key}/{file}": path
        for key, one in made.items()
        for file, path in one.pictures.items()
        if any(fnmatchcase(file, pattern) for pattern in patterns.get(key, ("*",)))
    }


def _shown_keys() -> set[str]:
    return {shown.asset for item in load_paper().items for shown in item.shows}


def _concerns(what: str, profile: str) -> bool:
    """Whether a deviation is one of this profile: some are of one profile alone."""
    named = [one for one in PROFILES if re.match(rf"`?{one}`? profile", what)]
    return not named or profile in named


def _entry(
    item: Item,
    made: Mapping[str, Made],
    known: Collection[str],
    encoded: Mapping[str, Encoded],
    concerned: Sequence[Mapping[str, str]],
) -> Entry:
    shows = tuple(made[one.asset] for one in item.shows if one.asset in made)
    beside = [made[key] for key in (*item.networks, item.pictures) if key in made]
    everything = (*shows, *beside)
    stand_in = [one.stand_in for one in everything if one.stand_in is not None]
    return Entry(
        item=item,
        shows=shows,
        made=everything,
        missing=tuple(_missing(item, made, known)),
        stand_in=any(stand_in) if stand_in else None,
        here=tuple(_in_words(one) for one in beside),
        pictures=tuple(
            picture for one in item.shows for picture in _pictures(encoded, one.asset, one.files)
        ),
        lines=tuple(_line(row, made) for row in item.table.rows) if item.table else (),
        headline=_headline(item.headline, made),
        differs=tuple(choice for choice in concerned if choice["what"].startswith(item.differs)),
    )


def _failed(made: Made) -> list[Failed]:
    """The checks of an asset that failed, with what was found."""
    return [
        Failed(
            made.key,
            check["check"],
            ", ".join(f"{name}: {value}" for name, value in check["facts"].items()),
        )
        for check in made.meta.checks
        if not check["passed"]
    ]


def _missing(item: Item, made: Mapping[str, Made], known: Collection[str]) -> list[str]:
    """A sentence for each asset, or what is named of its pictures, that an item lacks."""
    lines = []
    for shown in item.shows:
        if shown.asset not in known and shown.optional:
            continue
        if shown.asset not in known:
            lines.append(f"{shown.asset} has no section in params.yaml.")
        elif shown.asset not in made:
            lines.append(f"{shown.asset} is not made yet: dcgan materialize {shown.asset}")
        elif shown.files != ("*.png",) and not _has_any(made[shown.asset], shown.files):
            lines.append(
                f"{shown.asset} has no {' nor '.join(shown.files)}; its section in params.yaml "
                "says what is drawn."
            )
    return lines


def _has_any(made: Made, files: Sequence[str]) -> bool:
    return any(fnmatchcase(file, pattern) for file in made.pictures for pattern in files)


def _pictures(
    encoded: Mapping[str, Encoded], key: str, files: Sequence[str]
) -> tuple[Picture, ...]:
    """The pictures of an asset that match, in the order of their captions."""
    names = [
        name.removeprefix(f"{key}/")
        for name in encoded
        if any(fnmatchcase(name, f"{key}/{pattern}") for pattern in files)
    ]
    captioned = [(caption(key, name), name) for name in names]
    return tuple(
        Picture(f"{key}/{name}", encoded[f"{key}/{name}"], words.words, words.alt)
        for words, name in sorted(captioned, key=lambda one: (one[0].rank, one[1]))
    )


def _in_words(made: Made) -> str:
    """A data set or a trained network in a sentence."""
    if made.dataset is not None:
        side = "×".join(map(str, made.dataset["shape"][:2]))  # noqa: RUF001
        words = {"train": "to train on", "held_out": "held out"}
        sizes = sorted(made.dataset["splits"].items(), key=lambda split: -split[1])
        splits = ", ".join(f"{count:,} {words.get(name, f'for {name}')}" for name, count in sizes)
        return f"{made.key}: pictures of {side}, {splits}"
    preset: Any = made.preset
    layers = preset["generator"][:-1]
    widths = ", ".join(str((layer["reshape"] or [layer["out"]])[0]) for layer in layers)
    falling = f" and {preset['decay_epochs']} with a falling rate" * bool(preset["decay_epochs"])
    # What earlier versions trained says nothing of an average.
    averaged = ", drawn with the average of G's weights" * preset.get("averaged", False)
    return (
        f"{made.key}: preset {preset['name']}, G's layers {widths} wide, {preset['epochs']} epochs"
        f"{falling} in minibatches of {preset['batch']}, learning rate {preset['learning_rate']:g}"
        f"{averaged}"
    )


def _line(row: TableRow, made: Mapping[str, Made]) -> Line:
    columns = max(len(row.paper), len(row.ours))
    paper = row.paper or (None,) * columns
    ours = row.ours or (None,) * columns
    cells = tuple(
        Cell(theirs, _find(address, made)) for theirs, address in zip(paper, ours, strict=True)
    )
    return Line(row.model, cells, row.also, control=not row.paper)


def _find(address: str | None, made: Mapping[str, Made]) -> Row | None:
    if address is None:
        return None
    asset, pattern = address.split(": ", maxsplit=1)
    return _headline(Headline(asset=asset, row=pattern), made)


def _headline(headline: Headline | None, made: Mapping[str, Made]) -> Row | None:
    """The first measured row of that name."""
    found = made.get(headline.asset) if headline else None
    if headline is None or found is None or found.result is None:
        return None
    rows = (row for row in found.result.rows if row.value is not None)
    return next((row for row in rows if re.fullmatch(headline.row, row.name)), None)


def _quality(made: Made) -> Quality:
    """The comparison that the record of a published generator carries."""
    records = tuple(record.data for record in made.told("comparison").records)
    # Dagster keeps the columns by the alphabet.
    first = [name for name in ("measure", *ORDER) if name in records[0]]
    return Quality(
        key=made.key,
        decision=str(made.told("decision").value),
        reason=str(made.told("reason").value),
        columns=(*first, *(name for name in records[0] if name not in first)),
        records=records,
    )
