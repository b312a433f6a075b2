"""The sections for extractor and quality: what they allow, and that bad values name their key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.params.quality import ExtractorParams, Quality

QUALITY: dict[str, Any] = {
    "samples": 300,
    "train_samples": 2000,
    "kid_size": 200,
    "snapshot_samples": 100,
}


def test_defaults() -> None:
    quality = Quality(**QUALITY)
    assert (quality.seeds, quality.measure, quality.margin) == (
        (11, 12, 13),
        "frechet_distance",
        0.05,
    )
    assert ExtractorParams().kind == "autoencoder"
    assert ExtractorParams(kind="classifier", updates=300).identity()["updates"] == 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 19}, "samples"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"kid_size": 201}, "two thirds"),
        ({"margin": 2.0}, "margin"),
        ({"measure": "fid"}, "measure"),
        ({"margins": 0.1}, "margins"),
        ({"snapshot_samples": 19}, "snapshot_samples"),
        ({"inception": 7}, "inception"),
    ],
)
def test_bad_values_of_quality_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Quality(**{**QUALITY, **change})


def test_a_classifier_says_how_long_it_is_trained() -> None:
    with pytest.raises(ValidationError, match="updates"):
        ExtractorParams(kind="classifier")


def test_of_the_inception_file_only_its_presence_is_part_of_the_version() -> None:
    """There is one such file, whose checksum is known; where it lies decides nothing."""
    here, there = (Quality(**QUALITY, inception=path) for path in ("a.pth", "/b/c.pth"))
    assert here.identity() == there.identity() != Quality(**QUALITY).identity()
