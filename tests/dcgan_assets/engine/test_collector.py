"""Python's collector of garbage in a command: seldom at work, and never while it ends."""

from __future__ import annotations

import subprocess
import sys

# A hundred thousand objects that stay, and how often garbage was looked for meanwhile; then some.
_PROGRAM = """
import gc, weakref
from dcgan_assets.engine.collector import collect_seldom
collect_seldom()
gc.collect()
begun = []
gc.callbacks.append(lambda phase, info: begun.append(phase) if phase == "start" else None)
kept = [[] for _ in range(100_000)]
print(len(begun))

class Ring: pass

ring = Ring()
ring.itself, seen = ring, weakref.ref(ring)
del ring
more = [[] for _ in range(30_000)]
print(seen() is None)
"""


def _run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_what_stays_is_seldom_looked_at_and_garbage_is_freed() -> None:
    begun, freed = _run(_PROGRAM)
    assert 0 < int(begun) <= 11
    assert freed == "True"


def test_nothing_is_collected_at_the_end() -> None:
    """What is registered first is called last."""
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.isenabled()))\n"
        "from dcgan_assets.engine.collector import collect_seldom\n"
        "collect_seldom()\n"
        "print(gc.isenabled())\n"
    )
    assert _run(program) == ["True", "False"]
