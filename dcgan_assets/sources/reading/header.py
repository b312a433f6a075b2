"""What a picture says of itself before it is decoded, and why it may be no picture."""

from __future__ import annotations

from typing import Literal, NamedTuple

Format = Literal["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF"]
Colour = Literal["colour", "grey", "CMYK"]

TRUNCATED = "truncated"
DAMAGED = "damaged"
NO_PICTURE = "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture"
NOT_READ = "of a kind that is not read"
TOO_MANY_SCANS = "too many scans"

# What those of printing presses take; more is no profile.
MAX_PROFILE_BYTES = 4 << 20

# Of a JPEG, each of which goes over all pixels anew; encoders write some ten.
MAX_SCANS = 100

# So long a run of zeros no arithmetic coder writes: the longest seen in lossy WebP of white, black
# and checked pictures of 24 million pixels has 0 bytes, in AVIF 16. A sector that was never
# written has 512.
_NEVER_WRITTEN = bytes(512)


class BadHeaderError(Exception):
    """The bytes are no picture that is read here; the text is the reason."""


class Header(NamedTuple):
    """What a picture says of itself.

    Attributes:
        width, height: In pixels, as stored: before the EXIF orientation is applied.
        orientation: The EXIF orientation, 1 to 8; 1 is upright.
        depth: Bits a channel.
        transparency: Whether there may be transparent pixels.
        frames: 1, or the number of frames of an animation.
        transparent_level: The grey level that stands for nothing, as a grey PNG may name one.
        significant: Bits a channel that mean anything, as a PNG's sBIT says.
        profile: The ICC profile; empty when there is one that cannot be had.
        unapplied: What else is said of the colours, that they are not sRGB's.
    """

    format: Format
    width: int
    height: int
    orientation: int = 1
    depth: int = 8
    colour: Colour = "colour"
    transparency: bool = False
    frames: int = 1
    transparent_level: int | None = None
    significant: int | None = None
    profile: bytes | None = None
    unapplied: str | None = None


def bounded(profile: bytes) -> bytes:
    """The profile, or nothing where it is larger than profiles are."""
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


def check_written(coded: bytes) -> None:
    """Refuse what holds a block that was never written: lossy WebP and AVIF have no checksums."""
    if _NEVER_WRITTEN in coded:
        raise BadHeaderError(f"{DAMAGED}: zeros in place of data")
