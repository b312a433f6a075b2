"""`decode` on pictures of every kind and on what pretends to be one, with Pillow as the judge."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from dcgan_assets.sources.reading.decode import NARROW, Decoded, Refused, decode, thumbnails
from dcgan_assets.sources.reading.header import NO_PICTURE
from dcgan_assets.sources.reading.headers import read_header
from dcgan_models.pixels import Pixels

HEIGHT, WIDTH = 40, 60


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def encoded(pixels: npt.NDArray[Any], kind: str, mode: str | None = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def kept(data: bytes, converted: str | None = None) -> Pixels:
    found = decode(data)
    assert isinstance(found, Decoded), found
    assert found.converted == converted
    assert found.pixels.dtype == np.uint8
    assert found.pixels.flags.c_contiguous
    assert found.pixels.shape == (found.height, found.width, 3)
    return found.pixels


def refusal(data: bytes, min_side: int = 1) -> str:
    found = decode(data, min_side)
    assert isinstance(found, Refused)
    return found.reason


def on_white(rgba: Image.Image) -> Pixels:
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba.convert("RGBA")).convert("RGB"))


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("PNG", {}),
        ("PNG", {"mode": "P"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {"mode": "P"}),
        ("BMP", {}),
        ("BMP", {"mode": "P"}),
        ("TIFF", {}),
        ("TIFF", {"mode": "P"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("AVIF", {}),
    ],
)
def test_plain_pictures(kind: str, options: dict[str, Any]) -> None:
    data = encoded(picture(), kind, **options)
    assert np.array_equal(kept(data), np.asarray(opened(data).convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_grey(kind: str) -> None:
    data = encoded(picture(), kind, "L")
    assert np.array_equal(kept(data, "grey"), np.asarray(opened(data).convert("RGB")))


def test_one_bit_grey() -> None:
    data = encoded(picture(), "PNG", "1")
    assert set(np.unique(kept(data, "grey"))) == {0, 255}


def test_cmyk_is_close_to_what_it_was_made_from() -> None:
    found = kept(encoded(picture(), "JPEG", "CMYK", quality=95), "CMYK")
    assert np.abs(found.astype(int) - picture()).mean() < 3


def test_sixteen_bits_are_cut() -> None:
    levels = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    grey = kept(encoded(levels, "PNG"), "16-bit; grey")
    assert np.array_equal(grey, np.repeat((levels >> 8)[..., None], 3, axis=2))
    colours = np.dstack([levels, levels[::-1], levels[:, ::-1]])
    rgb = kept(cv2.imencode(".png", colours[..., ::-1])[1].tobytes(), "16-bit")
    assert np.array_equal(rgb, colours >> 8)
    alpha = np.full_like(levels, 65535)
    alpha[:, :30] = 0
    rgba = np.dstack([colours[..., ::-1], alpha])
    blended = kept(cv2.imencode(".png", rgba)[1].tobytes(), "alpha on white; 16-bit")
    assert (blended[:, :30] == 255).all()
    assert np.array_equal(blended[:, 30:], colours[:, 30:] >> 8)


def sixteen_bit_png(levels: npt.NDArray[np.uint16], bits: bytes | None) -> bytes:
    """A PNG of (height, width, channels) or (height, width), with an sBIT chunk where told."""
    data = cv2.imencode(".png", levels)[1].tobytes()
    if bits is None:
        return data
    chunk = struct.pack(">I", len(bits)) + b"sBIT" + bits
    after_header = 8 + 25
    checksum = struct.pack(">I", zlib.crc32(chunk[4:]))
    return data[:after_header] + chunk + checksum + data[after_header:]


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
def test_bits_that_lie_low_are_moved_by_what_the_file_says(bits: int) -> None:
    levels = np.linspace(0, 2**bits - 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    found = kept(
        sixteen_bit_png(levels, bytes([bits])), f"16-bit; grey; {bits} bits in the lower ones of 16"
    )
    assert np.array_equal(found[..., 0], levels >> bits - 8)
    # Half as bright is half as bright: a picture's own range decides nothing.
    darker = kept(
        sixteen_bit_png(levels // 2, bytes([bits])),
        f"16-bit; grey; {bits} bits in the lower ones of 16",
    )
    assert np.array_equal(darker[..., 0], levels // 2 >> bits - 8)


def test_bits_that_lie_low_beside_alpha() -> None:
    colours = np.random.default_rng(0).integers(0, 4096, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    told = "alpha on white; 16-bit; 12 bits in the lower ones of 16"
    for opaque in (4095, 65535):
        alpha = np.full((HEIGHT, WIDTH), opaque, np.uint16)
        alpha[:, :30] = 0
        data = sixteen_bit_png(np.dstack([colours, alpha]), b"\x0c\x0c\x0c\x0c")
        found = kept(data, told)
        assert (found[:, :30] == 255).all()
        assert np.array_equal(found[:, 30:], (colours[:, 30:, ::-1] >> 4))


def test_bits_that_lie_high_as_they_should_stay_there() -> None:
    levels = np.linspace(0, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    found = kept(sixteen_bit_png(levels << 4, b"\x0c"), "16-bit; grey")
    assert np.array_equal(found[..., 0], levels >> 4)
    # A dark one, too: it is not mistaken for one whose bits lie low.
    dark = kept(sixteen_bit_png((levels >> 5) << 4, b"\x0c"), f"16-bit; grey; {NARROW}")
    assert np.array_equal(dark[..., 0], levels >> 9)


def test_16_bits_that_use_a_sixteenth_of_their_range_are_kept_dark_and_told() -> None:
    levels = np.linspace(0, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    for data in (sixteen_bit_png(levels, None), encoded(levels, "TIFF")):
        found = kept(data, f"16-bit; grey; {NARROW}")
        assert np.array_equal(found[..., 0], levels >> 8)
    levels[0, 0] = 4096
    kept(sixteen_bit_png(levels, None), "16-bit; grey")


def test_16_bits_of_tiff_are_cut() -> None:
    levels = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    for kind in ("<u2", ">u2"):
        grey = kept(encoded(levels.astype(kind), "TIFF"), "16-bit; grey")
        assert np.array_equal(grey[..., 0], levels >> 8)
    colours = np.dstack([levels, levels[::-1], levels[:, ::-1]])
    rgb = kept(cv2.imencode(".tiff", colours[..., ::-1])[1].tobytes(), "16-bit")
    assert np.array_equal(rgb, colours >> 8)


def test_cmyk_tiff() -> None:
    inks = Image.fromarray(picture()).convert("CMYK")
    stream = io.BytesIO()
    inks.save(stream, "TIFF")
    assert np.array_equal(kept(stream.getvalue(), "CMYK"), np.asarray(inks.convert("RGB")))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_tiffs_that_are_not_read(mode: str) -> None:
    image = Image.new(mode, (WIDTH, HEIGHT))
    stream = io.BytesIO()
    image.save(stream, "TIFF")
    assert refusal(stream.getvalue()).partition(":")[0] == "TIFF of a kind that is not read"


def test_12_bit_jpeg_is_not_read() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert refusal(bytes(data)) == "JPEG of a kind that is not read: 12 bits"


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("WEBP", "RGBA"),
        ("WEBP lossless", "RGBA"),
        ("TIFF", "RGBA"),
        ("TIFF", "LA"),
        ("AVIF", "RGBA"),
    ],
)
def test_transparency_shows_white_and_never_hidden_colours(kind: str, mode: str) -> None:
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    name, _, lossless = kind.partition(" ")
    options = {"lossless": True, "exact": True} if lossless else {}
    data = encoded(np.dstack([picture(), ramp]), name, mode, **options)
    found = kept(data, "alpha on white; grey" if mode == "LA" else "alpha on white")
    assert difference(found, on_white(opened(data))) <= 1
    assert found[:, 0].min() >= (250 if kind == "AVIF" else 255)  # AVIF rounds its alpha, too


def test_a_transparent_colour() -> None:
    palette = Image.fromarray(picture()).convert("P")
    for kind in ("PNG", "GIF"):
        stream = io.BytesIO()
        palette.save(stream, kind, transparency=palette.getpixel((5, 5)))
        found = kept(stream.getvalue(), "alpha on white")
        assert np.array_equal(found, on_white(opened(stream.getvalue())))
        assert (found[5, 5] == 255).all()
    rgb = encoded(picture(), "PNG", transparency=tuple(picture()[5, 5].tolist()))
    assert np.array_equal(kept(rgb, "alpha on white"), on_white(opened(rgb)))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_level(depth: int) -> None:
    # Written by hand: Pillow writes few of these. One row of levels 0 to 3 (or 0 and 1).
    level, count = 1, 2 if depth == 1 else 4
    bits = "".join(f"{value:0{depth}b}" for value in range(count)).ljust(8, "0")
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", count, 1, depth, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", struct.pack(">H", level)), (b"IDAT", zlib.compress(row))]
    found = kept(
        png_of(*chunks),
        f"alpha on white; 16-bit; grey; {NARROW}" if depth == 16 else "alpha on white; grey",
    )
    largest = 2**depth - 1
    expected = [255 if v == level else v * 255 // largest for v in range(count)]
    assert found[0, :, 0].tolist() == expected


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(content)) + name + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (*chunks, (b"IEND", b""))
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(opened(data)).convert("RGB"))
    note = None if orientation == 1 else f"EXIF orientation {orientation}"
    assert np.array_equal(kept(data, note), upright)


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"junk" * 9])
def test_exif_that_makes_no_sense_is_passed_over(exif: bytes) -> None:
    segment = b"Exif\0\0" + exif
    data = encoded(picture(), "JPEG")
    marked = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert np.array_equal(kept(marked), kept(data))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.fromarray(picture(seed)).convert("RGB") for seed in range(3)]
    stream = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **options)
    data = stream.getvalue()
    found = decode(data)
    assert isinstance(found, Decoded)
    assert "frame 1 of 3" in str(found.converted)
    assert difference(found.pixels, np.asarray(opened(data).convert("RGB"))) <= 1


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "WEBP lossless", "GIF", "BMP", "TIFF", "AVIF"]
)
@pytest.mark.parametrize("cut", ["magic", 0.1, 0.5, 0.9, "end"])
def test_truncated(kind: str, cut: float | str) -> None:
    name, _, lossless = kind.partition(" ")
    data = encoded(picture(), name, **({"lossless": True} if lossless else {}))
    length = {"magic": 12, "end": len(data) - 2}.get(str(cut)) or int(len(data) * float(cut))
    assert refusal(data[:length]) == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_damaged(kind: str) -> None:
    data = bytearray(encoded(picture(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(range(200, 240))
    assert refusal(bytes(data)).startswith(("damaged", "truncated"))


def test_random_damage_is_refused_or_kept_but_never_raises() -> None:
    rng = np.random.default_rng(5)
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    whole = [encoded(picture(), kind) for kind in kinds]
    for attempt in range(3500):
        data = bytearray(whole[attempt % 7])
        for place in rng.integers(0, min(len(data), 600), rng.integers(1, 5)):
            data[place] = rng.integers(256)
        found = decode(bytes(data))
        if isinstance(found, Decoded):
            assert found.pixels.shape == (found.height, found.width, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "HTML, not a picture"),
        (b"\xef\xbb\xbf\r\n<HTML><body>", "HTML, not a picture"),
        (b"<?xml version='1.0'?>\n<html xmlns='...'>", "HTML, not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_PICTURE),
        (b"RIFF\x24\0\0\0WAVEfmt ", NO_PICTURE),
        (b"\x00" * 100, NO_PICTURE),
        (b"BM and then text, which is no bitmap's", NO_PICTURE),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", NO_PICTURE),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "HEIC, which is not read: save it as JPEG or PNG",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
            "a git-lfs pointer: `git lfs pull` fetches the picture",
        ),
        (b"\xff\xd8\xff\xd9", "damaged"),
    ],
)
def test_no_pictures(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


@pytest.mark.parametrize("kind", ["PPM", "ICO"])
def test_formats_not_allowed(kind: str) -> None:
    assert refusal(encoded(picture(), kind)) == NO_PICTURE


def bomb(side: int) -> bytes:
    """A grey PNG of side x side zeros: 400 million pixels in 48 KB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return png_of((b"IHDR", header), (b"IDAT", body))


def test_400_megapixels_in_48_kilobytes_allocate_nothing() -> None:
    data = bomb(20_000)
    assert len(data) < 50_000
    tracemalloc.start()
    found = decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == Refused(
        "too many pixels: 20000x20000; at most 50,000,000, and 16,384 a side, are read",
        20_000,
        20_000,
    )
    assert peak < 100_000


@pytest.mark.parametrize(("width", "height"), [(16_385, 100), (8_000, 6_251), (65_500, 65_500)])
def test_too_many_pixels_of_every_format(width: int, height: int) -> None:
    jpeg = bytearray(encoded(picture(), "JPEG"))
    place = jpeg.index(b"\xff\xc0")
    jpeg[place + 5 : place + 9] = struct.pack(">HH", height, width)
    gif = bytearray(encoded(picture(), "GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    # A small screen with a large first frame on it.
    frame = bytearray(encoded(picture(), "GIF"))
    place = frame.index(b"\x2c\0\0\0\0" + struct.pack("<HH", WIDTH, HEIGHT))
    frame[place + 5 : place + 9] = struct.pack("<HH", width, height)
    webp = bytearray(encoded(np.dstack([picture(), picture()[..., :1]]), "WEBP"))
    webp[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", width, -height)
    bmp[30:34] = struct.pack("<I", 1)  # run lengths: the file may be short
    tiff = bytearray(encoded(picture(), "TIFF", compression="tiff_lzw"))
    (first,) = struct.unpack_from("<I", tiff, 4)
    for place in range(first + 2, first + 2 + 12 * tiff[first], 12):
        (tag,) = struct.unpack_from("<H", tiff, place)
        if tag in {256, 257, 278}:  # width, height, rows in a strip
            tiff[place : place + 12] = struct.pack("<HHII", tag, 4, 1, (height, width)[tag == 256])
    avif = bytearray(encoded(picture(), "AVIF"))
    place = avif.index(b"ispe")
    avif[place + 8 : place + 16] = struct.pack(">II", width, height)
    for data in (jpeg, gif, frame, webp, bmp, tiff, avif):
        assert refusal(bytes(data)).startswith(f"too many pixels: {width}x{height};")


def test_sizes_refused() -> None:
    one = encoded(picture(0, 1, 1), "PNG")
    assert kept(one).shape == (1, 1, 3)
    assert refusal(one, min_side=2) == "too small: 1x1; a side of at least 2 is needed"
    assert isinstance(decode(encoded(picture(0, 10, 40), "PNG"), 10), Decoded)
    assert refusal(encoded(picture(0, 10, 41), "PNG")).startswith("too long: 41x10;")
    assert refusal(encoded(picture(0, 41, 10), "PNG")).startswith("too long: 10x41;")
    turned = Image.Exif()
    turned[0x0112] = 6
    found = decode(encoded(picture(0, 10, 41), "JPEG", exif=turned))
    assert isinstance(found, Refused)
    assert (found.width, found.height) == (10, 41)


def test_bytes_after_the_end_are_no_harm() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encoded(picture(), kind)
        assert np.array_equal(kept(data + b"\0\0junk"), kept(data))


def test_headers_of_the_largest_kind_agree_with_pillow() -> None:
    rng = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        for _ in range(5):
            height, width = (int(side) for side in rng.integers(1, 300, 2))
            header = read_header(encoded(picture(2, height, width), kind))
            assert (header.format.upper(), header.width, header.height) == (kind, width, height)


# Thumbnails.


def block_means(square: Pixels, size: int) -> npt.NDArray[np.float64]:
    factor = len(square) // size
    blocks = square.reshape(size, factor, size, factor, 3).astype(float)
    return np.asarray(blocks.mean(axis=(1, 3)))


def test_shrinking_takes_area_means_of_the_central_square() -> None:
    pixels = picture(3, 256, 300)
    large, small = thumbnails(pixels, (64, 32))
    square = pixels[:, 22:278]
    assert np.abs(large - block_means(square, 64)).max() <= 0.5
    assert np.abs(small - block_means(square, 32)).max() <= 0.5
    tall = thumbnails(np.ascontiguousarray(pixels.swapaxes(0, 1)), (64,))[0]
    assert difference(tall.swapaxes(0, 1), large) <= 1


def test_a_size_does_not_depend_on_the_others() -> None:
    pixels = picture(4, 200, 333)
    alone = [thumbnails(pixels, (size,))[0] for size in (64, 32, 200, 250)]
    together = thumbnails(pixels, (64, 32, 200, 250))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert np.array_equal(together[2], pixels[:, 66:266])


def test_fine_stripes_do_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    for size in (64, 50):
        assert thumbnails(stripes, (size,))[0].std() < 20  # nearest neighbours give 127


def test_enlarging_is_smooth_and_keeps_the_middle() -> None:
    ramp = np.tile(np.linspace(40, 200, 32).astype(np.uint8)[:, None, None], (1, 32, 3))
    found = thumbnails(ramp, (64,))[0].astype(int)
    steps = np.diff(found[4:-4, 0, 0])
    assert ((steps >= 1) & (steps <= 4)).all()
    assert abs(found.mean() - ramp.mean()) < 1
