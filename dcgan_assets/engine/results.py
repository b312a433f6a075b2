"""`result.json`, the one form of a result: each measured number beside the paper's.

A result lies in `results/GROUP/ASSET/result.json`; figures and tables lie beside it. So does
`metrics.json`, the headline number alone: `dvc metrics show` and `diff` read no lists of rows.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dcgan_models.files import digest_json, read_json, write_json

RESULT_FILE = "result.json"
METRICS_FILE = "metrics.json"
# Of a result, what says how it came about rather than what was found.
CIRCUMSTANCES = ("data_version", "code_version", "hardware", "duration_s")


class Row(BaseModel):
    """One measured number, and what the paper says.

    Attributes:
        name: What was measured, on what.
        value: Ours; None where only the paper has one.
        unit: `%`, `nats`, `s`, ...
        n: Observations behind the value.
        low, high, interval: Bounds and what they are, such as `95% Wilson`.
        paper: The paper's value, where it gives one.
        source: Where in the paper, or how ours was obtained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float | None = None
    unit: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    paper: float | None = None
    source: str = ""


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
        found = {"what": row.name, "ours": row.value, "paper": row.paper, "unit": row.unit}
        return {name: value for name, value in found.items() if value not in {None, ""}}

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
