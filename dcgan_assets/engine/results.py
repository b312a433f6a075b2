"""`result.json`, the one form of a result: each measured number beside the paper's.

A result lies in `results/GROUP/ASSET/result.json`; figures and tables lie beside it. So does
`metrics.json`, the headline number alone: `dvc metrics show` and `diff` read no lists of rows.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from dcgan_assets.engine.measures import MEASURES, Better, Protocol, Split, check_row
from dcgan_models.files import digest_json, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

RESULT_FILE = "result.json"
METRICS_FILE = "metrics.json"
# Of a result, what says how it came about rather than what was found.
CIRCUMSTANCES = ("data_version", "code_version", "hardware", "duration_s")


class Row(BaseModel):
    """One measured number, and what the paper says.

    Attributes:
        name: What was measured, on what.
        measure: The word for it, of `measures.MEASURES`, which says whether lower or higher is
            better; empty in results that were made before there was a vocabulary.
        value: Ours; None where only the paper has one.
        unit: One of the measure's, such as `%`.
        split: The pictures that it was measured on.
        protocol: Whose way of measuring it is.
        trials: The value is the best of so many, chosen by the measure itself.
        n: Observations behind the value.
        low, high, interval: Bounds and what they are: a kind of `metrics.intervals`, or a range.
        paper: The paper's value, where it gives one; nobody else's.
        source: Where in the paper, or how ours was obtained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    measure: str = ""
    value: float | None = None
    unit: str = ""
    split: Split = ""
    protocol: Protocol = ""
    trials: int | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    paper: float | None = None
    source: str = ""

    @model_validator(mode="after")
    def _in_the_vocabulary(self) -> Row:
        if self.measure:
            check_row(self.measure, self.unit, self.split, self.trials)
            if {self.low, self.high} != {None} and not self.interval:
                raise ValueError(f"{self.name}: bounds, and no words for what they are")
        return self

    @property
    def better(self) -> Better:
        """Which way is better: `lower`, `higher`, or empty where neither is."""
        return MEASURES[self.measure].better if self.measure else ""

    @property
    def about(self) -> str:
        """What kind of number it is, in words: `validation error, lower is better, best of 8`."""
        parts = [self.measure]
        if self.split and self.split not in self.measure:
            parts.append(f"on {self.split.replace('_', '-')} pictures")
        if self.better:
            parts.append(f"{self.better} is better")
        if self.trials:
            parts.append(f"best of {self.trials} trials")
        return ", ".join(part for part in parts if part)


class Result(BaseModel):
    """The content of result.json.

    Attributes:
        schema_version: Of this form.
        asset: Key of the asset.
        paper_ref: The table or figure that the asset reproduces.
        profile: Of the params.yaml that it was made with.
        data_version: Of the artefact that the file belongs to, filled in when published.
        code_version: Of the step that made it, its settings included.
        hardware: Processor and GPU, in words.
        duration_s: Seconds that the step took.
        stand_in: True where the data are not those of the paper.
        rows: The numbers.
        notes: How to read them.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    asset: str
    paper_ref: str
    profile: str
    data_version: str = ""
    code_version: str = ""
    hardware: str = ""
    duration_s: float = 0.0
    stand_in: bool
    rows: list[Row]
    notes: str = ""

    def write(self, folder: Path) -> None:
        """Write `result.json` and `metrics.json` into a folder."""
        write_json(folder / RESULT_FILE, self.model_dump(mode="json"))
        write_json(folder / METRICS_FILE, self.headline())

    def headline(self) -> dict[str, float | int | str]:
        """One number for `dvc metrics`: the last one that the paper has, too, else the first.

        Nothing, where nothing was measured.

        DVC makes a column of every name in any file: with all numbers in it its table would be
        thousands of characters wide. All of them are in `dvc plots`, and in `dcgan log`.
        """
        ours = [row for row in self.rows if row.value is not None]
        if not ours:
            return {}
        both = [row for row in ours if row.paper is not None]
        row = (both or ours)[-1 if both else 0]
        found = {
            "what": row.name,
            "kind": row.about,
            "ours": row.value,
            "paper": row.paper,
            "unit": row.unit,
        }
        return {name: value for name, value in found.items() if value not in {None, ""}}

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame: columns as in `Row`, a number that lacks is NaN."""
        import pandas as pd

        columns = list(Row.model_fields)
        frame = pd.DataFrame([row.model_dump() for row in self.rows], columns=columns)
        numbers = dict.fromkeys(("value", "low", "high", "paper"), "float64")
        return frame.astype({**numbers, "n": "Int64"})

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Read `result.json` from a folder."""
        return cls.model_validate(read_json(folder / RESULT_FILE))


def stable_digest(path: Path) -> str:
    """Hash what a result found: the same again from another machine or a slower run."""
    content = read_json(path)
    return digest_json({key: value for key, value in content.items() if key not in CIRCUMSTANCES})


def hardware() -> str:
    """This machine in words: processor, cores, and the GPU where torch is loaded and sees one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    words = f"{name}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    return words


LOSSES_FILE = "losses.csv"
