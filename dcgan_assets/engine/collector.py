"""How often Python looks for garbage that refers to itself."""

from __future__ import annotations

import atexit
import gc

# So many objects more than were freed, before Python looks through the young ones; through the
# older ones at every twentieth time. Python 3.11 would begin at 700.
_SELDOM = (10_000, 20, 20)


def collect_seldom() -> None:
    """Look for garbage seldom in this process, and not at its end.

    Imported modules are some hundred thousand objects that stay. At Python's own pace a command
    looks through all of them a dozen times while it starts, and once more when it ends: a quarter
    of the processor time of a short one.
    """
    gc.set_threshold(*_SELDOM)
    atexit.register(gc.disable)  # what is not freed by then is freed with the process
