"""imagenet, cifar10 and svhn with tiny networks, from pictures to Table 1, as a user makes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from click.testing import CliRunner
from commands import figure, materialize, materialize_well, meta, read_metadata, refusal, tiles
from PIL import Image
from shown_figures import check_shown_figures
from sklearn.svm import LinearSVC
from small_group import small_candidate

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.engine import results
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_models import load_discriminator, load_generator
from dcgan_models.classification.feature_table import FeatureTable
from dcgan_models.classification.features import feature_blocks, feature_count
from dcgan_models.classification.protocols import split_rows
from dcgan_models.files import read_json
from dcgan_models.networks import Discriminator, Generator, fix_statistics, initialise
from dcgan_models.pixels import Pixels
from dcgan_models.presets import preset

pytestmark = pytest.mark.slow

TRAIN, TEST, PER_CLASS = 200, 100, 8
GROUPS = ("imagenet", "cifar10", "svhn")


def write_params(
    root: Path, edit: Callable[[dict[str, Any]], object] = lambda params: None
) -> None:
    """The sample profile, cut until everything takes a moment."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    params["imagenet"]["images"].update(pictures=120, held_out=20)
    params["imagenet"]["samples"].update(rows=2, columns=5)
    params["imagenet"]["extractor"].update(epochs=2)
    params["svhn"]["extractor"].update(updates=5)
    for group in ("imagenet", "svhn"):
        params[group]["candidate"].update(small_candidate(0.04, 32, 2))
        params[group]["samples"]["epochs"] = [1]
    for group in ("cifar10", "svhn"):
        params[group]["images"].update(train=TRAIN, test=TEST)
        params[group]["features"]["parquet"] = True
        params[group]["svm_scores"].update(
            costs=[0.001, 0.01],
            validation=50,
            per_class=PER_CLASS,
            choosing_draws=2,
            draws=3,
            curve=[2, 4],
            curve_draws=2,
            random_networks=2,
        )
        params[group]["supervised_cnn"].update(
            width=0.04, epochs=2, trials=2, validation=50, per_class=PER_CLASS
        )
    params["svhn"]["features"]["validation"] = 50
    edit(params)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(scope="module")
def root(module_root: Path) -> Path:
    """A workspace in which the three groups were made; tests change nothing in it."""
    write_params(module_root)
    materialize_well(module_root, *GROUPS)
    return module_root


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    return Path(shutil.copytree(root, fast_disk / "copy"))


def rows_of(root: Path, asset: str) -> dict[str, results.Row]:
    found = results.Result.read(root / "results" / asset)
    assert (found.asset, found.stand_in) == (asset, True)
    assert len({row.name for row in found.rows}) == len(found.rows)
    # No error among accuracies.
    assert len({row.measure == "accuracy" for row in found.rows if row.measure}) == 1
    return {row.name: row for row in found.rows}


def pictures_of(root: Path, group: str) -> tuple[Pixels, list[dict[str, Any]]]:
    folder = root / "data" / group / "images"
    return np.load(folder / "pixels_32.npy"), pq.read_table(folder / "manifest.parquet").to_pylist()


def test_all_is_up_to_date_afterwards(root: Path) -> None:
    done = materialize(root, *GROUPS)
    assert done.exit_code == 0
    assert done.stdout.startswith("up to date: ")


@pytest.mark.parametrize("group", ["cifar10", "svhn"])
def test_ten_classes_are_in_both_splits(root: Path, group: str) -> None:
    pixels, rows = pictures_of(root, group)
    assert pixels.shape == (TRAIN + TEST, 32, 32, 3)
    for split, count in (("train", TRAIN), ("test", TEST)):
        labels = [row["label"] for row in rows if row["split"] == split]
        assert np.bincount(labels, minlength=10).tolist() == [count // 10] * 10
    folder = root / "data" / group / "images"
    assert read_json(folder / "origin.json")["stand_in"] is True
    facts = read_json(folder / "shard.json")
    assert len(facts["classes"]) == 10
    assert facts["size"] == 32


def test_the_gan_of_svhn_never_sees_a_test_picture(root: Path) -> None:
    index = pq.read_table(root / "data/svhn/training_set/index.parquet").to_pylist()
    split = {row["key"]: row["split"] for row in pictures_of(root, "svhn")[1]}
    assert {row["split"] for row in index if split[row["key"]] == "test"} == {"test"}
    trained = {row["split"] for row in index if split[row["key"]] == "train"}
    assert trained <= {"train", "held_out"}


@pytest.mark.parametrize(
    ("group", "whose"), [("cifar10", "imagenet"), ("svhn", "svhn")], ids=["cifar10", "svhn"]
)
def test_features_are_those_of_the_named_discriminator(root: Path, group: str, whose: str) -> None:
    pixels, rows = pictures_of(root, group)
    discriminator = load_discriminator(root / "models" / whose / "discriminator")
    splits = np.array([row["split"] for row in rows])
    # As in the authors' code for SVHN: what C is chosen on is in no statistics.
    chosen = split_rows(splits, 50, 42).pool if group == "svhn" else splits == "train"
    fix_statistics(discriminator, pixels[np.array([row["row"] for row in rows])[chosen]])
    expected = np.concatenate(list(feature_blocks(discriminator, pixels)))

    folder = root / "data" / group / "features"
    table = FeatureTable.open(folder)
    assert table.columns.num_rows == feature_count(discriminator.preset)
    assert table.keys.to_pylist() == [row["key"] for row in rows]
    assert table.labels.tolist() == [row["label"] for row in rows]
    assert table.splits.tolist() == [row["split"] for row in rows]
    found = table.gather(np.arange(len(table)))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    exported = pq.read_table(folder / "features.parquet")
    np.testing.assert_array_equal(np.array(exported["features"].to_pylist(), np.float16), found)
    lineage = read_metadata(meta(root, f"{group}/features"), "dagster/column_lineage")
    layers = len(set(table.columns["layer"].to_pylist()))
    assert len(lineage.deps_by_column["features"]) == layers
    assert Image.open(folder / "neighbours.png").size == (32 * 10 + 4, 320)


def test_table_1_is_what_linear_svc_finds(root: Path) -> None:
    rows = rows_of(root, "cifar10/svm_scores")
    own = rows["trained D, all labels"]
    cost = float(own.source.removeprefix("L2-SVM, C = "))
    table = FeatureTable.open(root / "data/cifar10/features")
    train, test = (table.rows(split) for split in ("train", "test"))
    features = table.gather(np.arange(len(table))).astype(np.float64)
    model = LinearSVC(C=cost, tol=1e-6, max_iter=50_000).fit(features[train], table.labels[train])
    accuracy = 100 * (model.predict(features[test]) == table.labels[test]).mean()
    assert own.value == pytest.approx(accuracy, abs=1.01)
    assert own.n == TEST
    assert own.low is not None
    assert own.high is not None
    assert own.low < accuracy < own.high


def test_the_papers_numbers_stand_beside_ours(root: Path) -> None:
    cifar, svhn = (rows_of(root, f"{group}/svm_scores") for group in ("cifar10", "svhn"))
    assert cifar["trained D, all labels"].paper == 82.8
    assert cifar[f"trained D, {PER_CLASS} a class"].paper == 73.8
    assert cifar["Exemplar CNN, 400 a class"].paper == 77.4
    assert svhn[f"trained D, {PER_CLASS} a class"].paper == 22.48
    assert svhn["SWWAE with dropout, 100 a class"].paper == 23.56
    assert all(row.paper is None for name, row in cifar.items() if name.startswith("random D"))
    # Three draws by two networks with random weights.
    assert cifar[f"random D, {PER_CLASS} a class"].n == 6
    layers = {name for name in cifar if "layer" in name and name.startswith("trained D")}
    assert len(layers) == 6
    for group in ("cifar10", "svhn"):
        assert figure(root / f"results/{group}/svm_scores/figure.png").shape[1] > 800
        left = {path.name for path in (root / f"results/{group}/svm_scores").iterdir()}
        assert left == {"result.json", "metrics.json", "figure.png", "_meta.json"}


@pytest.mark.parametrize(("group", "measure"), [("svhn", "error"), ("cifar10", "accuracy")])
def test_the_supervised_network_is_the_best_trial(root: Path, group: str, measure: str) -> None:
    rows = rows_of(root, f"{group}/supervised_cnn")
    name = f"supervised CNN, {PER_CLASS} a class"
    row, tested = rows[f"{name}, best validation {measure}"], rows[f"{name}, test {measure}"]
    trials = pq.read_table(root / f"results/{group}/supervised_cnn/trials.parquet").to_pylist()
    assert len(trials) == 2
    best = 100 * min(trial["validation_error"] for trial in trials)
    expected = best if measure == "error" else 100 - best
    assert row.value == pytest.approx(expected, abs=0.01)
    assert (row.paper, row.n) == (28.87 if group == "svhn" else None, 50)
    assert (tested.paper, tested.n) == (None, TEST)
    notes = results.Result.read(root / f"results/{group}/supervised_cnn").notes
    assert ("whose error the paper gives" in notes) == (group == "svhn")


def test_figure_11_begins_with_what_d_finds_most_real(root: Path) -> None:
    shown = tiles(figure(root / "results/imagenet/samples/figure.png"), 2, 5).reshape(10, 32, 32, 3)
    generator = load_generator(root / "models/imagenet/generator")
    discriminator = load_discriminator(root / "models/imagenet/discriminator").train()
    drawn = generator.draw(generator.fixed_z[:10])
    signed = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
    scores = discriminator(signed).detach().flatten().numpy()
    np.testing.assert_array_equal(shown, drawn[np.argsort(-scores, kind="stable")])
    assert "by D's score" in meta(root, "imagenet/samples").metadata["order"]


def test_every_figure_is_shown_by_its_address(root: Path) -> None:
    check_shown_figures(root)


def test_samples_may_stay_in_the_order_drawn(copy: Path) -> None:
    write_params(copy, lambda params: params["imagenet"]["samples"].update(order="drawn"))
    materialize_well(copy, "imagenet/samples")
    shown = tiles(figure(copy / "results/imagenet/samples/figure.png"), 2, 5).reshape(10, 32, 32, 3)
    generator = load_generator(copy / "models/imagenet/generator")
    np.testing.assert_array_equal(shown, generator.draw(generator.fixed_z[:10]))


# --- The authors' own networks ----------------------------------------------------------------


def write_released(folder: Path) -> None:
    """Networks of the authors' shapes in the authors' form."""
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    for network, name in (
        (Generator(preset("svhn32")), "200_gen_params.jl"),
        (Discriminator(preset("svhn32")), "200_discrim_params.jl"),
    ):
        initialise(network, rng)
        for number, parameter in enumerate(network.parameters(), 1):
            array = parameter.detach().numpy()
            if array.ndim == 2:
                array = array.T
            elif array.ndim == 4:
                array = array[:, :, ::-1, ::-1]
            np.save(folder / f"{name}_{number:02d}.npy", np.ascontiguousarray(array))


def released(params: dict[str, Any]) -> None:
    params["svhn"]["features"]["discriminator"] = "released:authors"


def test_the_authors_networks_need_no_training(copy: Path) -> None:
    write_released(copy / "authors")
    write_params(copy, released)
    step = open_catalogue(Workspace(copy)).by_key["svhn/features"]
    assert step.inputs == ("svhn/images",)
    assert materialize_well(copy, "svhn/features") == ["svhn/features"]
    assert FeatureTable.open(copy / "data/svhn/features").columns.num_rows == 7168
    before = meta(copy, "svhn/features").fingerprint
    (copy / "authors" / "200_discrim_params.jl_02.npy").touch()
    assert materialize_well(copy, "svhn/features") == ["svhn/features"]
    assert meta(copy, "svhn/features").fingerprint != before

    out = copy / "drawn.png"
    done = CliRunner().invoke(
        main, ["--root", str(copy), "sample", "svhn", "-n", "4", "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "4 pictures by the authors' SVHN generator" in done.output
    assert figure(out).shape == (64, 64, 3)


def test_authors_arrays_that_are_not_whole_are_named(copy: Path) -> None:
    write_released(copy / "authors")
    (copy / "authors" / "200_discrim_params.jl_07.npy").unlink()
    write_params(copy, released)
    line = refusal(materialize(copy, "svhn/features"))
    assert "200_discrim_params.jl_07.npy is missing" in line


def test_imagenets_networks_may_look_at_svhn_and_draw_for_it(copy: Path) -> None:
    write_params(copy, lambda p: p["svhn"]["features"].update(discriminator="imagenet"))
    assert open_catalogue(Workspace(copy)).by_key["svhn/features"].inputs == (
        "svhn/images",
        "imagenet/discriminator",
    )
    out = copy / "drawn.png"
    done = CliRunner().invoke(
        main, ["--root", str(copy), "sample", "svhn", "-n", "4", "-o", str(out)]
    )
    assert "by imagenet/generator" in done.output


# --- Bad input --------------------------------------------------------------------------------


def test_too_few_labels_are_one_line(copy: Path) -> None:
    def edit(params: dict[str, Any]) -> None:
        for name in ("svm_scores", "supervised_cnn"):
            params["cifar10"][name].update(per_class=19)

    write_params(copy, edit)
    before = (copy / "results/cifar10/svm_scores/result.json").read_bytes()
    line = refusal(materialize(copy, "cifar10/svm_scores"))
    assert "labelled examples, fewer than the 19 a class that were asked for" in line
    assert (copy / "results/cifar10/svm_scores/result.json").read_bytes() == before


def test_pictures_that_are_all_alike_are_refused_before_anything_is_written(copy: Path) -> None:
    folder = copy / "data/cifar10/images"
    folder.chmod(0o755)
    path = folder / "pixels_32.npy"
    path.chmod(0o644)
    np.save(path, np.full((TRAIN + TEST, 32, 32, 3), 7, np.uint8))
    line = refusal(materialize(copy, "cifar10/features", "--force", "--only"))
    assert "columns are constant" in line
