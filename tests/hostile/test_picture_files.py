"""Damaged and hostile picture files: each is a row with a reason, and none takes memory or time."""

from __future__ import annotations

import io
import os
import re
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
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
from dcgan_assets.sources.reading.decode import Decoded, Refused, decode
from dcgan_assets.sources.reading.header import MAX_SCANS
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.usefixtures("no_workers_left")


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


# --- Scans of a JPEG --------------------------------------------------------------------------


def scans_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """What stands before the first scan of a JPEG, and its scans with the tables before each."""
    first = data.index(b"\xff\xda")
    marks = [found.start() for found in re.finditer(rb"\xff[\xc4\xda]", data)]
    ends = [mark for mark in marks if mark > first] + [data.rindex(b"\xff\xd9")]
    return data[:first], [data[a:b] for a, b in pairwise([first, *ends])]


def many_scans(count: int, between: bytes = b"", **options: Any) -> bytes:
    """A JPEG that shows one of its scans so many times more."""
    data = encoded(Image.new("RGB", (64, 48), "navy"), **options)
    before, scans = scans_of(data)
    last = next(scan for scan in reversed(scans) if scan.startswith(b"\xff\xda"))
    return before + b"".join(scans) + (between + last) * count + b"\xff\xd9"


SCANS = {
    "progressive": many_scans(1500, progressive=True),
    "sequential": many_scans(1500),
    "one more than allowed": many_scans(MAX_SCANS, progressive=True),
    "an end mark in each comment": many_scans(200, b"\xff\xfe\x00\x04\xff\xd9", progressive=True),
    "scans in comments do not count, others do": many_scans(
        200, b"\xff\xfe\x00\x06\xff\xda\xff\xd9", progressive=True
    ),
    "restarts between": many_scans(200, b"\xff\xd0\xff\xd7", progressive=True),
    "fill bytes between": many_scans(200, b"\xff" * 50, progressive=True),
    "junk between": many_scans(200, b"junk\xff\x00", progressive=True),
    "tables between": many_scans(200, b"\xff\xdd\x00\x04\x00\x00", progressive=True),
    "comments without end": many_scans(1, b"\xff\xfe\x00\x02" * 10_000, progressive=True),
}


@pytest.mark.parametrize("case", SCANS)
def test_scans_without_end(case: str) -> None:
    assert refusal(SCANS[case]) == "too many scans: at most 100 are read"


@pytest.mark.parametrize("kind", JPEGS)
def test_no_encoders_scans_are_too_many(kind: str) -> None:
    before, _ = scans_of(data := JPEGS[kind](next(windows(1))))
    assert data.startswith(before)
    assert isinstance(decode(data), Decoded)


def test_scans_in_what_follows_a_jpeg_do_not_count() -> None:
    """A film behind a photograph, as telephones write them."""
    data = encoded(next(windows(1)), progressive=True) + b"\xff\xda\x00\x02" * 1000 + b"\xff\xd9"
    found = decode(data)
    assert isinstance(found, Decoded)


# --- Of all kinds -----------------------------------------------------------------------------


def png_of(width: int, height: int, depth: int = 8, colour: int = 0, *more: bytes) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    chunks += [(one[:4], one[4:]) for one in more] + [(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def idat(content: bytes) -> bytes:
    return b"IDAT" + zlib.compress(content, 9)


def gif_of(screen: tuple[int, int], frame: tuple[int, int, int, int], coded: bytes) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", *frame, 0) + coded + b";"


def bmp_of(width: int, height: int, bits: int, packing: int, rest: bytes) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rest), 0, 0, 54) + info + rest


def with_bytes(data: bytes, place: int, value: bytes) -> bytes:
    return data[:place] + value + data[place + len(value) :]


def of_kind(kind: str, **options: Any) -> bytes:
    return encoded(Image.new("RGB", (64, 48), "teal"), kind, **options)


def jpeg_size(height: int, width: int) -> bytes:
    data = of_kind("JPEG")
    return with_bytes(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


PNG, GIF, WEBP, AVIF = of_kind("PNG"), of_kind("GIF"), of_kind("WEBP"), of_kind("AVIF")
ISPE = AVIF.index(b"ispe") + 8
KINDS = {
    "nothing": (b"", "empty"),
    "a zero": (b"\0", "not a JPEG"),
    "zeros": (bytes(10_000), "not a JPEG"),
    "the mark of a JPEG": (b"\xff\xd8\xff", "truncated"),
    "the mark of a PNG": (PNG[:8], "truncated"),
    "the mark of a GIF": (b"GIF89a", "truncated"),
    "the mark of a WebP": (b"RIFF\4\0\0\0WEBP", "damaged"),
    "the mark of a BMP": (b"BM", "truncated"),
    "the mark of a TIFF": (b"II*\0", "truncated"),
    "the mark of an AVIF": (b"\0\0\0\x0cftypavif", "damaged"),
    "a JPEG of 65,535 a side": (jpeg_size(65_535, 65_535), "too many pixels"),
    "a JPEG without height": (jpeg_size(0, 64), "damaged"),
    "a JPEG without width": (jpeg_size(64, 0), "damaged"),
    "a JPEG that is higher than its data": (jpeg_size(4000, 4000), "damaged"),
    "a JPEG without a frame": (b"\xff\xd8\xff\xda\0\2\xff\xd9", "damaged"),
    "a JPEG of marks alone": (b"\xff\xd8" + b"\xff\xd0" * 5000, "truncated"),
    "a JPEG of fill bytes": (b"\xff\xd8" + b"\xff" * 100_000, "truncated"),
    "a JPEG of segments without length": (b"\xff\xd8" + b"\xff\xfe\0\0" * 5000, "truncated"),
    "a JPEG without loss": (of_kind("JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), "damaged"),
    "a JPEG with arithmetic codes cut": (
        of_kind("JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1),
        "damaged",
    ),
    "a JPEG without tables": (re.sub(rb"\xff\xdb", b"\xff\xfe", of_kind("JPEG")), "damaged"),
    "a JPEG of five channels": (
        with_bytes(of_kind("JPEG"), of_kind("JPEG").index(b"\xff\xc0") + 9, b"\5"),
        "damaged",
    ),
    "a PNG of 2,147,483,647 a side": (png_of(2**31 - 1, 2**31 - 1), "too many pixels"),
    "a PNG of 4,294,967,295 a side": (png_of(2**32 - 1, 2**32 - 1), "too many pixels"),
    "a PNG without width": (png_of(0, 8), "damaged"),
    "a PNG without data": (png_of(8, 8), "damaged"),
    "a PNG with half its data": (png_of(64, 64, 8, 0, idat(bytes(65 * 32))), "damaged"),
    "a PNG of another depth": (png_of(8, 8, 7, 0, idat(bytes(72))), "damaged"),
    "a PNG of another colour": (png_of(8, 8, 8, 5, idat(bytes(200))), "damaged"),
    "a PNG without its palette": (png_of(8, 8, 8, 3, idat(bytes(72))), "damaged"),
    "a PNG of another filter": (png_of(8, 8, 8, 0, idat(b"\x09" * 72)), "damaged"),
    "a PNG as high as it may be wide": (png_of(1, 16_384, 8, 0, idat(bytes(9))), "too long"),
    "a PNG of no deflate": (png_of(8, 8, 8, 0, b"IDATnot deflate"), "damaged"),
    "a GIF whose frame is larger than all": (
        gif_of((1, 1), (65_535, 65_535, 65_535, 65_535), b"\2\2\x44\1\0"),
        "too many pixels",
    ),
    "a GIF without size": (gif_of((0, 0), (0, 0, 0, 0), b"\2\2\x44\1\0"), "damaged"),
    "a GIF without end": (GIF[:-1] + b"!\xfe" + b"\xff" * 300, "truncated"),
    "a GIF without frames": (GIF[:13] + b";", "truncated"),
    "a WebP longer than its file": (with_bytes(WEBP, 4, b"\xff\xff\xff\x7f"), "truncated"),
    "a WebP of another kind": (with_bytes(WEBP, 12, b"VP9 "), "damaged"),
    "a WebP without size": (with_bytes(WEBP, 26, b"\0\0\0\0"), "damaged"),
    "a WebP of 16,383 a side": (with_bytes(WEBP, 26, b"\xff\x3f\xff\x3f"), "too many pixels"),
    "a canvas of 16,777,216 a side": (
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
        "too many pixels",
    ),
    "a BMP of negative width": (bmp_of(-8, 8, 24, 0, bytes(500)), "damaged"),
    "a BMP without size": (bmp_of(0, 0, 24, 0, b""), "damaged"),
    "a BMP of runs that is not there": (bmp_of(7000, 7000, 8, 1, b""), "damaged"),
    "a BMP of runs of 20,000 a side": (bmp_of(20_000, 20_000, 8, 1, b"\0\1"), "too many pixels"),
    "an AVIF of 4,294,967,295 a side": (with_bytes(AVIF, ISPE, b"\xff" * 8), "too many pixels"),
    "an AVIF without size": (with_bytes(AVIF, ISPE, bytes(8)), "damaged"),
    "an AVIF that is cut": (AVIF[: len(AVIF) // 2], "truncated"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC"),
    "a web page": (b"\n <!DOCTYPE html><html>", "HTML"),
    "SVG with an entity": (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "not a JPEG"),
    "PostScript, which Pillow would run": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9",
        "not",
    ),
    "PDF": (b"%PDF-1.7\n", "not a JPEG"),
    "a program": (b"MZ" + bytes(500), "not a JPEG"),
    "an icon": (b"\0\0\1\0\1\0" + bytes(50), "not a JPEG"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "not a JPEG"),
    "JPEG XL": (b"\xff\x0a" + bytes(50), "not a JPEG"),
    "a zip": (b"PK\3\4" + bytes(50), "not a JPEG"),
    "a pickle": (b"cos\nsystem\n(S'true'\ntR.", "not a JPEG"),
    "a sound in RIFF": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "not a JPEG"),
    "a film": (b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(40), "not a JPEG"),
}


@pytest.mark.parametrize("case", KINDS)
def test_files_of_all_kinds_are_refused_with_their_reason(case: str) -> None:
    data, reason = KINDS[case]
    tracemalloc.start()
    found = refusal(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.startswith(reason)
    assert found.isprintable()
    assert len(found) < 200
    assert peak < 64 << 20


def exif(tag: int, kind: int, value: int, after: int = 0, count: int = 1) -> bytes:
    """EXIF data with one entry; `after` is where the next directory is said to be."""
    entry = struct.pack("<HHHII", count, tag, kind, 1, value)
    return b"Exif\0\0II*\0\x08\0\0\0" + entry + struct.pack("<I", after)


SOUND = {
    "a GIF that goes on as another file": GIF + b"PK\3\4" + bytes(500),
    "a page in a comment": of_kind("JPEG", comment=b"<!DOCTYPE html><html><script>"),
    "a PNG with a text of 64 MB": png_of(
        *(64, 64, 8, 0, b"zTXta\0\0" + zlib.compress(bytes(64 << 20), 9)), idat(bytes(65 * 64))
    ),
    "a PNG with more data than pixels": png_of(64, 64, 8, 0, idat(bytes(32 << 20))),
    "an orientation of 0": of_kind("JPEG", exif=exif(0x0112, 3, 0)),
    "an orientation of 65,535": of_kind("JPEG", exif=exif(0x0112, 3, 65_535)),
    "EXIF data that lead to themselves": of_kind("JPEG", exif=exif(0x8769, 4, 8, after=8)),
    "EXIF data of 65,535 entries": of_kind("JPEG", exif=exif(0x0112, 3, 1, count=65_535)),
    "a GIF of 2,000 frames": GIF[:-1] + GIF[GIF.index(b",", 13) : -1] * 1999 + b";",
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_what_is_odd_and_harmless_is_read_and_no_larger_than_it_says(case: str) -> None:
    tracemalloc.start()
    found = decode(SOUND[case])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, Decoded), found
    assert max(found.width, found.height) == 64
    assert peak < 64 << 20


def test_each_of_them_is_a_row_of_a_folder(tmp_path: Path) -> None:
    """Through the real workers, which outlive all of them."""
    pictures, made = tmp_path / "pictures", tmp_path / "made"
    pictures.mkdir()
    made.mkdir()
    refused = {**{name: data for name, (data, _) in KINDS.items()}, **SCANS}
    for name, data in {**refused, **SOUND}.items():
        (pictures / f"{name}.jpg").write_bytes(data)
    report = ingest(Folder(pictures).items(0, 1), made, (32,), workers=1)
    assert report is not None
    rows = pq.read_table(made / "manifest.parquet").to_pylist()
    status = {row["key"].removesuffix(".jpg"): row["status"] for row in rows}
    assert status == {**dict.fromkeys(refused, "rejected"), **dict.fromkeys(SOUND, "kept")}
