"""The section for quality: what it allows, and that bad values name their key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.params.publishing import Quality
from dcgan_models.metrics.gate import Rule

QUALITY: dict[str, Any] = {
    "samples": 300,
    "kid_size": 200,
    "snapshot_samples": 100,
}


def test_defaults() -> None:
    quality = Quality(**QUALITY)
    assert (quality.measure, quality.margin) == ("frechet_distance", 0.05)
    assert not quality.publish_unmeasured
    assert quality.rule("swd", 3.0) == Rule("swd", 0.05, 3.0, 0.03, sets=10, most_sets=200)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 19}, "samples"),
        ({"sets": 1}, "sets"),
        ({"sets": 11, "most_sets": 10}, "`most_sets` at most"),
        ({"publish_unmeasured": "perhaps"}, "publish_unmeasured"),
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


def test_of_the_inception_file_only_its_presence_is_part_of_the_version() -> None:
    """There is one such file, whose checksum is known; where it lies decides nothing."""
    here, there = (Quality(**QUALITY, inception=path) for path in ("a.pth", "/b/c.pth"))
    assert here.identity() == there.identity() != Quality(**QUALITY).identity()
