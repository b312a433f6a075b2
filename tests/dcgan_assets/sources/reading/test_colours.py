"""Colours to sRGB by a picture's own profile, against what the profiles mean in closed form."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from icc_profiles import (
    ADOBE,
    DISPLAY_P3,
    PROPHOTO,
    as_srgb,
    grey_profile,
    ink_profile,
    matrix_profile,
    srgb_curve,
)
from PIL import Image, ImageCms

from dcgan_assets.sources.reading.decode import Decoded, decode
from dcgan_models.pixels import Pixels

SIDE = 64
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "JPEG": {"quality": 100, "subsampling": 0},
}


def colours() -> Pixels:
    """Smooth, of middling strength: inside every gamut."""
    across, down = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    return np.dstack([90 + 60 * across, 90 + 60 * down, 150 - 50 * across]).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **LOSSLESS.get(kind, {}), **options)
    return stream.getvalue()


def kept(data: bytes, converted: str | None) -> Pixels:
    found = decode(data)
    assert isinstance(found, Decoded), found
    assert found.converted == converted
    return found.pixels


def off(found: Pixels, expected: Any) -> float:
    return float(np.abs(found.astype(float) - expected).max())


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("space", [ADOBE, PROPHOTO, DISPLAY_P3], ids=["Adobe", "ProPhoto", "P3"])
def test_profiles_mean_what_they_say(kind: str, space: tuple[Any, float]) -> None:
    profile = matrix_profile(*space, name="Wide (1998)")
    data = encoded(Image.fromarray(colours()), kind, icc_profile=profile)
    found = kept(data, "colours to sRGB: Wide (1998)")
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    expected = 255 * as_srgb(stored.reshape(-1, 3) / 255, *space).reshape(stored.shape)
    assert off(found, expected) <= 1.5
    assert off(stored, expected) > 5  # without the profile, colours would be others


def test_grey_by_its_own_gamma() -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    for kind in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(levels), kind, icc_profile=grey_profile(1.8))
        found = kept(data, "grey; colours to sRGB: grey")
        expected = 255 * srgb_curve((np.arange(256) / 255) ** 1.8)
        assert off(found, np.repeat(np.tile(expected, (64, 1))[..., None], 3, axis=2)) <= 1.5


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_by_their_own_profile(kind: str) -> None:
    inks = np.zeros((40, 80, 4), np.uint8)
    inks[:, 20:40] = (255, 255, 255, 0)
    inks[:, 40:60] = (255, 0, 0, 0)
    inks[:, 60:] = (0, 0, 0, 128)
    image = Image.frombuffer("CMYK", (80, 40), inks.tobytes(), "raw", "CMYK", 0, 1)
    found = kept(encoded(image, kind, icc_profile=ink_profile()), "CMYK; colours to sRGB: Ink")
    for place, lightness in ((10, 1.0), (30, 0.0), (50, 2 / 3), (70, 1 - 128 / 255)):
        inner = (lightness * 100 + 16) / 116
        light = inner**3 if lightness * 100 > 8 else lightness * 100 / 903.3
        expected = 255 * srgb_curve(np.array(light))
        assert off(found[10:30, place - 3 : place + 3], expected) <= 3, place
    assert (np.ptp(found.astype(int), axis=2) <= 2).all()  # no ink has a colour of its own here


def test_transparent_colours_are_converted_before_they_are_blended() -> None:
    alpha = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1))
    image = Image.fromarray(np.dstack([colours(), alpha]))
    profile = matrix_profile(*ADOBE)
    for kind in ("PNG", "TIFF"):
        found = kept(
            encoded(image, kind, icc_profile=profile), "alpha on white; colours to sRGB: x"
        )
        opaque = 255 * as_srgb(colours().reshape(-1, 3) / 255, *ADOBE).reshape(SIDE, SIDE, 3)
        weight = alpha[..., None] / 255
        assert off(found, opaque * weight + 255 * (1 - weight)) <= 2


def test_srgb_is_known_by_what_it_does() -> None:
    plain = encoded(Image.fromarray(colours()), "PNG")
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = own.replace("sRGB built-in".encode("utf-16-be"), "Adobe RGB 98!".encode("utf-16-be"))
    assert renamed != own
    for profile in (own, renamed):
        tagged = encoded(Image.fromarray(colours()), "PNG", icc_profile=profile)
        assert np.array_equal(kept(tagged, None), kept(plain, None))


@pytest.mark.parametrize(
    "profile",
    [b"", b"junk" * 100, matrix_profile(*ADOBE)[:200], grey_profile(2.2), ink_profile()],
    ids=["empty", "junk", "cut", "of grey", "of inks"],
)
def test_unusable_profiles_never_kill_a_picture(profile: bytes) -> None:
    plain = Image.fromarray(colours())
    data = png_with(encoded(plain, "PNG"), b"iCCP", b"x\0\0" + zlib.compress(profile))
    told = "colours not converted: an unusable profile"
    assert np.array_equal(kept(data, told), np.asarray(plain))


def test_a_profile_in_many_segments_of_a_jpeg() -> None:
    # 150 KB, which take three segments: a private tag is filled.
    profile = bytearray(matrix_profile(*ADOBE))
    filled = bytes(profile) + bytes(150_000)
    filled = struct.pack(">I", len(filled)) + filled[4:]
    data = encoded(Image.fromarray(colours()), "JPEG", icc_profile=filled)
    assert data.count(b"ICC_PROFILE\0") == 3
    kept(data, "colours to sRGB: x")
    lost = data.replace(b"ICC_PROFILE\0\x02", b"ICC_PROFILE\0\x07")
    kept(lost, "colours not converted: an unusable profile")


def png_with(data: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more, behind its header."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    chunk = struct.pack(">I", len(content)) + name + content + checksum
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (b"gAMA", struct.pack(">I", 45455), None),
        (b"gAMA", struct.pack(">I", 100_000), "colours not converted: gAMA 1"),
        (b"sRGB", b"\0", None),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), None),
        (
            b"cHRM",
            struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
            "colours not converted: cHRM",
        ),
        (b"cICP", b"\x01\x0d\0\x01", None),
        (
            b"cICP",
            b"\x09\x10\0\x01",
            "colours not converted: primaries 9, transfer 16 of H.273",
        ),
    ],
)
def test_other_words_about_colours_are_told_where_they_are_not_srgb(
    name: bytes, content: bytes, told: str | None
) -> None:
    plain = Image.fromarray(colours())
    data = png_with(encoded(plain, "PNG"), name, content)
    assert np.array_equal(kept(data, told), np.asarray(plain))


def test_code_points_of_avif() -> None:
    data = encoded(Image.fromarray(colours()), "AVIF")
    kept(data, None)
    wide = data.replace(b"nclx\0\x01\0\x0d", b"nclx\0\x0c\0\x0d")
    assert wide != data
    kept(wide, "colours not converted: primaries 12, transfer 13 of H.273")
