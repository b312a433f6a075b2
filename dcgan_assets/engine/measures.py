"""The vocabulary of results: what may be measured, in which units, and which way is better."""

from __future__ import annotations

from typing import Literal, NamedTuple

Better = Literal["lower", "higher", ""]
Split = Literal["", "train", "validation", "test", "held_out", "samples"]
Protocol = Literal["", "the paper's", "the authors' code's", "ours", "torch-fidelity's"]


class Measure(NamedTuple):
    """What a row of a result measures.

    Attributes:
        better: Which way is better; empty where neither is, or where the best is a value between.
        units: Those that it may be in.
        split: The pictures that it is measured on, where its name says so.
    """

    better: Better
    units: tuple[str, ...] = ("",)
    split: Split = ""


_PERCENT = ("%",)
_LEVELS = ("grey levels", "grey levels of 255, mean over pixels", "of the range")

MEASURES: dict[str, Measure] = {
    # Of classifiers.
    "test error": Measure("lower", _PERCENT, "test"),
    "validation error": Measure("lower", _PERCENT, "validation"),
    "accuracy": Measure("higher", _PERCENT),
    # Shares and counts of whatever the row's name says.
    "share": Measure("", _PERCENT),
    "share found": Measure("higher", _PERCENT),
    "share wrong": Measure("lower", _PERCENT),
    "count": Measure("", ("", "pictures", "inputs", "codes", "bits", "pairs", "people", "boxes")),
    "entropy": Measure("higher", ("bits",)),
    "overlap": Measure("higher"),
    "mean error": Measure("lower", ("", "degrees")),
    # Of pictures, and of what moves them.
    "distance": Measure("lower", ("", *_LEVELS, "of two real pictures'")),
    "change": Measure("", ("", "%", *_LEVELS)),
    "spread": Measure("", ("", *_LEVELS)),
    "diversity": Measure("higher"),
    "likeness": Measure(""),
    "ratio": Measure(""),
    "scale": Measure(""),
    "agreement": Measure("higher"),
    "correlation": Measure("higher"),
    # Of generators, as dcgan_models.metrics names them. MS-SSIM is to be that of real pictures, and
    # half of the neighbours in a two-sample test are to be of one's own kind.
    "swd": Measure("lower"),
    "ms_ssim": Measure(""),
    "nearest_distance": Measure("lower"),
    "frechet_distance": Measure("lower"),
    "kernel_distance": Measure("lower"),
    "precision": Measure("higher"),
    "recall": Measure("higher"),
    "coverage": Measure("higher"),
    "density": Measure("higher"),
    "two_sample_real": Measure(""),
    "two_sample_fake": Measure(""),
    "copied": Measure("lower"),
    "nearer_than_held_out": Measure("lower"),
    "nearest_train_ratio": Measure(""),
    "fid": Measure("lower"),
    "kid": Measure("lower"),
    "inception_score": Measure("higher"),
}


def check_row(measure: str, unit: str, split: str, trials: int | None) -> None:
    """Refuse a row that the vocabulary has no word for.

    Raises:
        ValueError: An unknown measure or one in another unit or on another split, or a best of
            several trials on the test pictures, which would have been chosen on them.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}; allowed: {', '.join(MEASURES)}")
    known = MEASURES[measure]
    if unit not in known.units:
        raise ValueError(f"{measure} in {unit!r}; allowed: {', '.join(map(repr, known.units))}")
    if known.split and split != known.split:
        raise ValueError(f"{measure} on {split!r}; it is of the {known.split} pictures")
    if split == "test" and (trials or 1) > 1:
        raise ValueError(
            f"{measure}: best of {trials} trials on the test pictures; choose on others"
        )
