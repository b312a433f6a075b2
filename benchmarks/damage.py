"""Which damage of JPEG files is seen: `python -m benchmarks.damage [--pictures N]`.

Crops of the packaged photographs are written in 14 forms, by Pillow and OpenCV, and damaged at
random places. Of each kind of damage the share that `decode` refuses is told; of what it keeps,
the share whose pixels changed by more than half a level in the mean. Whole files must all be kept.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from dcgan_assets.sources.photographs import PHOTOGRAPHS, photograph
from dcgan_assets.sources.reading.decode import Decoded, decode

Form = Callable[[Image.Image], bytes]
VISIBLE = 0.5


def crops(count: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    for number in range(count):
        whole = Image.fromarray(photograph(list(PHOTOGRAPHS)[number % len(PHOTOGRAPHS)]))
        side = int(rng.integers(200, min(whole.size)))
        left, top = (int(rng.integers(length - side + 1)) for length in whole.size)
        width = int(rng.integers(120, 400))
        height = int(width * rng.uniform(0.7, 1.4))
        yield whole.crop((left, top, left + side, top + side)).resize((width, height))


def pillow(mode: str = "RGB", kind: str = "JPEG", **options: Any) -> Form:
    def encode(picture: Image.Image) -> bytes:
        stream = io.BytesIO()
        picture.convert(mode).save(stream, kind, **options)
        return stream.getvalue()

    return encode


def opencv(*options: int) -> Form:
    return lambda picture: cv2.imencode(
        ".jpg", np.asarray(picture)[..., ::-1], list(options)
    )[1].tobytes()  # fmt: skip


def two_in_a_file(picture: Image.Image) -> bytes:
    small = picture.resize((80, 60))
    return pillow(kind="MPO", save_all=True, append_images=[small])(picture)


def with_thumbnail(picture: Image.Image) -> bytes:
    """A JPEG whose EXIF data hold another one."""
    small = pillow()(picture.resize((64, 48)))
    return pillow(quality=85, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + small)(picture)


FORMS: dict[str, Form] = {
    "baseline, quality 75": pillow(quality=75),
    "baseline, 4:4:4": pillow(quality=95, subsampling=0),
    "optimised": pillow(quality=85, optimize=True),
    "progressive": pillow(quality=85, progressive=True),
    "progressive, 4:4:4": pillow(quality=60, progressive=True, subsampling=0),
    "grey": pillow("L", quality=80),
    "restarts each row": pillow(quality=80, restart_marker_rows=1),
    "restarts each 4 blocks": pillow(quality=80, restart_marker_blocks=4),
    "EXIF thumbnail": with_thumbnail,
    "two in a file": two_in_a_file,
    "CMYK": pillow("CMYK", quality=85),
    "OpenCV": opencv(cv2.IMWRITE_JPEG_QUALITY, 75),
    "OpenCV, progressive": opencv(cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "OpenCV, restarts": opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
}


def scan(data: bytes) -> tuple[int, int]:
    """Where the coded data begin, and the end mark behind them."""
    position = 2
    while data[position + 1] != 0xDA:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    begin = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return begin, data.index(b"\xff\xd9", begin)


def damaged(data: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    begin, end = scan(data)

    def put(name: str, size: int, content: Callable[[bytes], bytes]) -> tuple[str, bytes]:
        size = min(size, (end - begin) // 3)
        place = int(rng.integers(begin, end - size))
        there = data[place : place + size]
        return name, data[:place] + content(there) + data[place + size :]

    half = (begin + end) // 2
    cut = int(begin + (end - begin) * rng.uniform(0.05, 0.95))
    yield put("one byte changed", 1, lambda was: bytes([was[0] ^ int(rng.integers(1, 256))]))
    yield put("one bit changed", 1, lambda was: bytes([was[0] ^ 1 << int(rng.integers(8))]))
    yield put("512 zeros", 512, lambda was: bytes(len(was)))
    yield put("2,000 zeros", 2000, lambda was: bytes(len(was)))
    yield put("2,000 random bytes", 2000, lambda was: rng.bytes(len(was)))
    yield put("512 bytes missing", 512, lambda _: b"")
    yield "second half zero", data[:half] + bytes(len(data) - half)
    yield "second half zero, end mark kept", data[:half] + bytes(end - half) + data[end:]
    yield "cut off, end mark added", data[:cut] + b"\xff\xd9"
    yield "cut off", data[:cut]


def main() -> None:
    parser = argparse.ArgumentParser(description="Which damage of JPEG files is seen.")
    parser.add_argument("--pictures", type=int, default=40, metavar="N", help="of each form")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    tried, seen, visible = Counter[str](), Counter[str](), Counter[str]()
    for form in FORMS.values():
        for picture in crops(arguments.pictures, rng):
            data = form(picture)
            whole = decode(data)
            tried["none"] += 1
            if not isinstance(whole, Decoded):
                seen["none"] += 1
                continue
            for name, bad in damaged(data, rng):
                found = decode(bad)
                tried[name] += 1
                if not isinstance(found, Decoded):
                    seen[name] += 1
                elif np.abs(found.pixels.astype(int) - whole.pixels).mean() > VISIBLE:
                    visible[name] += 1
    print(f"{'damage':34}{'n':>6}{'refused':>10}{'kept and changed':>18}")
    for name, n in tried.items():
        print(f"{name:34}{n:6}{seen[name] / n:10.1%}{visible[name] / n:18.1%}")


if __name__ == "__main__":
    main()
