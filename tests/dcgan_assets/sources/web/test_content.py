"""What the downloader accepts is what can be decoded afterwards, and it is called by its name."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dcgan_assets.sources.reading.decode import Decoded, decode
from dcgan_assets.sources.web.content import EXTENSIONS, MIMES, check_start, judge
from dcgan_assets.sources.web.wanted import Reason, RejectedError

FORMATS = [name.upper() for name in MIMES]


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_accepted_can_be_decoded(kind: str) -> None:
    data = encoded(kind)
    check_start(data[:1024])
    mime, width, height = judge(data)
    assert mime == Image.MIME[kind]
    assert mime in EXTENSIONS
    assert (width, height) == (120, 90)
    assert isinstance(decode(data), Decoded)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_cut_off_is_said_to_be(kind: str) -> None:
    data = encoded(kind)
    check_start(data[:700])
    for length in (700, len(data) // 2, len(data) - 2):
        with pytest.raises(RejectedError) as error:
            judge(data[:length])
        assert error.value.reason == Reason.TRUNCATED


@pytest.mark.parametrize(
    "data",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        b"<!DOCTYPE html><html>",
    ],
)
def test_what_is_no_picture_is_not_fetched_to_the_end(data: bytes) -> None:
    with pytest.raises(RejectedError) as error:
        check_start(data)
    assert error.value.reason == Reason.NO_PICTURE


def test_damage_with_details_is_damage() -> None:
    data = bytearray(encoded("PNG"))
    place = data.index(b"IHDR")
    data[place + 4] ^= 1
    with pytest.raises(RejectedError) as error:
        judge(bytes(data))
    assert error.value.reason == Reason.DAMAGED


def test_a_jpeg_of_many_scans_is_called_so() -> None:
    data = encoded("JPEG")
    scan = data[data.index(b"\xff\xda") : -2]
    with pytest.raises(RejectedError) as caught:
        judge(data[:-2] + 200 * scan + data[-2:])
    assert caught.value.reason == Reason.SCANS
