"""Extractor, quality and the gate, with tiny networks, as a user makes them.

A candidate that is bad on purpose is a trained one into whose folder a recipe was laid: whoever
opens the generator gets pictures by the recipe. The rest is the real thing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from commands import materialize, materialize_well, meta, read_metadata, refusal
from PIL import Image
from small_group import small_candidate

import dcgan_models
from dcgan_assets.assets.publishing.contest import Contest
from dcgan_assets.engine.results import Result
from dcgan_assets.params.file import profile_text
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json, sha256_file, write_json
from dcgan_models.metrics.extractor import load_extractor
from dcgan_models.metrics.frechet import frechet_distance, moments
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.slow

Edit = Callable[[dict[str, Any]], object]
RECIPE = "recipe.json"
HELD, SEED, MARGIN = 60, 11, 0.2
SEEDS = (1, 2, 3, 4)  # of candidates
LAID_OVER = {"how": "laid over", "noise": 0.0}
CHECKS = ("not_memorised", "copies_found", "floor_below_candidate", "margin_resolved")
CHAIN = ["imagenet/candidate", "imagenet/quality", "imagenet/generator"]


def write_params(root: Path, edit: Edit = lambda imagenet: None) -> None:
    """The sample profile, cut until everything takes a moment; `edit` gets one group's section."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    group = params["imagenet"]
    group["images"].update(pictures=240, held_out=HELD)
    group["extractor"].update(epochs=20)
    group["candidate"].update(small_candidate(0.04, 32, 2))
    group["quality"].update(
        samples=HELD, kid_size=40, kid_subsets=5, snapshot_samples=20, seed=SEED, margin=MARGIN
    )
    group["samples"].update(rows=2, columns=5, epochs=[1])
    edit(group)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


# --- Generators by a recipe -------------------------------------------------------------------


def draw(recipe: dict[str, Any], train: Pixels, z: torch.Tensor) -> Pixels:
    """Pictures that a recipe makes of latents."""
    rng = np.random.default_rng(int(z.double().abs().sum() * 1e6))
    n, shape = len(z), train.shape[1:]
    noise = rng.integers(0, 256, (n, *shape))
    match recipe["how"]:
        case "noise":
            pictures = noise
        case "one mode":
            mixed = train[:2, ::-1].mean(axis=0, keepdims=True)
            pictures = np.repeat(mixed, n, axis=0)
        case "one colour":
            pictures = np.full((n, *shape), 90)
        case "copies":
            pictures = train[rng.integers(len(train), size=n)]
        case _:  # two training pictures, upside down, one over the other: mirrored ones were copies
            turned = train[:, ::-1].astype(float)
            one, other = (turned[rng.integers(len(train), size=n)] for _ in range(2))
            pictures = 0.75 * one + 0.25 * other
            pictures = (1 - recipe["noise"]) * pictures + recipe["noise"] * noise
    return pictures.astype(np.uint8)


@pytest.fixture(autouse=True, scope="module")
def _generators_by_recipe() -> Iterator[None]:
    """A folder with a recipe opens as the generator of those pictures."""
    real = dcgan_models.load_generator

    def load(
        folder: str | Path, *, weights: str = "weights.safetensors", device: str = "cpu"
    ) -> Any:
        generator = real(folder, weights=weights, device=device)
        path = Path(folder) / RECIPE
        if path.exists() and weights == "weights.safetensors":
            recipe = read_json(path)
            train = pictures_of(Path(recipe["root"]), "train")
            generator.draw = lambda z, labels=None, batch=0: draw(recipe, train, z)  # type: ignore
        return generator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dcgan_models, "load_generator", load)
        yield


def pictures_of(root: Path, split: str) -> Pixels:
    store = PixelStore.open(root / "data/imagenet/training_set", split)
    return store.gather(np.arange(len(store)))


def plant(root: Path, candidate: Path, recipe: dict[str, Any]) -> None:
    """Take a candidate that was trained with another seed, and lay a recipe into its folder."""
    folder = root / "models/imagenet/candidate"
    shutil.rmtree(folder)
    shutil.copytree(candidate, folder)
    path = folder / "generator" / RECIPE
    write_json(path, {**recipe, "root": str(root)})
    record = read_json(folder / "_meta.json")
    record["files"][f"generator/{RECIPE}"] = {
        "size": path.stat().st_size,
        "sha256": sha256_file(path),
    }
    write_json(folder / "_meta.json", record)


def retrained(root: Path, candidate: Path, recipe: dict[str, Any]) -> tuple[str, str]:
    """What publishing decided on a planted candidate, and why."""
    plant(root, candidate, recipe)
    assert materialize_well(root, "imagenet/generator") == CHAIN[1:]
    published = meta(root, "imagenet/generator")
    return read_metadata(published, "decision"), read_metadata(published, "reason")


@pytest.fixture(scope="module")
def root(module_root: Path) -> Path:
    """A workspace in which a first candidate was published as it was trained."""
    write_params(module_root)
    materialize_well(module_root, "imagenet/generator")
    return module_root


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    return Path(shutil.copytree(root, fast_disk / "copy"))


@pytest.fixture(scope="module")
def trained(root: Path, memory: str | None) -> Iterator[dict[int, Path]]:
    """Candidates of that workspace by their seeds, each trained once."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        copied = Path(shutil.copytree(root, Path(folder) / "trained"))
        found = {}
        for seed in SEEDS:
            materialize_well(copied, "imagenet/candidate", "--only", "--seed", str(seed))
            found[seed] = Path(folder) / f"{seed}"
            shutil.copytree(copied / "models/imagenet/candidate", found[seed])
        yield found


@pytest.fixture(scope="module")
def decent_root(root: Path, trained: dict[int, Path], memory: str | None) -> Iterator[Path]:
    """A workspace whose champion draws decent pictures."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        copied = Path(shutil.copytree(root, Path(folder) / "decent"))
        decision, _ = retrained(copied, trained[1], LAID_OVER)
        assert decision == "published the candidate"
        yield copied


@pytest.fixture
def decent(decent_root: Path, fast_disk: Path) -> Path:
    return Path(shutil.copytree(decent_root, fast_disk / "copy"))


# --- What is measured -------------------------------------------------------------------------


def test_a_healthy_first_candidate_is_published(root: Path) -> None:
    published = meta(root, "imagenet/generator")
    assert read_metadata(published, "decision") == "published the candidate"
    assert "a healthy candidate and no champion" in read_metadata(published, "reason")
    # Two epochs of a few minibatches are no training whose health could be told.
    assert "; not measured, for so short a training: d_loss" in read_metadata(published, "reason")
    assert "comparison" in published.metadata
    assert not (root / "models/imagenet/generator/best").exists()


def test_every_row_says_what_it_depends_on(root: Path) -> None:
    folder = root / "results/imagenet/quality"
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    extractor = load_extractor(root / "models/imagenet/extractor")
    held = len(pictures_of(root, "held_out"))  # all but those with a twin to train on
    assert HELD - 5 < held <= HELD
    assert {row["extractor"] for row in rows} >= {"pixels", extractor.name}
    for row in rows:
        assert row["split"] == "held_out"
        assert row["seed"] == SEED
        assert row["n_fake"] in {held, 20}
        assert row["resizer"] == ("none" if row["extractor"] == "pixels" else "area 32")
        assert (row["low"] is None) or row["low"] <= row["value"] <= row["high"]
    names = {row["name"] for row in rows if row["who"] == "candidate"}
    assert names >= {
        *("swd", "ms_ssim", "nearest_distance", "frechet_distance", "kernel_distance"),
        *("precision", "recall", "density", "coverage", "copied"),
    }
    # Each has real pictures in the generator's place, and an untrained network, as controls.
    floor = {row["name"] for row in rows if row["who"] == "training pictures"}
    assert floor == {n for n in names if "near" not in n and n != "copied"} | {"nearest_distance"}
    random = {row["name"] for row in rows if row["extractor"].startswith("random ")}
    assert random >= {"frechet_distance", "recall"}
    # The course of training: the snapshot and the end, by fewer pictures.
    assert {(row["epoch"], row["n_fake"]) for row in rows if row["epoch"]} == {(1, 20), (2, 20)}


def test_the_table_is_what_the_measures_make_of_the_published_pictures(root: Path) -> None:
    extractor = load_extractor(root / "models/imagenet/extractor")
    held = pictures_of(root, "held_out")
    drawn = dcgan_models.load_generator(root / "models/imagenet/generator").sample(len(held), SEED)
    expected = frechet_distance(*(moments(extractor.features(x)) for x in (held, drawn)))
    result = Result.read(root / "results/imagenet/quality")
    (row,) = (
        row
        for row in result.rows
        if row.name.startswith("candidate: frechet_distance, autoencoder")
    )
    assert row.value == pytest.approx(expected, rel=1e-4)
    assert row.n == len(held)
    assert row.interval
    assert row.paper is None, "the published numbers are of other data"
    assert f"extractor {extractor.name}; seed {SEED}" in row.source
    assert len({row.name for row in result.rows}) == len(result.rows)
    assert "inception" in result.notes


def test_there_are_pictures(root: Path) -> None:
    for name in ("figure", "course"):
        with Image.open(root / f"results/imagenet/quality/{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    figures = meta(root, "imagenet/quality").metadata["figures"]
    assert "figure.png" in figures
    assert "course.png" in figures


def test_the_checks_of_extractor_and_quality(root: Path) -> None:
    (check,) = meta(root, "imagenet/extractor").checks
    assert (check["check"], check["passed"]) == ("sees_damage", True)
    checks = {check["check"]: check["passed"] for check in meta(root, "imagenet/quality").checks}
    assert checks == dict.fromkeys(CHECKS, True)


# --- The gate ---------------------------------------------------------------------------------


def test_a_candidate_that_is_bad_on_purpose_keeps_the_champion(
    decent: Path, trained: dict[int, Path]
) -> None:
    champion = meta(decent, "imagenet/generator")
    for seed, how in enumerate(("noise", "one mode", "one colour"), 2):
        decision, reason = retrained(decent, trained[seed], {"how": how})
        assert decision == "kept the champion", how
        assert "is worse than the champion by more than the margin" in reason
        assert meta(decent, "imagenet/generator").data_version == champion.data_version


def test_a_copy_of_the_training_set_is_memorised_and_not_praised(
    decent: Path, trained: dict[int, Path]
) -> None:
    champion = meta(decent, "imagenet/generator")
    decision, reason = retrained(decent, trained[2], {"how": "copies"})
    assert decision == "kept the champion"
    assert "copies its training set" in reason
    assert meta(decent, "imagenet/generator").data_version == champion.data_version
    checks = {c["check"]: c["passed"] for c in meta(decent, "imagenet/quality").checks}
    assert not checks["not_memorised"]
    contest = Contest.read(decent / "results/imagenet/quality")
    assert contest.contenders["candidate"].copied > 0.1 > contest.contenders["champion"].copied


def noise_for(root: Path, distance: float) -> float:
    """How much noise brings the pictures of the recipe to a Fréchet distance."""
    extractor = load_extractor(root / "models/imagenet/extractor")
    held = moments(extractor.features(pictures_of(root, "held_out")))
    train = pictures_of(root, "train")
    preset = dcgan_models.load_generator(root / "models/imagenet/generator").preset
    z = dcgan_models.networks.draw_latents(preset, HELD, torch.Generator().manual_seed(SEED))
    low, high = 0.0, 1.0
    for _ in range(20):
        noise = (low + high) / 2
        pictures = draw({**LAID_OVER, "noise": noise}, train, z)
        found = frechet_distance(held, moments(extractor.features(pictures)))
        low, high = (noise, high) if found < distance else (low, noise)
    return low


def test_small_losses_do_not_add_up(decent: Path, trained: dict[int, Path]) -> None:
    """Each is within 20% of the last, which are allowed; all are held against the best."""
    contest = Contest.read(decent / "results/imagenet/quality")
    best = contest.contenders["candidate"].scores[0]
    folder = decent / "models/imagenet/generator"
    weights = (folder / "weights.safetensors").read_bytes()

    second = noise_for(decent, 1.07 * best)
    decision, reason = retrained(decent, trained[2], {**LAID_OVER, "noise": second})
    assert decision == "published the candidate", reason
    assert (folder / "weights.safetensors").read_bytes() != weights
    assert (folder / "best/weights.safetensors").read_bytes() == weights

    champion = meta(decent, "imagenet/generator")
    third = noise_for(decent, 1.26 * best)
    decision, reason = retrained(decent, trained[3], {**LAID_OVER, "noise": third})
    assert decision == "kept the champion"
    assert "the best recorded champion" in reason
    assert meta(decent, "imagenet/generator").data_version == champion.data_version
    scores = Contest.read(decent / "results/imagenet/quality").contenders
    assert scores["candidate"].mean < (1 + MARGIN) * scores["champion"].mean
    assert scores["best recorded champion"].scores[0] == pytest.approx(best)

    # The best one stays on record while others come and go.
    decision, _ = retrained(decent, trained[4], {**LAID_OVER, "noise": second})
    assert decision == "published the candidate"
    assert (folder / "best/weights.safetensors").read_bytes() == weights


def test_an_unhealthy_candidate_without_a_champion_is_one_line(copy: Path) -> None:
    shutil.rmtree(copy / "models/imagenet/generator")
    shutil.rmtree(copy / "models/imagenet/discriminator")
    write_params(copy, lambda group: group["candidate"].update(health={"diversity": 1.0}))
    line = refusal(materialize(copy, "imagenet/generator"))
    assert "the candidate is unhealthy: sample_diversity, and nothing is published yet" in line


def test_another_champion_than_the_measured_one_is_not_replaced(
    copy: Path, trained: dict[int, Path]
) -> None:
    """Somebody put other networks there between measuring and publishing."""
    plant(copy, trained[1], LAID_OVER)
    materialize_well(copy, "imagenet/quality", "--only")
    folder = copy / "models/imagenet/generator"
    record = read_json(folder / "_meta.json")
    (folder / "_meta.json").unlink()
    write_json(folder / "_meta.json", {**record, "data_version": "0" * 32})
    line = refusal(materialize(copy, "imagenet/generator", "--only"))
    assert "run `dcgan materialize imagenet/quality --force`" in line


# --- What is up to date -----------------------------------------------------------------------


def test_after_dvc_pull_nothing_is_trained_or_measured_anew(copy: Path) -> None:
    assert materialize(copy, "imagenet/generator").stdout.startswith("up to date: ")
    shutil.rmtree(copy / "models/imagenet/candidate")
    shutil.rmtree(copy / "results/imagenet/quality")
    assert materialize(copy, "imagenet/generator").stdout.startswith("up to date: ")
    # Who wants to see the numbers asks for them: the same candidate is trained and measured.
    assert materialize_well(copy, "imagenet/quality") == CHAIN[:2]
    assert materialize(copy, "imagenet/generator").stdout.startswith("up to date: ")


def test_another_margin_measures_again_and_trains_nothing(copy: Path) -> None:
    write_params(copy, lambda group: group["quality"].update(margin=0.1))
    assert materialize_well(copy, "imagenet/generator") == CHAIN[1:]
    reason = read_metadata(meta(copy, "imagenet/generator"), "reason")
    assert reason.startswith("the candidate and the champion are the same network")
    assert set(Contest.read(copy / "results/imagenet/quality").contenders) == {"candidate"}


def test_new_pictures_leave_the_extractor_as_it_is(copy: Path) -> None:
    before = meta(copy, "imagenet/extractor")
    write_params(copy, lambda group: group["images"].update(pictures=250))
    made = materialize_well(copy, "imagenet/generator")
    assert made[-3:] == CHAIN
    assert "imagenet/extractor" not in made
    assert meta(copy, "imagenet/extractor") == before
    contest = Contest.read(copy / "results/imagenet/quality")
    assert set(contest.contenders) == {"candidate", "champion"}


# --- Bad input --------------------------------------------------------------------------------


def test_with_nothing_held_out_the_champion_stays(copy: Path) -> None:
    def edit(group: dict[str, Any]) -> None:
        group["images"].update(held_out=0)
        group["training_set"].update(held_out=0.0)
        group["candidate"].update(learning_rate=0.001)  # another network

    champion = meta(copy, "imagenet/generator")
    write_params(copy, edit)
    told = materialize(copy, "imagenet/generator").stdout
    published = meta(copy, "imagenet/generator")
    assert read_metadata(published, "decision") == "kept the champion"
    words = "not measured: 0 held-out pictures, 20 are needed"
    assert read_metadata(published, "reason").startswith(words)
    assert published.data_version == champion.data_version
    result = Result.read(copy / "results/imagenet/quality")
    assert result.rows == []
    assert result.notes.startswith("Not measured: 0 held-out pictures, 20 are needed")
    assert (copy / "results/imagenet/quality/figure.png").exists()
    # What was not measured has not passed, and the command says so, now and when asked again.
    checks = meta(copy, "imagenet/quality").checks
    assert {(c["check"], c["passed"]) for c in checks} == {(name, False) for name in CHECKS}
    line = (
        f"imagenet/quality: check failed: {', '.join(CHECKS)} "
        "(by: nothing: too few are held out, held out: 0, needed: 20)"
    )
    assert line in told
    assert f"; kept the champion: {words}" in told
    assert line in materialize(copy, "imagenet/generator").stdout

    def daring(group: dict[str, Any]) -> None:
        edit(group)
        group["quality"].update(publish_unmeasured=True)

    write_params(copy, daring)
    folder = copy / "models/imagenet/generator"
    measured = (folder / "weights.safetensors").read_bytes()
    assert materialize_well(copy, "imagenet/generator") == CHAIN[1:]
    published = meta(copy, "imagenet/generator")
    assert read_metadata(published, "decision") == "published the candidate"
    assert "publish_unmeasured is true" in read_metadata(published, "reason")
    assert published.data_version != champion.data_version
    assert (folder / "best/weights.safetensors").read_bytes() == measured


def test_an_inception_file_that_is_not_there_is_one_line(copy: Path) -> None:
    write_params(copy, lambda group: group["quality"].update(inception="nowhere.pth"))
    line = refusal(materialize(copy, "imagenet/quality"))
    assert "nowhere.pth: no such file; the Inception weights" in line


def test_weights_of_another_extractor_are_refused(copy: Path) -> None:
    path = copy / "models/imagenet/extractor/extractor.json"
    content = read_json(path)
    path.unlink()
    write_json(path, {**content, "fingerprint": "0" * len(content["fingerprint"])})
    line = refusal(materialize(copy, "imagenet/quality", "--force", "--only"))
    assert "they do not belong together" in line
