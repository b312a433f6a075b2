"""Figures and contact sheets of the deduplication report."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.dedup.deduplication import MIN_ACTIVE_BITS
from dcgan_models.dedup.codes import Codes, activation_rates, active_histogram, hamming
from dcgan_models.dedup.planted import recall
from dcgan_models.grids import tile, write_png

Rows = npt.NDArray[np.int64]

OURS = "autoencoder"
PAIRS_FILE = "pairs.csv"
_LARGEST_GROUPS = 8
_GROUP_COLUMNS = 12
_PAIR_COLUMNS = 6


def draw_recall(
    originals: Mapping[str, Codes], edited: Mapping[str, Mapping[str, Codes]], path: Path
) -> None:
    """A panel an edit: recall against the share of bits that may differ, a line a hash."""
    from matplotlib.figure import Figure

    edits = list(edited[OURS])
    figure = Figure(figsize=(2.6 * len(edits), 2.9), layout="constrained")
    for axes, edit in zip(figure.subplots(1, len(edits), sharey=True), edits, strict=True):
        for name, copies in edited.items():
            bits = 8 * copies[edit].shape[1]
            radii = np.arange(bits // 8 + 1)
            shares = [np.divide(*recall(originals[name], copies[edit], int(r))) for r in radii]
            axes.plot(100 * radii / bits, shares, label=name, lw=2 if name == OURS else 1)
        axes.set(title=edit, xlabel="bits that may differ, %", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("recall")
    figure.axes[-1].legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)


def draw_codes(codes: Codes, path: Path) -> None:
    """How often each bit is active, and how many are active at once."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    rates, counts = figure.subplots(1, 2, width_ratios=(2, 1))
    rates.bar(range(8 * codes.shape[1]), np.sort(activation_rates(codes)))
    rates.set(xlabel="bit, sorted", ylabel="share of pictures", ylim=(0, 1))
    histogram = active_histogram(codes)
    counts.bar(range(len(histogram)), histogram)
    counts.axvline(MIN_ACTIVE_BITS - 0.5, color="C3", lw=1)
    counts.set(xlabel="active bits", ylabel="pictures")
    figure.savefig(path, dpi=100)


def write_pairs(pairs: Rows, keys: Sequence[str], codes: Codes, path: Path) -> None:
    """The pairs of the contact sheet, with an empty column for a person's verdict."""
    distances = hamming(codes[pairs[:, 0]], codes[pairs[:, 1]])
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["pair", "kept", "removed", "bits", "verdict"])
        for number, ((kept, removed), bits) in enumerate(
            zip(pairs.tolist(), distances.tolist(), strict=True), start=1
        ):
            writer.writerow([number, keys[kept], keys[removed], bits, ""])


def pair_sheet(pictures: Any, pairs: Rows, path: Path) -> str:
    """Draw kept and removed side by side, in the order of pairs.csv, ten pairs a row; in words."""
    width = pictures.shape[1]
    both = pictures.gather(pairs.reshape(-1))
    couples = np.concatenate([both[0::2], both[1::2], np.full_like(both[0::2, :, :4], 255)], axis=2)
    write_png(path, tile(couples, _PAIR_COLUMNS))
    return f"kept | removed, {len(pairs)} pairs of {width} pixels, in the order of {PAIRS_FILE}"


def group_sheet(pictures: Any, kept_for: Rows, path: Path) -> str:
    """Draw the largest groups, one a row: what was kept, what was removed for it; in words."""
    names, sizes = np.unique(kept_for[kept_for >= 0], return_counts=True)
    columns = min(_GROUP_COLUMNS, int(sizes.max()) + 1)
    rows = []
    for kept in names[np.argsort(-sizes, kind="stable")][:_LARGEST_GROUPS]:
        members = [kept, *np.flatnonzero(kept_for == kept)[: columns - 1]]
        row = np.zeros((columns, *pictures.shape), np.uint8)
        row[: len(members)] = pictures.gather(members)
        rows.append(row)
    write_png(path, tile(np.concatenate(rows), columns))
    return "the largest groups, the kept picture first"
