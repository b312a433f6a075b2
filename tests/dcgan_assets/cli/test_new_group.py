"""`dcgan new-group`: from a folder of anybody's pictures to samples, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from commands import contents, made, materialize, meta
from PIL import Image

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.dvc.dvc_yaml import dvc_content, stage_names
from dcgan_assets.engine import results
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import load_params, profile_text
from dcgan_assets.sources.reading.decode import thumbnails
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_assets.sources.reading.workers import close_workers
from dcgan_models.data import PixelStore
from dcgan_models.dedup.planted import thumbnail
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.usefixtures("few_statistics")

Write = Callable[[Image.Image], bytes]
SIZE = 32
STEPS = [
    "images",
    "training_set",
    "extractor",
    "candidate",
    "quality",
    "generator",
    "samples",
    "latent_walk",
    "explorer",
]
MADE = {"cats/images[00]", *(f"cats/{name}" for name in STEPS[1:])}


# --- Pictures of our own --------------------------------------------------------------------


def draw(number: int) -> Image.Image:
    """A picture of soft colours, of an odd size."""
    rng = np.random.default_rng(number)
    height, width = 40 + number * 7 % 61, 41 + number * 11 % 67
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def with_alpha(picture: Image.Image) -> bytes:
    """As PNG, the left half transparent."""
    picture = picture.convert("RGBA")
    alpha = np.full((picture.height, picture.width), 255, np.uint8)
    alpha[:, : picture.width // 2] = 0
    picture.putalpha(Image.fromarray(alpha))
    return encoded(picture, "PNG")


def rotated(picture: Image.Image) -> bytes:
    """As a camera on its side writes it: lying pixels, and a tag that says how to turn them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    return encoded(lying, "PNG", exif=exif)


FORMS: dict[str, Write] = {
    "jpg": lambda picture: encoded(picture, "JPEG", quality=92),
    "png": lambda picture: encoded(picture, "PNG"),
    "webp": lambda picture: encoded(picture, "WEBP", lossless=True),
    "grey.png": lambda picture: encoded(picture.convert("L"), "PNG"),
    "alpha.png": with_alpha,
    "rotated.png": rotated,
}
REJECTED = {
    "cut.jpg": "truncated",
    "page.jpg": "HTML, not a picture",
    "dot.png": "too small: 1x1",
    "sub/nothing.png": "empty",
}
GOOD = 296


def write_mixture(folder: Path) -> None:
    """300 files: 296 pictures of six kinds, four that are none; and what a system leaves about."""
    (folder / "sub").mkdir(parents=True)
    names = list(FORMS)
    for number in range(GOOD):
        kind = names[number % len(names)]
        place = folder / "sub" if number % 3 == 0 else folder
        (place / f"{number:03d}.{kind}").write_bytes(FORMS[kind](draw(number)))
    whole = FORMS["jpg"](draw(1000))
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "page.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "dot.png").write_bytes(encoded(Image.new("RGB", (1, 1)), "PNG"))
    (folder / "sub" / "nothing.png").touch()
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def upright(key: str) -> Pixels:
    """What a reader should see of a picture of ours, from the drawing itself."""
    picture = draw(int(Path(key).name.split(".")[0]))
    pixels = np.array(picture.convert("L").convert("RGB") if ".grey." in key else picture)
    if ".alpha." in key:
        pixels[:, : picture.width // 2] = 255
    return pixels


# --- Workspaces -----------------------------------------------------------------------------


def new_workspace(root: Path, dagster_home: Path) -> None:
    root.mkdir(exist_ok=True)
    shutil.copytree(dagster_home, root / ".dagster_home")
    text = profile_text("sample").replace("device: auto", "device: cpu")
    (root / "params.yaml").write_text(text, encoding="utf-8")
    forget_listings()


def new_group(root: Path, *arguments: object) -> Result:
    command = ["--root", str(root), "new-group", *map(str, arguments)]
    return CliRunner().invoke(main, command)


@pytest.fixture(scope="module")
def finished(memory: str | None, dagster_home: Path) -> Iterator[tuple[Path, Result, str]]:
    """A workspace with the group `cats` made; what the command said, and params.yaml after it."""
    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder) / "workspace"
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
            patch.setenv(name, str(root))
        new_workspace(root, dagster_home)
        write_mixture(root / "my pictures")
        said = new_group(root, "cats", "--from", root / "my pictures", "--size", SIZE)
        assert said.exit_code == 0, said.output
        text = (root / "params.yaml").read_text(encoding="utf-8")
        shorten(root)
        done = materialize(root, "cats")
        assert done.exit_code == 0, done.output
        assert set(made(done)) == MADE
        yield root, said, text
    close_workers()


def shorten(root: Path) -> None:
    """Edit params.yaml as a user does who wants to see something soon."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    cats = params["groups"]["cats"]
    cats["candidate"].update(width=0.03, epochs=2, snapshots=[1], health={"diversity": 0})
    cats["samples"].update(epochs=[1])
    cats["extractor"].update(epochs=3)
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture
def root(finished: tuple[Path, Result, str]) -> Path:
    return finished[0]


# --- What it writes -------------------------------------------------------------------------


def test_params_yaml_is_as_it_was_but_for_the_new_section(
    finished: tuple[Path, Result, str], tmp_path: Path
) -> None:
    before = profile_text("sample").replace("device: auto", "device: cpu")
    _, _, after = finished
    assert "#" in before
    assert after.startswith(before), "comments, order and spacing too"
    added = yaml.safe_load(after[len(before) :])
    assert list(added) == ["groups"]
    assert list(added["groups"]) == ["cats"]
    (tmp_path / "params.yaml").write_text(after, encoding="utf-8")
    group = load_params(tmp_path / "params.yaml").groups["cats"]
    assert (group.images.source, group.images.path) == ("folder", "my pictures")
    assert (group.images.size, group.images.shards) == (SIZE, 1)
    # 270 of 300 are trained on, 16 at a time, for some 3,000 updates.
    assert (group.candidate.batch, group.candidate.epochs) == (16, 188)
    assert group.candidate.resolved().image == (3, SIZE, SIZE)
    # As many pictures are measured as are held out.
    assert (group.quality.samples, group.quality.kid_size) == (30, 20)
    assert group.extractor.epochs == 95


def test_the_command_says_what_is_next(finished: tuple[Path, Result, str]) -> None:
    assert finished[1].stdout.splitlines() == [
        "params.yaml: groups.cats, pictures from my pictures",
        "training: 188 epochs of minibatches of 16",
        "next: dcgan materialize cats",
    ]


def test_dvc_yaml_can_have_the_groups_stages(root: Path) -> None:
    catalogue = open_catalogue(Workspace(root))
    stages = dvc_content(catalogue, stage_names(catalogue))["stages"]
    # A candidate, how it is measured and what publishes it are one stage.
    kept = [name for name in STEPS if name not in {"candidate", "quality"}]
    assert [name for name in stages if name.startswith("cats-")] == [f"cats-{n}" for n in kept]
    assert "groups.cats.candidate" in stages["cats-generator"]["params"]
    assert "lsun-manifest" in stages


# --- What is made ---------------------------------------------------------------------------


def test_every_file_is_a_row_and_what_is_no_picture_says_why(root: Path) -> None:
    rows = pq.read_table(root / "data/cats/images/00/manifest.parquet").to_pylist()
    assert len(rows) == 300
    assert ".DS_Store" not in {row["key"] for row in rows}
    reasons = {row["key"]: row["reason"] for row in rows if row["status"] == "rejected"}
    assert set(reasons) == set(REJECTED)
    for key, reason in REJECTED.items():
        assert reasons[key].startswith(reason)
    converted = Counter(row["converted"] for row in rows if row["status"] == "kept")
    each = Counter(list(FORMS)[number % len(FORMS)] for number in range(GOOD))
    assert converted == {
        None: each["jpg"] + each["png"] + each["webp"],
        "grey": each["grey.png"],
        "alpha on white": each["alpha.png"],
        "EXIF orientation 6": each["rotated.png"],
    }
    assert {check["passed"] for check in meta_of_shard(root).checks} == {True}


def meta_of_shard(root: Path) -> Meta:
    found = Store(root).meta(Artefact("cats/images", "data", "00"))
    assert found is not None
    return found


def test_pictures_are_upright_centre_squares(root: Path) -> None:
    rows = pq.read_table(root / "data/cats/images/00/manifest.parquet").to_pylist()
    pixels = np.load(root / "data/cats/images/00/pixels_32.npy")
    kept = [row for row in rows if row["status"] == "kept"]
    assert pixels.shape == (GOOD, SIZE, SIZE, 3) == (len(kept), SIZE, SIZE, 3)
    for row in kept:
        expected = upright(row["key"])
        found = pixels[row["row"]]
        assert (row["original_height"], row["original_width"]) == expected.shape[:2]
        close = 12 if row["key"].endswith("jpg") else 1
        assert np.abs(found.astype(int) - thumbnail(expected, SIZE)).mean() <= close
        assert row["pixels_sha256"] == hashlib.sha256(found.tobytes()).hexdigest()


def test_a_tenth_is_held_out_and_each_picture_is_in_one_split(root: Path) -> None:
    stores = {
        split: PixelStore.open(root / "data/cats/training_set", split)
        for split in ("train", "held_out")
    }
    train, held = (set(store.keys) for store in stores.values())
    assert not train & held
    assert len(train | held) == len(train) + len(held) == GOOD
    assert 0.05 * GOOD < len(held) < 0.16 * GOOD
    for store in stores.values():
        found = store.gather(np.arange(len(store)))
        for key, picture in zip(store.keys, found, strict=True):
            if not key.endswith("jpg"):
                np.testing.assert_array_equal(picture, thumbnails(upright(key), (SIZE,))[0])


def test_there_are_samples_and_a_walk(root: Path) -> None:
    for name in ("figure", "epoch_0001"):
        with Image.open(root / f"results/cats/samples/{name}.png") as grid:
            assert grid.size == (10 * SIZE, 5 * SIZE)
    walk = results.Result.read(root / "results/cats/latent_walk")
    assert not walk.stand_in, "a user's pictures stand in for nobody's"
    assert len(walk.rows) == 7
    assert {check["passed"] for check in meta(root, "cats/candidate").checks} == {True}


# --- What is refused ------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A workspace with the sample profile, and a folder of 60 small pictures."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    for number in range(60):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(FORMS["png"](draw(number)))
    (tmp_path / "few").mkdir()
    for number in range(49):
        (tmp_path / "few" / f"{number}.png").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a_file").touch()
    return root


@pytest.mark.parametrize(
    ("name", "folder", "size", "words"),
    [
        ("Cats", "pictures", 64, ["group name 'Cats'", "small letters, digits and _"]),
        ("my cats", "pictures", 64, ["group name 'my cats'"]),
        ("../cats", "pictures", 64, ["group name '../cats'"]),
        ("", "pictures", 64, ["group name ''"]),
        ("9lives", "pictures", 64, ["group name '9lives'"]),
        ("c" * 32, "pictures", 64, [f"group name '{'c' * 32}'"]),
        ("cats\n", "pictures", 64, ["group name 'cats\\n'"]),
        ("mnist", "pictures", 64, ["groups.mnist", "taken; choose another"]),
        ("lsun", "pictures", 64, ["groups.lsun", "taken; choose another"]),
        ("groups", "pictures", 64, ["groups.groups", "taken; choose another"]),
        ("cats", "nowhere", 64, ["nowhere: no such folder"]),
        ("cats", "a_file", 64, ["a_file: no such folder"]),
        ("cats", "empty", 64, ["empty: no files found"]),
        ("cats", "few", 64, ["few: 49 files; at least 50 pictures are needed"]),
        ("cats", "pictures", 33, ["groups.cats.candidate: size 33; allowed: 16, 32, 64, 128"]),
        ("cats", "pictures", 0, ["groups.cats.candidate.size", "(found 0)"]),
        ("cats", "pictures", -64, ["groups.cats.candidate.size", "(found -64)"]),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    plain: Path, tmp_path: Path, name: str, folder: str, size: int, words: list[str]
) -> None:
    forget_listings()
    before = contents(plain)
    done = new_group(plain, name, "--from", tmp_path / folder, "--size", size)
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert contents(plain) == before


def test_a_second_group_stands_beside_the_first_and_its_name_is_taken_then(
    plain: Path, tmp_path: Path
) -> None:
    forget_listings()
    for name in ("cats", "dogs"):
        assert new_group(plain, name, "--from", tmp_path / "pictures").exit_code == 0
    params = load_params(plain / "params.yaml")
    assert list(params.groups) == ["cats", "dogs"]
    # Outside of the workspace a folder is named in full.
    assert params.groups["dogs"].images.path == str(tmp_path / "pictures")
    before = contents(plain)
    done = new_group(plain, "cats", "--from", tmp_path / "pictures")
    assert done.exit_code == 1
    assert done.stderr == "error: groups.cats is in params.yaml already; choose another name\n"
    assert contents(plain) == before


@pytest.mark.parametrize(
    ("profile", "batch", "width"), [("sample", 16, 0.125), ("small", 7, 1.0), ("paper", 7, 1.0)]
)
def test_settings_fit_the_profile_and_the_number_of_pictures(
    plain: Path, tmp_path: Path, profile: str, batch: int, width: float
) -> None:
    forget_listings()
    (plain / "params.yaml").write_text(profile_text(profile), encoding="utf-8")
    assert new_group(plain, "cats", "--from", tmp_path / "pictures").exit_code == 0
    candidate = load_params(plain / "params.yaml").groups["cats"].candidate
    assert (candidate.batch, candidate.width) == (batch, width)
    # 20 of the 60 are held out: nothing is measured by fewer.
    updates = candidate.epochs * (40 // batch)
    wanted = 3_000 if profile == "sample" else 30_000
    assert wanted <= updates < 1.01 * wanted


# --- With nothing edited --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_defaults_make_healthy_samples(fast_disk: Path, dagster_home: Path) -> None:
    root = fast_disk / "workspace"
    new_workspace(root, dagster_home)
    write_mixture(root / "pictures")
    assert new_group(root, "cats", "--from", root / "pictures").exit_code == 0
    done = materialize(root, "cats")
    assert done.exit_code == 0, done.output
    assert set(made(done)) == MADE
    assert {check["passed"] for check in meta(root, "cats/candidate").checks} == {True}
    with Image.open(root / "results/cats/samples/figure.png") as grid:
        assert grid.size == (640, 320)
        assert np.asarray(grid).std() > 20
