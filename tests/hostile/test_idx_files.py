"""IDX files and folders of digits: bombs, damage, links, pairs that do not belong together."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import digits, idx, jpeg, labels_for, png, put, refusal, write_set

from dcgan_assets.sources.mnist import from_folder, read_idx
from dcgan_models.errors import UserError

Bytes = npt.NDArray[np.uint8]


SOUND = idx(digits(3))


ZIPPED = gzip.compress(SOUND, mtime=0)


BAD_IDX = {
    "empty": (b"", "starts with 0x;"),
    "not IDX": (b"PK\3\4 something else", "starts with 0x504b0304; an IDX file"),
    "floats": (idx(digits(3), kind=0x0D), "starts with 0x00000d03"),
    "two dimensions": (idx(digits(3)[0]), "starts with 0x00000802"),
    "cut in the magic": (SOUND[:3], "starts with 0x000008;"),
    "cut in the header": (SOUND[:13], "13 bytes found; an IDX header has 16"),
    "cut in the data": (SOUND[:-1], "2,351 bytes found after the header, 2,352 expected"),
    "header alone": (SOUND[:16], "0 bytes found after the header, 2,352 expected"),
    "one byte more": (SOUND + b"\0", "more bytes found after the header, 2,352 expected"),
    "beyond 2 GiB": (
        idx(digits(1), dimensions=(2**31, 28, 28)),
        "promises (2147483648, 28, 28), 1,683,627,180,032 bytes; at most 2,147,483,648",
    ),
    "beyond 2 GiB, zipped": (
        gzip.compress(idx(digits(1), dimensions=(2**32 - 1,) * 3)),
        "at most 2,147,483,648 are read",
    ),
    "zipped, one byte more": (gzip.compress(SOUND + b"\0"), "more bytes found after the header"),
    "zipped, data cut": (gzip.compress(SOUND[:-1]), "2,351 bytes found after the header"),
    "gzip cut in its data": (ZIPPED[:-100], "the gzip stream is cut short"),
    "gzip cut in its length": (ZIPPED[:-1], "the gzip stream is cut short"),
    "gzip cut in its header": (ZIPPED[:5], "the gzip stream is cut short"),
    "gzip of the wrong CRC": (
        ZIPPED[:-8] + bytes(byte ^ 1 for byte in ZIPPED[-8:-4]) + ZIPPED[-4:],
        "the gzip stream is damaged (Error -3",
    ),
    "gzip of the wrong length": (ZIPPED[:-4] + b"\0\0\0\0", "the gzip stream is damaged"),
    "gzip of an unknown method": (ZIPPED[:2] + b"\7" + ZIPPED[3:], "the gzip stream is damaged"),
    "bytes after gzip": (ZIPPED + b"x", "bytes found after the end of the gzip stream"),
    "gzip twice": (ZIPPED + ZIPPED, "bytes found after the end of the gzip stream"),
}


@pytest.mark.parametrize("name", BAD_IDX)
def test_bad_idx_file(tmp_path: Path, name: str) -> None:
    content, named = BAD_IDX[name]
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    assert named in refusal(read_idx, tmp_path / "train-images-idx3-ubyte.gz")


def test_bytes_after_gzip_are_seen_at_any_block_boundary(tmp_path: Path) -> None:
    # Stored without compression, so that the stream's length can be chosen: it ends exactly
    # where the reader's blocks of 64 KiB end, and the byte after it is in no block yet.
    for total in (65_536 - 1, 65_536, 65_536 + 1):
        for count in range(total - 60, total):
            packed = gzip.compress(idx(np.zeros(count, np.uint8)), compresslevel=0)
            if len(packed) == total:
                break
        assert len(packed) == total
        (tmp_path / "labels").write_bytes(packed)
        assert read_idx(tmp_path / "labels").shape == (count,)
        (tmp_path / "labels").write_bytes(packed + b"x")
        assert "after the end of the gzip stream" in refusal(read_idx, tmp_path / "labels")


@pytest.mark.parametrize("promised", [10, 2_000_000])
def test_bomb_is_not_inflated(tmp_path: Path, promised: int) -> None:
    if promised > 10:
        # A great promise with nothing behind it.
        packed = gzip.compress(idx(digits(1), dimensions=(promised, 28, 28)))
    else:
        # A small promise with 256 MiB behind it.
        bomb = zlib.compressobj(1, zlib.DEFLATED, 31)
        packed = bomb.compress(idx(digits(0), dimensions=(promised, 28, 28)))
        zeros = bytes(1 << 20)
        packed += b"".join(bomb.compress(zeros) for _ in range(256)) + bomb.flush()
    (tmp_path / "bomb").write_bytes(packed)
    tracemalloc.start()
    message = refusal(read_idx, tmp_path / "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "bytes found after the header" in message
    assert peak < 1 << 20


@settings(max_examples=300)
@given(
    start=st.sampled_from([SOUND, ZIPPED, idx(labels_for(40)), gzip.compress(idx(labels_for(40)))]),
    position=st.integers(0, 2**16),
    value=st.integers(1, 255),
    length=st.integers(0, 2**16),
)
def test_damaged_idx_gives_the_array_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory,
    start: bytes,
    position: int,
    value: int,
    length: int,
) -> None:
    content = bytearray(start)
    content[position % len(content)] ^= value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: length % (2 * len(content))])
    # Any other exception fails the test.
    with suppress(UserError):
        assert read_idx(path).ndim == start_dimensions(start)


def start_dimensions(content: bytes) -> int:
    return (gzip.decompress(content) if content[0] else content)[3]


def wrong_label(count: int, position: int, value: int) -> Bytes:
    labels = labels_for(count)
    labels[position] = value
    return labels


@pytest.mark.parametrize(
    ("images", "labels", "at", "named"),
    [
        (digits(3), labels_for(4), "labels-idx1", "4 labels found, 3 expected"),
        (digits(3), wrong_label(3, 2, 10), "labels-idx1", "label 2 is 10; 0 to 9 expected"),
        (digits(3), wrong_label(3, 0, 255), "labels-idx1", "label 0 is 255; 0 to 9 expected"),
        (digits(3), digits(3), "labels-idx1", "holds 3 pictures; labels expected"),
        (labels_for(3), labels_for(3), "images-idx3", "holds 3 labels; pictures expected"),
        (digits(3)[:, :, :20], labels_for(3), "images-idx3", "are 20x28; 28x28 expected"),
        (digits(3)[:, :14], labels_for(3), "images-idx3", "are 28x14; 28x28 expected"),
    ],
)
def test_pair_that_does_not_belong_together(
    tmp_path: Path, images: Bytes, labels: Bytes, at: str, named: str
) -> None:
    write_set(tmp_path, "t10k", images, labels)
    message = refusal(from_folder, tmp_path)
    assert message.startswith(f"{tmp_path}/t10k-{at}-ubyte: ")
    assert named in message


@pytest.mark.parametrize("gone", ["images-idx3", "labels-idx1"])
def test_half_a_pair(tmp_path: Path, gone: str) -> None:
    write_set(tmp_path, "train", digits(3), labels_for(3))
    write_set(tmp_path, "t10k", digits(3), labels_for(3), zipped=True)
    (tmp_path / f"t10k-{gone}-ubyte.gz").unlink()
    assert f"found without t10k-{gone}-ubyte (.gz or not)" in refusal(from_folder, tmp_path)


def test_bad_idx_in_a_folder_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, "train", digits(3), labels_for(3), zipped=True)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>404</html>")
    assert "train-labels-idx1-ubyte.gz: starts with 0x3c68746d" in refusal(from_folder, tmp_path)


def test_idx_name_that_is_a_folder(tmp_path: Path) -> None:
    write_set(tmp_path, "train", digits(3), labels_for(3))
    (tmp_path / "train-labels-idx1-ubyte.gz").mkdir()
    message = refusal(from_folder, tmp_path)
    assert "train-labels-idx1-ubyte.gz: cannot be read (Is a directory)" in message


def test_idx_link_that_leaves_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        write_set(folder, "train", digits(3), labels_for(3))
    name = "train-images-idx3-ubyte"
    (inside / name).rename(inside / "store")
    (inside / name).symlink_to("store")
    assert len(from_folder(inside).pixels) == 3
    # The user may reach the folder itself by a link.
    (tmp_path / "link").symlink_to(inside)
    assert len(from_folder(tmp_path / "link").pixels) == 3
    (inside / name).unlink()
    (inside / name).symlink_to(outside / name)
    assert f"{name}: a symlink that leaves the folder" in refusal(from_folder, inside)


@settings(max_examples=400)
@given(
    start=st.sampled_from([png(digits(1)[0]), jpeg(digits(1)[0])]),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
    kept=st.integers(0, 2**16),
)
def test_damaged_picture_is_a_row_and_no_crash(
    tmp_path_factory: pytest.TempPathFactory,
    start: bytes,
    changes: list[tuple[int, int]],
    kept: int,
) -> None:
    content = bytearray(start)
    for position, value in changes:
        content[position % len(content)] = value
    folder = tmp_path_factory.getbasetemp() / "damaged-pictures"
    put(folder / "0" / "a.png", png(digits(1)[0]))
    put(folder / "0" / "b.png", bytes(content[: kept % (2 * len(content))]))
    found = from_folder(folder)
    assert found.table.num_rows == 2
    assert found.table["status"][0].as_py() == "kept"


def test_links_stay_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    pixels = digits(3)
    put(inside / "train/1/a.png", png(pixels[0]))
    put(outside / "secret.png", png(pixels[1]))
    put(outside / "2/c.png", png(pixels[2]))
    (inside / "train/1/b.png").symlink_to("a.png")
    (inside / "train/1/c.png").symlink_to(outside / "secret.png")
    (inside / "train/1/d.png").symlink_to("../../../outside/secret.png")
    (inside / "train/1/e.png").symlink_to("nowhere.png")
    (inside / "train/1/f.png").symlink_to("f.png")
    (inside / "train/2").symlink_to(outside / "2")
    (inside / "test").symlink_to(outside)
    found = from_folder(inside)
    left = "a symlink that leaves the folder"
    assert {row["key"]: row["reason"] for row in found.table.to_pylist()} == {
        "train/1/a.png": None,
        "train/1/b.png": None,
        "train/1/c.png": left,
        "train/1/d.png": left,
        "train/1/e.png": "not a file",
        "train/1/f.png": "not a file",
        "train/2": left,
        "test/2": left,
    }
    assert np.array_equal(found.pixels[..., 0], pixels[[0, 0]])
    # Nothing outside was read, so nothing of it is told.
    outsiders = [row for row in found.table.to_pylist() if row["reason"] == left]
    assert {row["source_sha256"] for row in outsiders} == {None}


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    put(tmp_path / "4" / "gr\udcfcn.png", png(digits(1)[0]))
    put(tmp_path / "4" / "grün.png", png(digits(1)[0]))
    assert from_folder(tmp_path).table["key"].to_pylist() == ["4/grün.png", "4/gr\\xfcn.png"]
