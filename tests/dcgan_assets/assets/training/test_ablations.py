"""What the ablations say in words, and a group's, made from pictures to verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from commands import materialize_well
from PIL import Image
from small_group import CATS

from dcgan_assets.assets.training.ablations import ORIGINAL, verdict
from dcgan_assets.engine.results import Result
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.drawn.drawings import KINDS
from dcgan_models.training.ablations import GUIDELINES, Comparison


@pytest.mark.parametrize(
    ("difference", "p", "prefers", "words"),
    [
        (3, 0.01, "original", "supports the paper"),
        (-3, 0.01, "original", "contradicts the paper"),
        (-3, 0.01, "changed", "supports the paper"),
        (3, 0.01, "changed", "contradicts the paper"),
        (3, 0.06, "original", "cannot tell here"),
        (3, 0.05, None, "the change is worse"),
        (-3, 0.05, None, "the change is better"),
    ],
)
def test_a_verdict_is_of_a_difference_beyond_chance(
    difference: float, p: float, prefers: str | None, words: str
) -> None:
    found = Comparison(difference, difference - 1.5, difference + 1.5, p)
    told = f"{difference:+.4g}, {difference - 1.5:.4g} to {difference + 1.5:.4g}, p {p:.2g}"
    assert verdict(found, prefers) == f"{words} ({told})"


@pytest.mark.slow
def test_a_groups_guidelines_are_broken_one_by_one(tmp_path: Path) -> None:
    """Two seeds of one epoch tell nothing; every row, difference and verdict is there."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(120):
        Image.fromarray(KINDS["rooms"].draw(0, number, 64)).save(folder / f"{number:03d}.png")
    params = yaml.safe_load(profile_text("sample"))
    tried = {"preset": "lsun64", "size": 16, "width": 0.02, "batch": 8, "epochs": 1}
    tried |= {"decay_epochs": 0, "seeds": 2, "samples": 30}
    params["groups"] = {"cats": {**CATS, "ablations": tried}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert "cats/ablations" not in materialize_well(tmp_path, "cats")
    assert materialize_well(tmp_path, "cats/ablations") == ["cats/ablations"]
    result = Result.read(tmp_path / "results/cats/ablations")
    names = [one.name for one in GUIDELINES]
    expected = {f"{n}: {s}" for n in (ORIGINAL, *names) for s in ("Fréchet distance", "diversity")}
    assert {row.name for row in result.rows} == expected | {
        f"{name}: Fréchet distance, difference" for name in names
    }
    by_name = {row.name: row for row in result.rows}
    reference = by_name[f"{ORIGINAL}: Fréchet distance"].value
    for one in GUIDELINES:
        row = by_name[f"{one.name}: Fréchet distance, difference"]
        own = by_name[f"{one.name}: Fréchet distance"].value
        assert row.value == pytest.approx(own - reference, abs=0.01)
        assert row.source.startswith(f"{one.claim}: ")
        assert row.low <= row.value <= row.high
    assert {row.n for row in result.rows} == {2}
    assert (tmp_path / "results/cats/ablations/figure.png").exists()
