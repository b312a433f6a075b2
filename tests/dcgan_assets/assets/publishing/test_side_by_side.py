"""`dcgan compare`: which publications, what is drawn, which scores stand beside one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from small_generator import publish_generator

from dcgan_assets.assets.publishing.side_by_side import choose_two, look_at, score_rows
from dcgan_assets.cli import main
from dcgan_assets.cli.common import find_catalogue
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.publications import KEPT, PUBLISHED, History
from dcgan_assets.engine.store import Artefact, Store
from dcgan_assets.params.file import profile_text
from dcgan_models import load_generator

LOSSES = "epoch,d_loss,g_loss\n0.5,1.5,0.5\n1.0,1.25,0.75\n"


def row(extractor: str = "autoencoder 12", **values: str | None) -> dict[str, Any]:
    """A line of the table by which was decided."""
    taken = {"n": "500 real, 500 others", "extractor": extractor, "seed": 11}
    return {"measure": "frechet_distance", **values, **taken, "interval": "95%"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    return tmp_path


def publish(
    root: Path,
    seed: int,
    decision: str,
    table: list[dict[str, Any]],
    preset: str = "lsun64",
    key: str = "lsun/generator",
) -> int:
    """Keep a generator of random weights as a publication of a group; its number."""
    place, group = root / f"elsewhere-{seed}", key.split("/", maxsplit=1)[0]
    publish_generator(place, group, preset, seed)
    store, artefact = Store(place), Artefact(f"{group}/generator", "models")
    with store.writing(artefact) as staging:
        store.keep(artefact, staging)
        (staging / "losses.csv").write_text(LOSSES)
        said = {"decision": decision, "candidate: frechet_distance": 300.0 + seed}
        said |= {"champion: frechet_distance": 200.0, "comparison": shown.table(table)}
        meta = store.meta(artefact)
        assert meta is not None
        facts = {"metadata": shown.encode(said), "data_version": store.content_version(staging)}
        meta = store.publish(staging, artefact, meta.model_copy(update=facts))
    meta = meta.model_copy(update={"key": key})
    return History(root).keep([meta], {key: store.folder(artefact)}, seed=seed).number


def call(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--root", str(root), "compare", *arguments])


def test_two_publications_side_by_side(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    publish(root, 1, PUBLISHED, [row(candidate="301 [290, 310.5]"), row("random 3", candidate="1")])
    publish(root, 2, KEPT, [row(candidate="400", champion="299 [288, 310]")])
    publish(root, 3, PUBLISHED, [row(candidate="250 [240, 260]"), row("random 9", candidate="2")])
    done = call(root, "lsun")
    assert done.exit_code == 0, done.output
    first, second, head, *rows, _, last = done.stdout.splitlines()
    assert first.startswith("publication 2 of lsun: ")
    assert second.startswith("publication 3 of lsun: ")
    assert head.split() == ["measure", "2", "3", "taken"]
    assert [line.split("  ")[0] for line in rows] == ["frechet_distance"] * 3
    # The champion that was kept is shown with its own score, not the candidate's.
    assert rows[0].split() == [
        "frechet_distance",
        "200",
        "303",
        "sets",
        "mean",
        "of",
        "the",
        "gate's",
    ]
    assert "299 [288, 310]  250 [240, 260]" in rows[1]
    assert "random 9" in rows[2]
    assert rows[2].split()[1:3] == ["-", "2"]
    assert last == "compare.png: pictures and losses of both"
    with Image.open(root / "compare.png") as image:
        assert image.format == "PNG"
        assert image.size == (1100, 850)
    assert call(root, "lsun", "-o", "compare.png").exit_code == 0, "it is replaced"


def test_the_same_as_json(root: Path) -> None:
    publish(root, 1, PUBLISHED, [row(candidate="301 [290, 310.5]")])
    publish(root, 2, PUBLISHED, [row(candidate="250") | {"training pictures": "8"}])
    done = call(root, "lsun", "2", "1", "--json", "-o", str(root / "c.png"))
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [said[side]["id"] for side in ("first", "second")] == [2, 1]
    assert [said[side]["seed"] for side in ("first", "second")] == [2, 1]
    assert said["same_latents"] is True
    assert said["picture"] == str(root / "c.png")
    (table,) = [one for one in said["scores"] if one.get("extractor") == "autoencoder 12"]
    assert table["first"] == {"value": 250.0, "low": None, "high": None}
    assert table["second"] == {"value": 301.0, "low": 290.0, "high": 310.5}


def test_both_draw_the_same_latents_where_both_take_such(root: Path) -> None:
    for seed in (1, 2):
        publish(root, seed, PUBLISHED, [row(candidate="1")])
    catalogue = find_catalogue(root)
    sides = [look_at(catalogue, one) for one in choose_two(catalogue, "lsun", ())]
    for seed, side in zip((1, 2), sides, strict=True):
        generator = load_generator(root / f"elsewhere-{seed}/models/lsun/generator")
        np.testing.assert_array_equal(side.pictures, generator.sample(64, 0))
        assert side.losses["g_loss"] == ([0.5, 1.0], [0.5, 0.75])
    assert sides[0].latents == sides[1].latents
    assert len(score_rows(sides)) == 2

    publish(root, 3, PUBLISHED, [row(candidate="1")], "mnist28")
    other = look_at(catalogue, History(root).read("lsun", 3))
    assert other.latents != sides[0].latents
    done = call(root, "lsun", "1", "3", "--json", "-o", str(root / "c.png"))
    assert json.loads(done.stdout)["same_latents"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("lsun", "1"), 2, "two IDs are compared, or none are named"),
        (("lsun", "1", "2", "3"), 2, "two IDs are compared, or none are named"),
        (("lsun", "one", "two"), 2, "'one' is not a valid integer"),
        (("lsun", "1", "7"), 1, "error: lsun: no publication 7; there are: 1"),
        (("lsun",), 1, "fewer than two versions of lsun/generator were published"),
        (("mnist", "1", "2"), 1, "1 is of mnist/generator and 2 is of mnist/fc_generator"),
        (("cats",), 1, "error: unknown asset or group 'cats'"),
        (("lsun", "1", "1", "-o", "models/c.png"), 1, "error: models: no such folder"),
        (("lsun", "1", "1", "-o", "c.jpg"), 1, "allowed are names ending in .png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_compared_is_one_line(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(root)
    publish(root, 1, PUBLISHED, [row(candidate="1")])
    if arguments[0] == "mnist":
        publish(root, 2, PUBLISHED, [row(candidate="1")], "mnist28", "mnist/generator")
        publish(root, 3, PUBLISHED, [row(candidate="1")], "mnist28", "mnist/fc_generator")
    done = call(root, *arguments)
    assert done.exit_code == code, done.output
    assert expected in done.stderr
    assert "Traceback" not in done.output
    assert not list(root.glob("*.png"))
