"""`dcgan materialize` in this process, what it says, and what it leaves on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from dcgan_assets.cli import main
from dcgan_assets.engine.metadata import decode
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_models.pixels import Pixels


def materialize(root: Path, *arguments: str) -> Result:
    """The command, as a process that has just begun: sources look again at what there is."""
    forget_listings()
    return CliRunner().invoke(main, ["--root", str(root), "materialize", *arguments])


def materialize_well(root: Path, *arguments: str) -> list[str]:
    """Labels of what was made."""
    done = materialize(root, *arguments)
    assert done.exit_code == 0, done.output
    return made(done)


def made(done: Result) -> list[str]:
    """Labels of what was made, in order."""
    return [line.split(":")[0] for line in done.stdout.splitlines() if line.endswith(": making")]


def lines(done: Result, start: str) -> list[str]:
    """The lines that begin so."""
    return [line for line in done.stdout.splitlines() if line.startswith(start)]


def refusal(done: Result) -> str:
    """The one line of the one thing that failed."""
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    (line,) = lines(done, "FAILED")
    return line


def meta(root: Path, key: str) -> Meta:
    """The record of an asset that is there."""
    kind = next(k for k in ("data", "models", "results") if (root / k / key).exists())
    found = Store(root).meta(Artefact(key, kind))  # type: ignore[arg-type]
    assert found is not None
    return found


def read_metadata(found: Meta, name: str) -> Any:
    """A value that the web UI shows."""
    return decode(found.metadata)[name].value


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def figure(path: Path) -> Pixels:
    """A picture of ours, uint8 (height, width, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def tiles(grid: Pixels, rows: int, columns: int) -> Pixels:
    """Cut a grid without separators: (rows, columns, height, width, 3)."""
    height, width = grid.shape[0] // rows, grid.shape[1] // columns
    assert grid.shape == (rows * height, columns * width, 3)
    return grid.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
