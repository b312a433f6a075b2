"""Speed of drawing rooms, faces and things: `python -m benchmarks.drawings`.

One process draws, factors included, at 32 and 64 pixels; processor time is told, because other work
on the machine slows the clock. Target: at least 1,500 pictures of 64 pixels a second of one core.
"""

from __future__ import annotations

import time
from itertools import count

import cv2

from benchmarks.harness import options, report
from dcgan_assets.sources.drawn.drawings import KINDS

_PICTURES = 2_000
_SIZES = (32, 64)


def main() -> None:
    arguments = options("Speed of drawing.", runs=3).parse_args()
    cv2.setNumThreads(1)
    numbers = count()
    figures: dict[str, list[float]] = {}
    for _ in range(arguments.runs):
        for kind, drawn in KINDS.items():
            for size in _SIZES:
                start = time.process_time()
                for _ in range(_PICTURES):
                    drawn.draw(0, next(numbers), size)
                rate = _PICTURES / (time.process_time() - start)
                figures.setdefault(f"{kind}, {size} pixels, pictures/s", []).append(rate)
    report({"pictures": _PICTURES}, figures, arguments.json)


if __name__ == "__main__":
    main()
