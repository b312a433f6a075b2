"""Sections on near-duplicates: what counts as one, and each mistake names its key."""

from __future__ import annotations

import pytest
from edited_params import params, profile, put, refusal, with_lsun

from dcgan_assets.params.dedup import Deduplication


def test_the_paper_removes_equal_codes() -> None:
    assert params(profile("paper")).lsun.manifest.bits == 0
    assert Deduplication(mode="exact", radius=5).bits == 0
    assert Deduplication(mode="near", radius=5).bits == 5


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dedup_autoencoder.epochs", 0, "greater than 0"),
        ("dedup_autoencoder.batch", 0, "greater than 0"),
        ("dedup_autoencoder.max_updates", 0, "greater than 0"),
        ("dedup_autoencoder.learning_rate", 0, "greater than 0"),
        ("dedup_autoencoder.learning_rate", float("nan"), "finite number"),
        ("dedup_autoencoder.probes", 2, "less than or equal to 1"),
        ("manifest.mode", "nearly", "'exact' or 'near'"),
        ("manifest.radius", 0, "greater than or equal to 1"),
        ("manifest.radius", 11, "less than or equal to 10"),
        ("dedup_report.probes", 0, "greater than 0"),
        ("dedup_report.pairs", "all", "integer"),
        ("dedup_report.verdict", "x.csv", "unknown key; allowed here: probes, pairs, verdicts"),
        ("nearest_training_images.neighbours", 0, "greater than 0"),
        ("nearest_training_images.shown", 0, "greater than 0"),
    ],
)
def test_sections_of_the_deduplication(key: str, value: object, words: str) -> None:
    line = refusal(with_lsun(lambda lsun: put(lsun, key, value)))
    assert line.startswith(f"lsun.{key}: ")
    assert words in line
