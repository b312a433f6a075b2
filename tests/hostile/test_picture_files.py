"""Damaged and hostile picture files: each is a row with a reason, and none takes memory or time."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage
from icc_profiles import ADOBE, matrix_profile
from PIL import Image

from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.photographs import PHOTOGRAPHS, photograph
from dcgan_assets.sources.reading.complaints import listening
from dcgan_assets.sources.reading.decode import Decoded, Pixels, Refused, decode
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.workers import close_workers


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    close_workers()


def windows(count: int) -> Iterator[Image.Image]:
    """Parts of photographs, 160 to 320 pixels wide."""
    rng = np.random.default_rng(7)
    for number in range(count):
        whole = photograph(list(PHOTOGRAPHS)[number % len(PHOTOGRAPHS)])
        side = int(rng.integers(160, min(320, *whole.shape[:2]) + 1))
        top, left = (int(rng.integers(whole.shape[axis] - side + 1)) for axis in (0, 1))
        yield Image.fromarray(whole[top : top + side, left : left + side])


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opencv_jpeg(image: Image.Image, *options: int) -> bytes:
    pixels = np.asarray(image)[..., ::-1]
    return cv2.imencode(".jpg", pixels, list(options))[1].tobytes()


def with_thumbnail(image: Image.Image) -> bytes:
    """A JPEG with a whole JPEG in its EXIF data, as cameras write it."""
    small = encoded(image.resize((64, 48)))
    first = struct.pack("<HHHII", 1, 0x0112, 3, 1, 1) + struct.pack("<I", 26)
    place = 26 + 2 + 3 * 12 + 4
    entries = ((0x103, 3, 6), (0x201, 4, place), (0x202, 4, len(small)))
    second = struct.pack("<H", 3) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    exif = b"Exif\0\0II*\0\x08\0\0\0" + first + second + bytes(4) + small
    return encoded(image, exif=exif)


def stereo(image: Image.Image) -> bytes:
    """Two JPEGs in a file: the end mark of the second must not pass for the first's."""
    stream = io.BytesIO()
    image.save(stream, "MPO", save_all=True, append_images=[image.resize((80, 60))])
    return stream.getvalue()


JPEGS: dict[str, Callable[[Image.Image], bytes]] = {
    "baseline": lambda image: encoded(image, quality=75),
    "4:4:4": lambda image: encoded(image, quality=95, subsampling=0),
    "optimised": lambda image: encoded(image, quality=85, optimize=True),
    "progressive": lambda image: encoded(image, quality=85, progressive=True),
    "grey": lambda image: encoded(image.convert("L"), quality=80),
    "restarts": lambda image: encoded(image, quality=80, restart_marker_blocks=4),
    "thumbnail": with_thumbnail,
    "stereo": stereo,
    "CMYK": lambda image: encoded(image.convert("CMYK"), quality=85),
    "OpenCV": lambda image: opencv_jpeg(image, cv2.IMWRITE_JPEG_QUALITY, 80),
    "OpenCV progressive": lambda image: opencv_jpeg(image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


def scan(data: bytes) -> tuple[int, int]:
    """Where the entropy-coded data of the main picture begin and end."""
    position = 2
    while data[position + 1] != 0xDA:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position + 14, data.index(b"\xff\xd9", position)


def zeros_in_the_middle(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = scan(data)
    size = min(2000, (end - begin) // 3)
    place = int(rng.integers(begin, end - size))
    return data[:place] + bytes(size) + data[place + size :]


def noise_in_the_middle(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = scan(data)
    size = min(2000, (end - begin) // 3)
    place = int(rng.integers(begin, end - size))
    return data[:place] + rng.bytes(size) + data[place + size :]


def second_half_zero(data: bytes, _: np.random.Generator) -> bytes:
    begin, end = scan(data)
    return data[: (begin + end) // 2] + bytes(len(data) - (begin + end) // 2)


def cut_with_an_end_mark(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = scan(data)
    return data[: int(begin + (end - begin) * rng.uniform(0.05, 0.95))] + b"\xff\xd9"


def a_block_missing(data: bytes, rng: np.random.Generator) -> bytes:
    begin, end = scan(data)
    size = min(512, (end - begin) // 3)
    place = int(rng.integers(begin, end - size))
    return data[:place] + data[place + size :]


DAMAGE = (
    zeros_in_the_middle,
    noise_in_the_middle,
    second_half_zero,
    cut_with_an_end_mark,
    a_block_missing,
)


@pytest.mark.parametrize("kind", JPEGS)
def test_damage_of_a_jpeg_is_seen_and_no_whole_one_is_refused(kind: str) -> None:
    """Of 560 pictures a kind of damage, 99.5 to 100 % are seen; fewest of progressive ones."""
    rng = np.random.default_rng(3)
    missed = []
    for image in windows(6):
        data = JPEGS[kind](image)
        assert isinstance(decode(data), Decoded)
        for damage in DAMAGE:
            found = decode(damage(data, rng))
            if isinstance(found, Decoded):
                missed.append(damage.__name__)
            else:
                assert found.reason.partition(":")[0] in {"damaged", "truncated"}
    assert len(missed) <= 3, missed  # of 30


def test_installed_jpegs_of_many_encoders_are_whole() -> None:
    packages = Path(skimage.__file__).parents[1]
    files = [path for path in packages.rglob("*.jp*g") if path.suffix in {".jpg", ".jpeg"}]
    assert len(files) > 3
    for path in files:
        assert isinstance(decode(path.read_bytes()), Decoded), path


def test_worker_processes_see_it_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pictures, made = tmp_path / "pictures", tmp_path / "made"
    pictures.mkdir()
    made.mkdir()
    data = encoded(next(windows(1)))
    (pictures / "whole.jpg").write_bytes(data)
    for damage in DAMAGE:
        (pictures / f"{damage.__name__}.jpg").write_bytes(damage(data, rng))
    report = ingest(Folder(pictures).items(0, 1), made, (32,), workers=1)
    assert report is not None
    rows = pq.read_table(made / "manifest.parquet").to_pylist()
    kept = [row["key"] for row in rows if row["status"] == "kept"]
    assert kept == ["whole.jpg"]
    reasons = {row["key"]: row["reason"] for row in rows}
    assert reasons["cut_with_an_end_mark.jpg"] == "damaged: premature end of data segment"
    assert reasons["second_half_zero.jpg"] == "truncated"


def test_what_others_write_to_standard_error_is_neither_lost_nor_damage(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = encoded(next(windows(1)))
    pixels = np.frombuffer(data[: len(data) // 2] + b"\xff\xd9", np.uint8)

    def noisy() -> Any:
        thread = threading.Thread(target=os.write, args=(2, b"a line of another thread\n"))
        thread.start()
        thread.join()
        return cv2.imdecode(pixels, cv2.IMREAD_COLOR)

    _, damage = listening(noisy)
    assert damage == "premature end of data segment"
    assert listening(lambda: os.write(2, b"Corruption elsewhere\n"))[1] is None
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "a line of another thread\nCorruption elsewhere\nafterwards\n"


def test_a_decoder_that_raises_gives_standard_error_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def failing() -> None:
        os.write(2, b"Corrupt JPEG data: bad Huffman code\n")
        raise MemoryError

    with pytest.raises(MemoryError):
        listening(failing)
    os.write(2, b"afterwards\n")
    assert listening(lambda: None) == (None, None)
    assert capfd.readouterr().err == "afterwards\n"


def test_a_forked_child_listens_for_itself() -> None:
    data = encoded(next(windows(1)))
    cut = data[: len(data) // 2] + b"\xff\xd9"
    assert isinstance(decode(data), Decoded)
    child = os.fork()
    if not child:
        good = isinstance(decode(data), Decoded) and isinstance(decode(cut), Refused)
        os._exit(0 if good else 1)
    for _ in range(50):
        assert isinstance(decode(data), Decoded)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_tail_that_was_never_written(kind: str) -> None:
    for image in windows(3):
        data = encoded(image, kind)
        assert isinstance(decode(data), Decoded)
        half = len(data) // 2
        found = decode(data[:half] + bytes(len(data) - half))
        assert isinstance(found, Refused)
        assert found.reason == "damaged: zeros in place of data"


@pytest.mark.parametrize("colour", ["white", "black", (200, 30, 40)])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_flat_pictures_are_no_damage(kind: str, colour: Any) -> None:
    image = Image.new("RGB", (2000, 1500), colour)
    options: dict[str, Any] = {"optimize": True} if kind == "JPEG" else {}
    assert isinstance(decode(encoded(image, kind, **options)), Decoded)


# --- PNG --------------------------------------------------------------------------------------


def with_chunk(name: bytes, content: bytes) -> bytes:
    data = encoded(next(windows(1)), "PNG")
    body = name + content
    chunk = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"sBIT", b"\x05\x05\x05"),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"iCCP", b"x\0\0" + zlib.compress(matrix_profile(*ADOBE))),
        (b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
    ],
)
def test_every_checksum_of_a_png_is_looked_at(name: bytes, content: bytes) -> None:
    data = bytearray(with_chunk(name, content))
    assert isinstance(decode(bytes(data)), Decoded)
    data[33 + 8] ^= 1
    assert decode(bytes(data)) == Refused("damaged: a wrong checksum")


@pytest.mark.parametrize(
    ("name", "content"),
    [(b"sBIT", b""), (b"sBIT", b"\0\0\0"), (b"sBIT", b"\xff\xff\xff"), (b"iCCP", b""),
     (b"iCCP", b"no zero"), (b"gAMA", struct.pack(">I", 0))],
)  # fmt: skip
def test_chunks_that_make_no_sense_kill_no_picture(name: bytes, content: bytes) -> None:
    assert isinstance(decode(with_chunk(name, content)), Decoded)


@pytest.mark.parametrize("name", [b"gAMA", b"cHRM", b"cICP", b"acTL"])
def test_chunks_that_are_too_short(name: bytes) -> None:
    found = decode(with_chunk(name, b""))
    assert found == Refused("truncated")


def test_a_profile_of_128_megabytes_in_128_kilobytes_is_not_unpacked() -> None:
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(128)) + packer.flush()
    data = with_chunk(b"iCCP", b"x\0\0" + packed)
    tracemalloc.start()
    found = decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, Decoded)
    assert found.converted == "colours not converted: an unusable profile"
    assert peak < 32 << 20


def test_the_name_of_a_profile_is_foreign_text() -> None:
    name = "\x1b[31m; grey; EXIF orientation 6\n<b>" + "long " * 40
    profile = matrix_profile(*ADOBE, name=name)
    found = decode(encoded(next(windows(1)), icc_profile=profile))
    assert isinstance(found, Decoded)
    told = str(found.converted)
    assert told.startswith("colours to sRGB: ")
    assert told.isprintable()
    assert not set(told) & set(";<\x1b\n")
    assert len(told) <= 60


def test_profiles_of_random_bytes_never_raise() -> None:
    rng = np.random.default_rng(1)
    image = Image.new("RGB", (32, 32), (90, 120, 30))
    whole = matrix_profile(*ADOBE)
    for _ in range(100):
        profile = bytearray(whole)
        for place in rng.integers(0, len(profile), 3):
            profile[place] = rng.integers(256)
        assert isinstance(decode(encoded(image, "PNG", icc_profile=bytes(profile))), Decoded)


# --- TIFF -------------------------------------------------------------------------------------


def tiff(**changes: tuple[int, int, int]) -> bytes:
    """An 8x8 grey TIFF; `t254=(kind, count, value)` sets a tag, whose value may be a place."""
    entries = {
        256: (4, 1, 8),
        257: (4, 1, 8),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, 8),
        279: (4, 1, 64),
    }
    entries |= {int(tag.removeprefix("t")): entry for tag, entry in changes.items()}
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<I", 72) + bytes(range(64)) + directory + bytes(4)


def refusal(data: bytes) -> str:
    found = decode(data)
    assert isinstance(found, Refused), found
    return found.reason


def test_the_tiff_that_is_made_hostile_below_is_read() -> None:
    found = decode(tiff())
    assert isinstance(found, Decoded)
    assert found.pixels[..., 0].ravel().tolist() == list(range(64))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t273": (4, 100_000_000, 8)}, "damaged"),
        ({"t273": (4, 1, 4_000_000_000)}, "truncated"),
        ({"t279": (4, 1, 4_000_000_000)}, "truncated"),
        (
            {"t258": (3, 4_000_000_000, 8)},
            "TIFF of a kind that is not read: 1 channels of 256 bits",
        ),
        ({"t277": (3, 1, 65_535)}, "TIFF of a kind that is not read: 65535 channels of 8 bits"),
        ({"t258": (3, 1, 64)}, "TIFF of a kind that is not read: 1 channels of 64 bits"),
        ({"t262": (3, 1, 32_803)}, "TIFF of a kind that is not read"),
        ({"t256": (4, 1, 0)}, "damaged"),
        ({"t324": (4, 1, 8), "t322": (4, 1, 1 << 31), "t323": (4, 1, 1 << 31)}, "damaged"),
        ({"t324": (4, 1, 8), "t322": (4, 1, 0), "t323": (4, 1, 0)}, "damaged"),
        ({"t254": (4, 1, 1)}, "a raw photograph: save it as JPEG, PNG or TIFF"),
        ({"t50706": (1, 4, 1)}, "a raw photograph: save it as JPEG, PNG or TIFF"),
        ({"t257": (4, 1, 16)}, "truncated"),
        ({"t278": (4, 1, 4)}, "truncated"),
        ({"t279": (4, 1, 32)}, "truncated"),
        ({"t278": (4, 1, 0)}, "damaged"),
    ],
)
def test_what_the_directory_of_a_tiff_may_claim(
    changes: dict[str, tuple[int, int, int]], reason: str
) -> None:
    tracemalloc.start()
    found = refusal(tiff(**changes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == reason
    assert peak < 4 << 20


def test_a_ring_of_pages_ends() -> None:
    data = tiff()
    found = decode(data[:-4] + struct.pack("<I", 72))
    assert isinstance(found, Decoded)
    assert str(found.converted).startswith("grey; frame 1 of ")


def test_a_jpeg_inside_a_tiff_is_listened_to() -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for image in windows(8):
        data = bytearray(encoded(image, "TIFF", compression="jpeg"))
        assert isinstance(decode(bytes(data)), Decoded)
        place = len(data) // 2
        data[place : place + 500] = rng.bytes(500)
        seen += isinstance(decode(bytes(data)), Refused)
    assert seen >= 6


# --- BMP and AVIF -----------------------------------------------------------------------------


@pytest.mark.parametrize("height", [-(2**31), 2**31 - 1])
def test_a_bitmap_of_two_thousand_million_rows(height: int) -> None:
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "BMP"))
    data[22:26] = struct.pack("<i", height)
    assert refusal(bytes(data)) == "truncated"


@pytest.mark.parametrize("size", [0, 1, 2, 7, 0xFFFFFFFF])
def test_boxes_of_every_size_end(size: int) -> None:
    data = bytearray(encoded(Image.new("RGB", (64, 64), "red"), "AVIF"))
    place = data.index(b"ipco") - 4
    data[place : place + 4] = struct.pack(">I", size)
    found = decode(bytes(data))
    assert isinstance(found, Decoded | Refused)


def test_every_format_in_one_folder(tmp_path: Path) -> None:
    """What users have: each file is kept or is a row with a reason, through the real workers."""
    image: Image.Image = next(windows(1))
    pictures, made = tmp_path / "pictures", tmp_path / "made"
    pictures.mkdir()
    made.mkdir()
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        (pictures / f"{kind}.bin").write_bytes(encoded(image, kind))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    (pictures / "pointer.jpg").write_text(pointer)
    (pictures / "small.png").write_bytes(encoded(image.resize((40, 40)), "PNG"))
    report = ingest(Folder(pictures).items(0, 1), made, (64,), workers=1, min_side=64)
    assert report is not None
    assert report.kept == 7
    assert report.reasons == {"a git-lfs pointer": 1, "too small": 1}
    pixels: Pixels = np.load(made / "pixels_64.npy")
    spread = np.abs(pixels.astype(int) - np.median(pixels, axis=0)).mean(axis=(1, 2, 3))
    assert spread.max() < 6  # all are the same picture
