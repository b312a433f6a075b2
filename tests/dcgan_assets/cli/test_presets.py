"""`dcgan presets`, its reasons, and the page that is written from the same data."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations

import pytest
from checkout import CHECKOUT

from dcgan_assets.assets.report.deviations import reasons
from dcgan_assets.cli.presets import compare_presets, list_presets, show_preset
from dcgan_models.errors import UserError
from dcgan_models.presets import PRESETS, Preset, preset
from docs.writers.deviations import DOCUMENT, document


def test_every_preset_is_listed_and_shown() -> None:
    assert [line.split()[0] for line in list_presets().splitlines()] == list(PRESETS)
    assert "1024x4x4" in show_preset("lsun64")
    assert "note: mnist28: generator layer 2" in show_preset("mnist28")
    assert "note:" not in show_preset("faces64")


def test_what_differs_is_printed_with_its_reason() -> None:
    text = compare_presets("faces64", "torch64")
    assert "* deconv  5x5 s2  512x8x8      norm  relu" in text
    assert "schedule: faces64 alternate, torch64 both" in text
    assert "D sees half of the" in text
    assert "z_dim" not in text


def test_presets_that_differ_in_epochs_alone() -> None:
    assert compare_presets("lsun64", "faces64").startswith("epochs: lsun64 5, faces64 25")
    assert "nothing" in compare_presets("lsun64", "lsun64")


@pytest.mark.parametrize("pair", list(combinations(PRESETS, 2)), ids="-".join)
def test_no_difference_goes_without_a_reason(pair: tuple[str, str]) -> None:
    one, other = map(preset, pair)
    silent = {"name", "source"}
    for field in fields(Preset):
        if getattr(one, field.name) != getattr(other, field.name) and field.name not in silent:
            assert reasons()[field.name]


def test_reasons_name_settings_that_exist() -> None:
    assert set(reasons()) <= {field.name for field in fields(Preset)}


def test_unknown_preset_is_one_line() -> None:
    with pytest.raises(UserError, match="unknown preset 'dcgan'; allowed: mnist28"):
        compare_presets("lsun64", "dcgan")


def test_the_page_on_deviations_is_written_from_the_data() -> None:
    written = (CHECKOUT / DOCUMENT).read_text(encoding="utf-8")
    assert written == document(), "run `python -m docs.writers`"
