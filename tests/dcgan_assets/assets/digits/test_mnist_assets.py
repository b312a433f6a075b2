"""The mnist assets with tiny networks, from IDX files to the table, through `dcgan materialize`."""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from commands import contents, lines, made, materialize, meta, read_metadata
from PIL import Image
from shown_figures import check_shown_figures

import dcgan_models
from dcgan_assets.assets.digits.mnist import _rows
from dcgan_assets.assets.training.candidate import TRAINING_CHECKS
from dcgan_assets.cli import main
from dcgan_assets.engine import results
from dcgan_assets.engine.store import Meta
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.usefixtures("few_statistics")

SIZES = {"train": 100, "validation": 40, "test": 50}
PIXELS = 784


# --- Digits of our own ----------------------------------------------------------------------


def draw_digits(n: int, seed: int) -> tuple[Pixels, npt.NDArray[np.uint8]]:
    """Noise with a bright bar whose height says the class: uint8 (n, 28, 28) and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 10).astype(np.uint8)
    pixels = rng.integers(0, 120, (n, 28, 28), dtype=np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        picture[2 * label + 4 : 2 * label + 7, 4:24] = 255
    return pixels, labels


def write_idx(path: Path, values: npt.NDArray[np.uint8]) -> None:
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_digits(folder: Path) -> None:
    """160 training digits and 60 test digits, as the four classical files."""
    folder.mkdir()
    for prefix, n, seed in (("train", 160, 1), ("t10k", 60, 2)):
        pixels, labels = draw_digits(n, seed)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)


Edit = Callable[[dict[str, Any]], object]


def write_params(root: Path, edit: Edit = lambda mnist: None) -> None:
    """The sample profile, cut until a training takes a moment; `edit` gets the mnist section."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    mnist = params["mnist"]
    mnist["images"] = {"source": "folder", "path": "digits", **SIZES}
    for name in ("candidate", "fc_candidate"):
        changes = {"width": 0.05, "batch": 20, "epochs": 1, "decay_epochs": 0, "snapshots": [1]}
        mnist[name].update(changes, health={"diversity": 0, "label_agreement": 0})
    mnist["publish"].update(samples=100, most_sets=12)
    mnist["sample_panels"]["columns"] = [2, 1, 3]
    mnist["sampling_statistics"] = {"samples": 20, "batch": 10}
    mnist["nearest_neighbour_scores"] = {"references": [200, 100], "max_error": 1}
    edit(mnist)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


# --- The whole chain ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(memory: str | None, dagster_home: Path) -> Iterator[tuple[Path, Result]]:
    """A workspace in which everything of mnist was made, and what the command said."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder), make_everything(Path(folder), dagster_home)


def make_everything(root: Path, dagster_home: Path) -> Result:
    shutil.copytree(dagster_home, root / ".dagster_home")
    write_digits(root / "digits")
    write_params(root)
    with pytest.MonkeyPatch.context() as patch:
        # What `prepare_home` sets is undone with the module.
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
            patch.setenv(name, str(root))
        done = materialize(root, "mnist")
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def root(finished: tuple[Path, Result]) -> Path:
    """The finished workspace; tests of this fixture change nothing in it."""
    return finished[0]


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    """A copy of the finished workspace, to change."""
    return Path(shutil.copytree(root, fast_disk / "copy"))


@pytest.fixture
def manifest(root: Path) -> pa.Table:
    return pq.read_table(root / "data/mnist/images/manifest.parquet")


@pytest.fixture
def index(root: Path) -> pa.Table:
    return pq.read_table(root / "data/mnist/images/index.parquet")


def test_everything_is_made_and_up_to_date(finished: tuple[Path, Result]) -> None:
    root, done = finished
    assert {
        *("mnist/images", "mnist/candidate", "mnist/fc_candidate", "mnist/generator"),
        *("mnist/fc_generator", "mnist/sample_panels", "mnist/nearest_neighbour_scores"),
    } <= set(made(done))
    assert "mnist/ablations" not in made(done), "it is made only when it is named"
    again = materialize(root, "mnist")
    assert again.stdout.splitlines()[0] == f"up to date: {len(made(done))}"


def test_every_figure_is_shown_by_its_address(root: Path) -> None:
    check_shown_figures(root)


def test_every_input_has_a_row(manifest: pa.Table) -> None:
    assert manifest.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    assert manifest.num_rows == 220
    assert pc.count_distinct(manifest["key"]).as_py() == 220
    assert set(manifest["status"].to_pylist()) == {"kept"}
    assert manifest["split"].to_pylist() == ["train"] * 160 + ["test"] * 60


def test_splits_are_as_asked_for_and_share_no_picture(
    root: Path, manifest: pa.Table, index: pa.Table
) -> None:
    assert index["key"].to_pylist() == manifest["key"].to_pylist()
    splits = np.array(index["split"].to_pylist())
    counts = {name: int((splits == name).sum()) for name in (*SIZES, "unused")}
    assert counts == {**SIZES, "unused": 30}
    assert read_json(root / "data/mnist/images/dataset.json")["splits"] == counts
    # What the source calls test is never trained on, and nothing else is tested on.
    own = np.array(manifest["split"].to_pylist())
    assert set(own[splits == "test"]) == {"test"}
    assert set(own[(splits == "train") | (splits == "validation")]) == {"train"}
    hashes = np.array(manifest["pixels_sha256"].to_pylist())
    parts = [set(hashes[splits == name]) for name in SIZES]
    assert sum(map(len, parts)) == len(set.union(*parts)) == sum(SIZES.values())


def test_a_row_leads_to_its_pixels(root: Path, manifest: pa.Table) -> None:
    drawn, labels = read_idx_apart(root / "digits")
    pixels = np.load(root / "data/mnist/images/pixels_28.npy")
    for number, row in enumerate(manifest.to_pylist()):
        np.testing.assert_array_equal(pixels[row["row"]][..., 0], drawn[number])
        assert row["label"] == labels[number]
        assert row["pixels_sha256"] == hashlib.sha256(drawn[number].tobytes()).hexdigest()


def test_the_digits_of_a_split_are_those_of_the_idx_files_in_their_order(
    root: Path, index: pa.Table
) -> None:
    drawn, labels = read_idx_apart(root / "digits")
    splits = np.array(index["split"].to_pylist())
    for split, size in SIZES.items():
        store = PixelStore.open(root / "data/mnist/images", split)
        here = np.flatnonzero(splits == split)
        assert (len(store), store.shape) == (size, (28, 28, 1))
        np.testing.assert_array_equal(store.gather(np.arange(size))[..., 0], drawn[here])
        np.testing.assert_array_equal(store.labels, labels[here])


def read_idx_apart(folder: Path) -> tuple[Pixels, npt.NDArray[np.uint8]]:
    """Pixels (n, 28, 28) and labels of training and test files, by the offsets of the format."""
    parts = []
    for name, offset, shape in (("images-idx3", 16, (-1, 28, 28)), ("labels-idx1", 8, (-1,))):
        files = [folder / f"{prefix}-{name}-ubyte" for prefix in ("train", "t10k")]
        bytes_of = [np.frombuffer(file.read_bytes(), np.uint8, offset=offset) for file in files]
        parts.append(np.concatenate(bytes_of).reshape(shape))
    return parts[0], parts[1]


def test_networks_are_published_with_what_sampling_needs(root: Path) -> None:
    from dcgan_models import load_discriminator, load_generator

    for name in ("generator", "fc_generator"):
        generator = load_generator(root / "models/mnist" / name)
        assert generator.fixed_z is not None
        assert tuple(generator.fixed_z.shape) == (1024, 100)
        pictures = generator.sample(20, 0)
        assert pictures.shape == (20, 28, 28, 1)
        assert pictures.dtype == np.uint8
        # No figure shows G as it was early: the candidate alone keeps that.
        candidate = root / "models/mnist" / name.replace("generator", "candidate")
        assert (candidate / "generator/snapshots/epoch_0001.safetensors").exists()
        assert not (root / "models/mnist" / name / "snapshots").exists()
        losses = pyarrow.csv.read_csv(root / "models/mnist" / name / "losses.csv")
        log = pq.read_table(candidate / "log.parquet", columns=["epoch", "d_loss", "g_loss"])
        assert losses.to_pydict() == log.to_pydict()
    load_discriminator(root / "models/mnist/discriminator")
    log = pq.read_table(root / "models/mnist/candidate/log.parquet")
    assert log["step"][-1].as_py() == 5, "one epoch of 100 digits in minibatches of 20"
    assert "images_per_second" not in log.column_names


def test_the_checks_of_a_candidate_were_judged(root: Path) -> None:
    checks = {check["check"]: check["passed"] for check in meta(root, "mnist/candidate").checks}
    training = tuple(check.name for check in TRAINING_CHECKS)
    assert checks == dict.fromkeys((*training, "sample_diversity", "label_agreement"), True)
    assert meta(root, "mnist/images").checks[0] == {
        "check": "counts_add_up",
        "passed": True,
        "facts": {"inputs": 220, "kept": 220},
    }


def test_the_table_is_whole_and_beside_the_papers(root: Path) -> None:
    result = results.Result.read(root / "results/mnist/nearest_neighbour_scores")
    assert result.stand_in, "these are not the paper's digits"
    assert (result.profile, result.asset) == ("sample", "mnist/nearest_neighbour_scores")
    rows = {row.name: row for row in result.rows}
    ours = {"real @100", "GAN @100", "GAN @200", "DCGAN @100", "DCGAN @200"}
    assert {name for name, row in rows.items() if row.value is not None} == ours
    for name in ours:
        row = rows[name]
        assert (row.n, row.interval, row.paper) == (50, "95% Wilson", None)
        assert row.low is not None
        assert row.value is not None
        assert row.high is not None
        assert 0 <= row.low <= row.value <= row.high <= 100
    # The MNIST table of the paper; sizes that we did not run stand there as the paper's alone.
    assert {name: row.paper for name, row in rows.items() if row.value is None} == {
        "real @50,000": 3.1,
        "GAN @50,000": 6.28,
        "GAN @10,000,000": 5.65,
        "DCGAN @50,000": 2.98,
        "DCGAN @10,000,000": 1.48,
        "AlignMNIST @10,000,000": 1.4,
        "InfiMNIST @10,000,000": 2.6,
    }


def test_our_number_stands_beside_the_papers_of_the_same_size() -> None:
    rows = {row.name: row for row in _rows({("DCGAN", 50_000): 0.0298, ("GAN", 7): 0.5}, 10_000)}
    assert (rows["DCGAN @50,000"].value, rows["DCGAN @50,000"].paper) == (2.98, 2.98)
    assert rows["GAN @7"].paper is None
    assert rows["real @50,000"].value is None


def test_the_error_on_real_digits_is_that_of_a_plain_search(root: Path, index: pa.Table) -> None:
    drawn = np.concatenate([draw_digits(160, 1)[0], draw_digits(60, 2)[0]]).reshape(220, PIXELS)
    labels = np.array(index["label"].to_pylist())
    splits = np.array(index["split"].to_pylist())
    train, test = drawn[splits == "train"].astype(int), drawn[splits == "test"].astype(int)
    nearest = [int(((train - query) ** 2).sum(axis=1).argmin()) for query in test]
    wrong = labels[splits == "train"][nearest] != labels[splits == "test"]
    result = results.Result.read(root / "results/mnist/nearest_neighbour_scores")
    real = next(row for row in result.rows if row.name == "real @100")
    assert real.value == pytest.approx(100 * wrong.mean(), abs=1e-3)


def test_figure_9_is_a_picture_of_three_panels(root: Path) -> None:
    with Image.open(root / "results/mnist/sample_panels/figure.png") as figure:
        pixels = np.asarray(figure.convert("L"))
    height, width = pixels.shape
    assert height > width, "six columns and ten rows"
    assert len(np.unique(pixels)) > 50


# --- Candidate and champion -----------------------------------------------------------------


@pytest.mark.slow
def test_a_candidate_that_is_judged_unhealthy_is_not_trained_again_nor_published(
    copy: Path,
) -> None:
    champion = meta(copy, "mnist/generator")
    before = contents(copy / "results")
    states = {path: path.stat().st_mtime_ns for path in copy.glob("runs/mnist/*/states/*")}
    assert states
    write_params(copy, lambda m: m["candidate"]["health"].update(diversity=1, label_agreement=1))
    done = materialize(copy, "mnist")
    assert done.exit_code == 0, done.output
    assert made(done) == ["mnist/candidate", "mnist/generator"]
    # The finished run was found and judged by the new bounds.
    found = {path: path.stat().st_mtime_ns for path in copy.glob("runs/mnist/*/states/*")}
    assert set(found) == set(states)
    failed = [c["check"] for c in meta(copy, "mnist/candidate").checks if not c["passed"]]
    assert "label_agreement" in failed
    standing = meta(copy, "mnist/generator")
    assert standing.data_version == champion.data_version
    assert "kept the champion" in standing.metadata["decision"]
    assert "label_agreement" in standing.metadata["reason"]
    assert contents(copy / "results") == before

    # Without a champion there is nothing to keep.
    shutil.rmtree(copy / "models/mnist/generator")
    done = materialize(copy, "mnist/generator")
    assert done.exit_code == 1
    (line,) = lines(done, "FAILED")
    assert line.startswith("FAILED mnist/generator: mnist/generator: the candidate is unhealthy: ")
    assert "nothing is published yet" in line
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_the_network_with_the_smaller_error_is_published(copy: Path) -> None:
    """A training that learns wins against five updates; one that learns nothing loses to it."""
    learns = {"epochs": 30, "width": 0.25, "learning_rate": 0.002}
    champion = retrained(copy, learns)
    assert "published the candidate" in champion.metadata["decision"]
    assert error_of(champion, "candidate: validation error") < 0.6
    assert error_of(champion, "champion: validation error") > 0.7
    # Nothing is on record that was better.
    assert not (copy / "models/mnist/generator/best").exists()

    standing = retrained(copy, {"learning_rate": 1e-9})
    assert "kept the champion" in standing.metadata["decision"]
    assert error_of(standing, "candidate: validation error") > 0.7
    assert "worse than the champion by more than the margin" in standing.metadata["reason"]
    assert standing.data_version == champion.data_version
    assert materialize(copy, "mnist/generator").stdout == "up to date: 3\n"


def retrained(root: Path, changes: dict[str, Any]) -> Meta:
    """What stands as the generator after a training with other settings."""
    write_params(root, lambda mnist: mnist["candidate"].update(changes))
    assert made(materialize(root, "mnist/generator")) == ["mnist/candidate", "mnist/generator"]
    return meta(root, "mnist/generator")


@pytest.mark.slow
def test_copying_the_training_digits_loses(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training digits read better than any generated ones: by that alone they would win."""
    champion = meta(copy, "mnist/generator")
    assert made(materialize(copy, "mnist/candidate", "--seed", "7", "--only")) == [
        "mnist/candidate"
    ]
    store = PixelStore.open(copy / "data/mnist/images", "train")
    digits, real = store.gather(np.arange(len(store))), dcgan_models.load_generator

    def draw(z: Any, labels: Any, batch: int = 0) -> Pixels:
        rows = [np.flatnonzero(store.labels == label) for label in labels.tolist()]
        chosen = [row[int(abs(one[0]) * 1e6) % len(row)] for row, one in zip(rows, z, strict=True)]
        return digits[chosen]

    def load(folder: Path, **named: Any) -> Any:
        generator = real(folder, **named)
        if folder.is_relative_to(copy / "models/mnist/candidate"):
            generator.draw = draw
        return generator

    monkeypatch.setattr(dcgan_models, "load_generator", load)
    assert made(materialize(copy, "mnist/generator")) == ["mnist/generator"]
    kept = meta(copy, "mnist/generator")
    assert "kept the champion" in kept.metadata["decision"]
    assert "the candidate copies its training set" in kept.metadata["reason"]
    assert kept.data_version == champion.data_version
    errors = [error_of(kept, f"{who}: validation error") for who in ("candidate", "champion")]
    assert errors[0] < errors[1]


def error_of(found: Meta, name: str) -> float:
    return float(read_metadata(found, name))


# --- `dcgan sample` -------------------------------------------------------------------------


def sample(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--root", str(root), "sample", "mnist", *map(str, arguments)])


def test_samples_are_drawn_into_a_picture(root: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    done = sample(root, "-n", 20, "-o", first)
    assert (done.exit_code, done.stdout) == (
        0,
        f"{first}: 20 pictures by mnist/generator, seed 0\n",
    )
    sample(root, "-n", 20, "-o", again)
    sample(root, "-n", 20, "--seed", 1, "-o", other)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    with Image.open(first) as picture:
        assert (picture.size, picture.mode) == ((280, 56), "L")
    assert sample(root, "-n", 5, "--label", 3, "-o", other).exit_code == 0
    with Image.open(other) as picture:
        assert picture.size == (140, 28)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", 12), "integers from 0 to 9 are needed"),
        (("-o", "nowhere/x.png"), "nowhere: no such folder"),
        (("-o", "x" * 300 + ".png"), "cannot be written (File name too long)"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    root: Path, options: tuple[object, ...], words: str
) -> None:
    done = sample(root, "-n", 3, *options)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line


# --- Sources that are wrong -----------------------------------------------------------------


@pytest.fixture
def images(copy: Path) -> Callable[[Edit], str]:
    """Make the images of a changed workspace, which must fail in one line and publish nothing."""

    def fail(edit: Edit) -> str:
        write_params(copy, edit)
        before = contents(copy / "data")
        done = materialize(copy, "mnist/images")
        assert done.exit_code == 1, done.output
        assert "Traceback" not in done.output
        assert contents(copy / "data") == before
        (line,) = lines(done, "FAILED")
        assert line.startswith("FAILED mnist/images: ")
        return line

    return fail


def test_a_bad_idx_file(images: Callable[[Edit], str], copy: Path) -> None:
    path = copy / "digits" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    line = images(lambda mnist: None)
    assert f"{path}: 125,439 bytes found after the header, 125,440 expected" in line


def test_a_folder_that_is_not_there(images: Callable[[Edit], str]) -> None:
    assert "nowhere: not a folder" in images(lambda m: m["images"].update(path="nowhere"))


def test_more_pictures_than_there_are(images: Callable[[Edit], str]) -> None:
    line = images(lambda m: m["images"].update(validation=61))
    assert line.endswith(
        "params.yaml: mnist.images.validation: 61 pictures asked for, 60 left of 220"
    )


def test_blank_pictures_are_not_published(images: Callable[[Edit], str], copy: Path) -> None:
    pixels, _ = draw_digits(160, 1)
    pixels[7] = 80
    write_idx(copy / "digits" / "train-images-idx3-ubyte", pixels)
    line = images(lambda mnist: None)
    assert "not published, check failed: pixel_range (lowest: 0, highest: 255, blank: 1)" in line


def test_digits_without_a_class_are_not_published(
    images: Callable[[Edit], str], copy: Path
) -> None:
    pixels, labels = draw_digits(60, 2)
    write_idx(copy / "digits" / "t10k-images-idx3-ubyte", pixels[labels != 7])
    write_idx(copy / "digits" / "t10k-labels-idx1-ubyte", labels[labels != 7])
    assert "no_empty_class (without pictures: 7 (test))" in images(lambda mnist: None)


def test_pictures_that_are_rejected_have_a_row_too(copy: Path) -> None:
    """Class folders with one picture of another size, which is neither resized nor hidden."""
    pixels, labels = draw_digits(120, 3)
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = copy / "folders" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    Image.fromarray(np.zeros((32, 28), np.uint8)).save(copy / "folders" / "0" / "wide.png")
    sizes = {"train": 60, "validation": 20, "test": 39}
    write_params(copy, lambda m: m["images"].update(path="folders", **sizes))
    done = materialize(copy, "mnist/images")
    assert done.exit_code == 0, done.output
    manifest = pq.read_table(copy / "data/mnist/images/manifest.parquet")
    assert manifest.num_rows == 121
    (rejected,) = manifest.filter(pc.equal(manifest["status"], "rejected")).to_pylist()
    assert rejected["key"] == "0/wide.png"
    assert rejected["reason"] == "28x32 pixels, 28x28 expected"
    assert [rejected[name] for name in ("row", "split", "pixels_sha256")] == [None] * 3
    kept = manifest.filter(pc.equal(manifest["status"], "kept"))
    assert sorted(kept["row"].to_pylist()) == list(range(120))
    facts = meta(copy, "mnist/images").checks[0]["facts"]
    assert facts == {"inputs": 121, "kept": 120}
    index = pq.read_table(copy / "data/mnist/images/index.parquet")
    assert index["key"].to_pylist() == kept["key"].to_pylist()
    splits = read_json(copy / "data/mnist/images/dataset.json")["splits"]
    assert splits == {**sizes, "unused": 1}


def test_a_minibatch_larger_than_the_training_set(copy: Path) -> None:
    write_params(copy, lambda m: m["candidate"].update(batch=101))
    done = materialize(copy, "mnist/candidate")
    assert done.exit_code == 1
    (line,) = lines(done, "FAILED")
    assert "100 pictures do not fill one minibatch of 101" in line


@pytest.mark.slow
def test_the_packaged_digits_need_no_files(tmp_path: Path, dagster_home: Path) -> None:
    shutil.copytree(dagster_home, tmp_path / ".dagster_home")

    def packaged(mnist: dict[str, Any]) -> None:
        mnist["images"] = {"source": "packaged", **SIZES}

    write_params(tmp_path, packaged)
    done = materialize(tmp_path, "mnist/images")
    assert done.exit_code == 0, done.output
    assert read_json(tmp_path / "data/mnist/images/origin.json")["stand_in"] is True
    content = read_json(tmp_path / "data/mnist/images/dataset.json")
    assert (content["n"], content["shape"]) == (5000, [28, 28, 1])
    assert content["splits"] == {**SIZES, "unused": 4810}
