"""The table of docs/leaks.md: what every measure was tuned on, chosen on and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dcgan_assets.params.yaml_files import parse_yaml
from docs.writers.markdown import table

DOCUMENT = Path("docs/leaks.md")
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"


@dataclass(frozen=True)
class Measure:
    """A measure and the pictures behind it, each named `ASSET: SPLIT` or by a word.

    Attributes:
        measure: In words.
        assets: Keys of the results that hold it; `*` for any group.
        tuned_on: By what weights, bounds or directions were fitted.
        chosen_on: By what one of several was taken.
        measured_on: By what the number that is reported was found.
        because: Why what stands on both sides does no harm; empty where nothing does.
    """

    measure: str
    assets: tuple[str, ...]
    tuned_on: tuple[str, ...]
    chosen_on: tuple[str, ...]
    measured_on: tuple[str, ...]
    because: str = ""

    def of(self, key: str) -> bool:
        """Whether a result holds it."""
        return any(fnmatchcase(key, pattern) for pattern in self.assets)


def measures() -> tuple[Measure, ...]:
    """All of them, in the order of the file."""
    path = Path(__file__).with_name("measures.yaml")
    rows: list[dict[str, Any]] = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in parse_yaml(path.read_text("utf-8"), path.name)
    ]
    return tuple(Measure(**row) for row in rows)


def document(text: str) -> str:
    """The text of docs/leaks.md with its table written anew; the rest is written by hand."""
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    rows = [
        [
            one.measure + (f" ({one.because})" if one.because else ""),
            ", ".join(f"`{key}`" for key in one.assets),
            *("; ".join(x) or "–" for x in (one.tuned_on, one.chosen_on, one.measured_on)),  # noqa: RUF001
        ]
        for one in measures()
    ]
    found = table(("measure", "asset", "tuned on", "chosen on", "measured on"), rows)
    return f"{before}{_BEGIN}\n{found}\n{_END}{after}"
