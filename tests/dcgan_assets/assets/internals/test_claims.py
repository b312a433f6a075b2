"""Judges and claims of a group of drawn rooms with tiny networks, as a user makes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from commands import figure, materialize, materialize_well, meta, refusal
from small_group import small_candidate

from dcgan_assets.annotate.files import Subject, read_concepts
from dcgan_assets.engine import results
from dcgan_assets.params.file import profile_text
from dcgan_models import load_generator
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json
from dcgan_models.metrics.judge import agree, load_judge

pytestmark = pytest.mark.slow

GROUP = "rooms"
FACTORS = ["window", "window_box", "bed", "lamp", "light"]


def write_params(root: Path, **changes: Any) -> None:
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    lsun = params["lsun"]
    rooms = {name: lsun[name] for name in ("training_set", "samples", "latent_walk")}
    rooms["images"] = {
        **{"source": "rooms", "pictures": 600, "held_out": 60},
        **{"size": 64, "shards": 1},
    }
    rooms["candidate"] = lsun["candidate"] | small_candidate(0.05, 24, 2)
    rooms["extractor"] = {"epochs": 2}
    rooms["quality"] = lsun["quality"] | {"samples": 60, "kid_size": 40, "snapshot_samples": 20}
    rooms["samples"] = {"rows": 1, "columns": 2, "epochs": [1]}
    rooms["judge"] = {"factors": FACTORS, "updates": 120, "batch": 32}
    rooms["claims"] = {
        **{"samples": 60, "repeats": 20, "forget": "window", "beside": ["bed"]},
        **{"expressions": ["window_lamp - nowindow_lamp + nowindow_nolamp"], "turn": "light"},
        **{"epochs": [1], "walks": 2, "filters": [0, 3]},
    }
    rooms["window_dropout"] = {"category": "window", "samples": 2, "controls": 2}
    rooms["vector_arithmetic"] = {"expressions": ["window_lamp - lamp + nolamp"], "draws": 4}
    rooms["explorer"] = {"samples": 4}
    rooms["turn_vector"] = {"start": "lowlight", "end": "highlight", "rows": 2, "steps": 2}
    for name, change in changes.items():
        rooms[name].update(change)
    params["groups"] = {GROUP: rooms}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(scope="module")
def root(module_root: Path) -> Path:
    """A workspace in which the claims were counted as far as so small networks let it."""
    write_params(module_root)
    materialize_well(module_root, f"{GROUP}/judge", f"{GROUP}/generator")
    return module_root


def test_both_judges_read_the_held_out_pictures(root: Path) -> None:
    folder = root / f"models/{GROUP}/judge"
    store = PixelStore.open(root / f"data/{GROUP}/training_set", "held_out")
    table = pq.read_table(root / f"data/{GROUP}/images/00/manifest.parquet").to_pylist()
    known = {row["key"]: row for row in table}
    windows = np.array([known[key]["factor.window"] for key in store.keys])
    assert 10 < windows.sum() < 50
    pictures = store.gather(range(len(store)))
    for name in ("picks", "reports"):
        judge = load_judge(folder / name)
        assert [factor.name for factor in judge.factors] == FACTORS
        read = judge.read(pictures)
        assert ((read["window"] > 0.5) == windows).mean() > 0.85
        assert len(agree(judge, pictures[:5], {n: read[n][:5] for n in FACTORS})) == len(FACTORS)
    one, other = (
        load_judge(folder / name).read(pictures)["light"] for name in ("picks", "reports")
    )
    assert not np.array_equal(one, other)


def test_claims_are_counted_or_refused_in_one_line(root: Path) -> None:
    """What so small a generator draws may have too few windows to box."""
    done = materialize(root, f"{GROUP}/claims")
    folder = root / f"results/{GROUP}/claims"
    if done.exit_code:
        assert "at least 2 pictures are needed" in done.output or "no boxes" in done.output
        write_params(root, claims={"forget": None})
        materialize_well(root, f"{GROUP}/claims")
    rows = {row.name: row for row in results.Result.read(folder).rows}
    truth = rows["window: of held-out pictures, truly"]
    assert truth.n == 60
    drawn = load_generator(root / f"models/{GROUP}/generator").sample(60, seed=10)
    read = load_judge(root / f"models/{GROUP}/judge/reports").read(drawn)
    share = 100 * float((read["window"] > 0.5).mean())
    assert rows["window: of samples"].value == pytest.approx(share, abs=0.001)
    real = rows["held-out pictures: distance from real pictures"].value
    noise = rows["an untrained generator: distance from real pictures"].value
    assert real is not None
    assert noise is not None
    assert real < noise
    assert figure(folder / "turn.png").shape == (5 * 64, 11 * 64, 3)
    assert figure(folder / "walk.png").shape == (2 * 2 * 64 + 4, 10 * 64, 3)
    for name in ("window: of samples after epoch 1", "walk: readings that are undecided"):
        assert rows[name].n
    undecided = rows["walk: readings that are undecided"]
    assert (undecided.n, undecided.interval) == (2, "95% t, over walks")
    assert rows["window: of samples, corrected"].n == 60
    assert sum("filter 3: pictures that fire it" in name for name in rows) == 2


def test_a_judge_below_its_bound_fails_the_claims_check_and_says_why(root: Path) -> None:
    """So short a training does not read boxes."""
    done = materialize(root, f"{GROUP}/claims", f"{GROUP}/judge")
    assert "judge_reads" in done.output
    assert "window_box" in done.output


def test_figures_are_of_what_the_judge_picked(root: Path) -> None:
    materialize_well(root, f"{GROUP}/vector_arithmetic", f"{GROUP}/turn_vector")
    version = meta(root, f"{GROUP}/generator").data_version
    generator = load_generator(root / f"models/{GROUP}/generator")
    subject = Subject.of(GROUP, version, generator)
    read = load_judge(root / f"models/{GROUP}/judge/picks").read(generator.draw(generator.fixed_z))
    turn = read_concepts(root / f"results/{GROUP}/turn_vector/concepts.json", subject)
    order = np.argsort(read["light"], kind="stable")
    assert turn.picked_by == "judge"
    assert set(turn.picks["lowlight"]) == set(order[:4].tolist())
    assert set(turn.picks["highlight"]) == set(order[-4:].tolist())
    figure_7 = read_concepts(root / f"results/{GROUP}/vector_arithmetic/concepts.json", subject)
    plain = np.flatnonzero(read["lamp"] > 0.9)[:3]
    assert set(figure_7.picks["lamp"]) >= set(plain.tolist())
    result = results.Result.read(root / f"results/{GROUP}/vector_arithmetic")
    assert "a judge did" in result.notes
    name = "window_lamp - lamp + nolamp: result, agreement with window_nolamp"
    assert name in {row.name for row in result.rows}


def test_words_and_boxes_that_no_judge_reads_are_one_line(root: Path) -> None:
    """A person may have named them, so params.yaml may; where none has, nothing picks."""
    for name, change, words in (
        ("vector_arithmetic", {"expressions": ["hat - nohat"]}, "nothing is judged as 'hat'"),
        ("turn_vector", {"start": "window", "end": "highwindow"}, "judged as 'highwindow'"),
        ("window_dropout", {"category": "bed"}, "no box of 'bed'; it reads those of: window"),
    ):
        write_params(root, **{name: change})
        line = refusal(materialize(root, f"{GROUP}/{name}"))
        assert words in line
        assert f"dcgan annotate {GROUP}" in line
    write_params(root)


def test_a_factor_that_the_manifest_does_not_know_is_one_line(fast_disk: Path) -> None:
    write_params(fast_disk, judge={"factors": [*FACTORS, "chimney"]})
    done = materialize(fast_disk, f"{GROUP}/judge")
    assert done.exit_code == 1
    assert "the manifest does not know 'chimney' of its pictures; it knows: window" in done.output


def test_the_page_has_what_the_judges_and_figures_know(root: Path) -> None:
    materialize_well(root, f"{GROUP}/explorer")
    folder = root / f"results/{GROUP}/explorer"
    text = (folder / "explorer.html").read_text("utf-8")
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    rows = {row.name: row for row in results.Result.read(folder).rows}
    flags_and_number = {name for name in FACTORS if not name.endswith("_box")}
    assert {"turn vector", *flags_and_number} == {move["label"] for move in data["moves"]}
    for move in data["moves"]:
        row = rows[f"{move['label']}: true of"]
        assert row.n == 200
        assert row.value == pytest.approx(100 * move["truth"]["share"])
    maps = read_json(root / f"results/{GROUP}/window_dropout/maps.json")
    assert data["forget"]["maps"] == maps["maps"]
    assert {"window", "nowindow", "lowlight", "highlight"} <= {one["name"] for one in data["words"]}
    assert rows["half precision: largest change of a value"].value <= 2
