"""Figures 5 to 8 of a user's group with tiny networks, through `dcgan materialize`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from commands import (
    figure,
    materialize,
    materialize_well,
    meta,
    read_metadata,
    refusal,
)
from shown_figures import check_shown_figures
from small_group import small_candidate

from dcgan_assets.annotate.files import Box, Boxes, Concepts, Subject, read_boxes, read_concepts
from dcgan_assets.annotate.files import write_boxes as write_coco
from dcgan_assets.annotate.files import write_concepts as write_picks
from dcgan_assets.engine import results
from dcgan_assets.params.file import profile_text
from dcgan_models import load_discriminator, load_generator
from dcgan_models.data import PixelStore
from dcgan_models.internals.attribution import likeness, visualise_filters
from dcgan_models.networks import (
    Generator,
    draw_latents,
    fix_statistics,
    untrained_discriminator,
)
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.slow

GROUP, SIDE = "cats", 64
WORDS = "warm_bright - cool_bright + cool_dark"
FIGURES = ["guided_backprop", "turn_vector", "vector_arithmetic", "window_dropout"]
SECTIONS: dict[str, Any] = {
    "guided_backprop": {"filters": [0, 2, 3], "hits": 4},
    "window_dropout": {"category": "window", "samples": 3, "controls": 3},
    "vector_arithmetic": {"expressions": [WORDS, "left - right"], "draws": 16},
    "turn_vector": {"start": "left", "end": "right", "rows": 2, "steps": 2},
}


def write_params(root: Path, **changes: dict[str, Any]) -> None:
    """A group of 120 crops, networks that train in moments; `changes` go into its sections."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    lsun = params["lsun"]
    cats = {name: lsun[name] for name in ("training_set", "samples", "latent_walk")}
    cats["images"] = {"source": "photographs", "pictures": 120, "size": SIDE, "shards": 1}
    cats["candidate"] = lsun["candidate"] | small_candidate(0.05, 24, 3)
    cats["extractor"] = {"epochs": 1}
    cats["quality"] = lsun["quality"] | {"samples": 24, "kid_size": 16, "snapshot_samples": 20}
    cats["samples"] = {"rows": 1, "columns": 2, "epochs": [1]}
    cats |= {name: {**section, **changes.get(name, {})} for name, section in SECTIONS.items()}
    params["groups"] = {GROUP: cats}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(scope="module")
def root(module_root: Path) -> Path:
    """A workspace in which the figures were made; tests change nothing in it."""
    write_params(module_root)
    made = materialize_well(module_root, *(f"{GROUP}/{name}" for name in FIGURES))
    assert made[-4:] == [f"{GROUP}/{name}" for name in FIGURES]
    return module_root


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    return Path(shutil.copytree(root, fast_disk / "copy"))


@pytest.fixture(scope="module")
def generator(root: Path) -> Generator:
    return load_generator(root / f"models/{GROUP}/generator")


@pytest.fixture(scope="module")
def z(generator: Generator) -> torch.Tensor:
    assert generator.fixed_z is not None
    return generator.fixed_z


@pytest.fixture(scope="module")
def subject(root: Path, z: torch.Tensor) -> Subject:
    return Subject(GROUP, meta(root, f"{GROUP}/generator").data_version, len(z), SIDE, SIDE)


def place(root: Path, name: str) -> Path:
    return root / "results" / GROUP / name


def found(root: Path, name: str) -> results.Result:
    result = results.Result.read(place(root, name))
    assert result.stand_in
    assert len({row.name for row in result.rows}) == len(result.rows)
    return result


def rows_of(root: Path, name: str) -> dict[str, results.Row]:
    return {row.name: row for row in found(root, name).rows}


def concepts_file(root: Path) -> Path:
    return root / f"annotations/{GROUP}/concepts.json"


def boxes_file(root: Path) -> Path:
    return root / f"annotations/{GROUP}/boxes.coco.json"


def contains(sheet: Pixels, part: npt.NDArray[Any], within: int = 0) -> bool:
    """Whether a part stands somewhere in a sheet, every level within so many."""
    height, width, _ = part.shape
    rows, columns = sheet.shape[0] - height + 1, sheet.shape[1] - width + 1
    y, x = height // 2, width // 2
    middles = sheet[y : y + rows, x : x + columns].astype(int)
    likely = np.argwhere(np.abs(middles - part[y, x].astype(int)).max(axis=2) <= within)
    return any(
        np.abs(sheet[y : y + height, x : x + width].astype(int) - part).max() <= within
        for y, x in likely
    )


# --- The figures themselves -------------------------------------------------------------------


def test_figure_5_is_of_the_published_discriminator_and_of_one_that_never_learned(
    root: Path,
) -> None:
    discriminator = load_discriminator(root / f"models/{GROUP}/discriminator")
    store = PixelStore.open(root / f"data/{GROUP}/training_set", "train")
    pictures = store.gather(np.arange(len(store)))
    fix_statistics(discriminator, pictures)
    networks = {"trained D": discriminator}
    networks["random D"] = untrained_discriminator(discriminator.preset, pictures, 5)
    shown = figure(place(root, "guided_backprop") / "figure.png")
    rows = rows_of(root, "guided_backprop")
    assert len(rows) == 4
    for name, network in networks.items():
        expected = visualise_filters(network, pictures, (0, 2, 3), k=4)
        for what, words in (("tiles", "guided tiles"), ("crops", "crops")):
            tiles = getattr(expected, what)
            row = np.concatenate(list(tiles[1]), axis=1)
            assert row.shape == (61, 4 * 61, 3)
            assert contains(shown, row), (name, what)
            alike = rows[f"{name}: likeness of {words}"]
            assert alike.value == pytest.approx(likeness(tiles, expected.neutral).mean(), abs=1e-3)
            assert alike.n == 3


def test_every_figure_is_shown_by_its_address(root: Path) -> None:
    check_shown_figures(root)


def test_figure_6_has_the_same_z_with_and_without_the_maps(
    root: Path, generator: Generator, subject: Subject
) -> None:
    rng = torch.Generator().manual_seed(6)
    before = generator.draw(draw_latents(generator.preset, 3, rng))
    shown = figure(place(root, "window_dropout") / "figure.png")
    assert contains(shown, np.concatenate(list(before), axis=1))
    rows = rows_of(root, "window_dropout")
    boxes = read_boxes(place(root, "window_dropout") / "boxes.coco.json", subject)
    assert (rows["boxes"].value, rows["boxes"].paper, rows["boxes"].n) == (
        len(boxes.boxes),
        52,
        150,
    )
    assert boxes.samples == tuple(range(150))
    assert {box.name for box in boxes.boxes} == {"bright_spot"}
    dropped, control = rows["maps dropped"], rows["random maps: inside over outside"]
    assert dropped.value is not None
    assert dropped.n == 26  # 512 at this width
    assert 0 < dropped.value < 26
    assert dropped.paper == 200
    assert None not in (control.low, control.value, control.high)
    assert control.low <= control.value <= control.high  # type: ignore[operator]
    assert control.n == 3
    accuracy = rows["held-out accuracy"]
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0 <= accuracy.low <= accuracy.high <= 100
    assert 50 <= (rows["chance"].value or 0) < 100


def test_figure_7_is_the_expression_of_the_means(
    root: Path, generator: Generator, z: torch.Tensor, subject: Subject
) -> None:
    concepts = read_concepts(place(root, "vector_arithmetic") / "concepts.json", subject)
    assert {len(rows) for rows in concepts.picks.values()} == {3}
    warm, bright, dark = (
        z[list(concepts.picks[name])].mean(0)
        for name in ("warm_bright", "cool_bright", "cool_dark")
    )
    shown = figure(place(root, "vector_arithmetic") / "figure.png")
    for latent in (warm - bright + dark, warm, dark):
        drawn = generator.draw(latent[None])[0].astype(int)
        assert contains(shown, drawn, within=1)  # drawn in another batch
    rows = rows_of(root, "vector_arithmetic")
    one, three = (rows[f"{WORDS}: scale, {n} a concept"] for n in ("1 exemplar", "3 exemplars"))
    assert one.value is not None
    assert three.value is not None
    assert three.value < one.value
    assert one.n == three.n == 16
    assert f"{WORDS}: result, agreement with warm_dark" in rows
    assert "left - right: result, agreement with left" in rows
    assert figure(place(root, "vector_arithmetic") / "spread.png").shape[1] == 16 * SIDE


def test_figure_8_has_the_sample_in_the_middle(
    root: Path, generator: Generator, z: torch.Tensor, subject: Subject
) -> None:
    concepts = read_concepts(place(root, "turn_vector") / "concepts.json", subject)
    exemplars = {row for rows in concepts.picks.values() for row in rows}
    assert len(concepts.picks["left"]) == len(concepts.picks["right"]) == 4
    turned = [row for row in range(len(z)) if row not in exemplars][:2]
    vector = z[list(concepts.picks["right"])].mean(0) - z[list(concepts.picks["left"])].mean(0)
    shown = figure(place(root, "turn_vector") / "figure.png")
    assert shown.shape[1] == 5 * SIDE + 2 * 4
    last = shown[-SIDE:].astype(int)  # the last row: two, a line, one, a line, two
    starts = [0, SIDE, 2 * SIDE + 4, 3 * SIDE + 8, 4 * SIDE + 8]
    for start, t in zip(starts, (-1, -0.5, 0, 0.5, 1), strict=True):
        (expected,) = generator.draw((z[turned[1]] + t * vector)[None]).astype(int)
        np.testing.assert_allclose(last[:, start : start + SIDE], expected, atol=1)
    rows = rows_of(root, "turn_vector")
    left, right = (rows[f"end of {side}: agreement with right"] for side in ("left", "right"))
    assert left.value is not None
    assert right.value is not None
    assert left.value < right.value


# --- Whose picks ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES[1:])
def test_what_a_rule_picked_says_so(root: Path, name: str) -> None:
    assert read_metadata(meta(root, f"{GROUP}/{name}"), "picked_by") == "auto"
    assert "Nobody has picked" in found(root, name).notes
    published = next(place(root, name).glob("*co*.json"))
    content = json.loads(published.read_text("utf-8"))
    assert content.get("info", content)["picked_by"] == "auto"


def test_a_persons_picks_win_and_only_what_reads_them_is_made_anew(
    copy: Path, subject: Subject
) -> None:
    before = figure(place(copy, "vector_arithmetic") / "figure.png")
    names = ("warm_bright", "cool_bright", "cool_dark", "left", "right")
    picks = {name: tuple(range(3 * n, 3 * n + 3)) for n, name in enumerate(names)}
    write_picks(concepts_file(copy), Concepts(subject.generator, "person", picks), GROUP)
    every = [f"{GROUP}/{name}" for name in FIGURES]
    assert set(materialize_well(copy, *every)) == {
        f"{GROUP}/turn_vector",
        f"{GROUP}/vector_arithmetic",
    }
    for name in ("turn_vector", "vector_arithmetic"):
        used = read_concepts(place(copy, name) / "concepts.json", subject)
        assert (used.picked_by, dict(used.picks)) == ("person", picks)
        assert read_metadata(meta(copy, f"{GROUP}/{name}"), "picked_by") == "person"
        assert "Nobody has picked" not in found(copy, name).notes
        assert not any("agreement" in row for row in rows_of(copy, name))
    assert not np.array_equal(figure(place(copy, "vector_arithmetic") / "figure.png"), before)
    assert materialize(copy, *every).stdout.startswith("up to date: ")
    concepts_file(copy).unlink()
    materialize_well(copy, f"{GROUP}/vector_arithmetic")
    again = figure(place(copy, "vector_arithmetic") / "figure.png")
    np.testing.assert_array_equal(again, before)


def test_the_figure_says_who_picked(copy: Path, subject: Subject) -> None:
    """The same boxes, by a person: the same picture under another caption."""
    before = figure(place(copy, "window_dropout") / "figure.png")
    published = read_boxes(place(copy, "window_dropout") / "boxes.coco.json", subject)
    boxes = tuple(Box(b.sample, "window", b.x, b.y, b.width, b.height) for b in published.boxes)
    other = Box(0, "lamp", 0, 0, 9, 9)
    mine = Boxes(subject.generator, "person", published.samples, (other, *boxes))
    write_coco(boxes_file(copy), mine, subject)
    assert materialize_well(copy, f"{GROUP}/window_dropout") == [f"{GROUP}/window_dropout"]
    after = figure(place(copy, "window_dropout") / "figure.png")
    np.testing.assert_array_equal(after[-SIDE:], before[-SIDE:])
    assert not np.array_equal(after[:20, : after.shape[1]], before[:20, : before.shape[1]])
    used = read_boxes(place(copy, "window_dropout") / "boxes.coco.json", subject)
    assert used.boxes == boxes, "only those of the category"
    assert read_metadata(meta(copy, f"{GROUP}/window_dropout"), "picked_by") == "person"


# --- Bad input: one line, and what stood stands -----------------------------------------------


def refuse(copy: Path, name: str, *words: str) -> None:
    before = {path: path.read_bytes() for path in place(copy, name).iterdir()}
    line = refusal(materialize(copy, f"{GROUP}/{name}"))
    for word in words:
        assert word in line
    assert {path: path.read_bytes() for path in place(copy, name).iterdir()} == before


def test_picks_for_another_generator_are_refused(copy: Path, subject: Subject) -> None:
    other = "0" * 32
    write_picks(concepts_file(copy), Concepts(other, "person", {"left": (1, 2, 3)}), GROUP)
    words = ("concepts.json: made for generator 0000", "published is", f"dcgan annotate {GROUP}")
    refuse(copy, "turn_vector", *words)
    boxes = Boxes(other, "person", (0, 1), (Box(0, "window", 1, 1, 9, 9),))
    write_coco(boxes_file(copy), boxes, subject)
    refuse(copy, "window_dropout", "boxes.coco.json: made for generator", "move the file away")


def test_concepts_that_are_unknown_empty_or_few_are_named(copy: Path, subject: Subject) -> None:
    for picks, name, words in (
        ({"smiling": (1, 2, 3)}, "turn_vector", ("concepts.json", "concept 'left'", "smiling")),
        ({"left": (), "right": (1,)}, "turn_vector", ("'left' has 0 picks", "left, right")),
        (
            dict.fromkeys(("warm_bright", "cool_bright", "cool_dark"), (1, 2)),
            "vector_arithmetic",
            ("'warm_bright' has 2 picks, at least 3", "cool_bright, cool_dark, warm_bright"),
        ),
    ):
        write_picks(concepts_file(copy), Concepts(subject.generator, "person", picks), GROUP)
        refuse(copy, name, *words)


def test_boxes_that_cannot_be_used_are_named(copy: Path, subject: Subject) -> None:
    lamp = Boxes(subject.generator, "person", (0, 1), (Box(0, "lamp", 1, 1, 9, 9),))
    write_coco(boxes_file(copy), lamp, subject)
    refuse(copy, "window_dropout", "no box of category 'window'", "categories with boxes: lamp")
    content = json.loads(boxes_file(copy).read_text("utf-8"))
    content["annotations"][0]["bbox"] = [60, 1, 9, 9]
    boxes_file(copy).write_text(json.dumps(content), "utf-8")
    refuse(copy, "window_dropout", "annotations.0", "leaves the picture of 64x64")
    boxes_file(copy).write_text("not json", "utf-8")
    refuse(copy, "window_dropout", "boxes.coco.json: not JSON")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("guided_backprop", {"filters": [51]}, ("filters asked for: 51", "0 to 50")),
        ("guided_backprop", {"hits": 500}, ("500 hits", "1 to the")),
        ("window_dropout", {"layer": 9}, ("layer 9", "2 (26 of 8x8)")),
        (
            "vector_arithmetic",
            {"expressions": ["smiling_woman - left"]},
            ("concepts.json is missing", "'smiling'", "words are: bright", "dcgan annotate cats"),
        ),
    ],
    ids=str,
)
def test_settings_that_the_networks_do_not_have(
    copy: Path, name: str, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    write_params(copy, **{name: change})
    refuse(copy, name, *words)
