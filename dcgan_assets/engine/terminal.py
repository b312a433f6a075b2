"""What commands say on the terminal: lines, findings, near names for unknown ones."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dcgan_models.errors import UserError

# The exit code of what was asked to stop, and has saved: a shell's for Ctrl-C.
INTERRUPTED = 130

if TYPE_CHECKING:
    from tqdm import tqdm

State = Literal["ok", "note", "FAIL"]
_NEAREST = 3
_DRAWN_SECONDS, _TOLD_SECONDS = 0.2, 15.0
_shared = False


@dataclass(frozen=True)
class Finding:
    """One line of `dcgan doctor`."""

    state: State
    what: str
    detail: str


def unknown(what: str, name: str, known: Iterable[str], where: str) -> UserError:
    """The error for a name that is not among those that are known, to be raised.

    Args:
        what: It was to name.
        where: To see all that are known, which may be too many for a line.
    """
    near = difflib.get_close_matches(name, list(known), _NEAREST)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    return UserError(f"unknown {what} {name!r}{hint}; {where}")


_quiet = False


def set_quiet(quiet: bool) -> None:
    """Whether this process says only what went wrong, and draws no bars."""
    global _quiet  # noqa: PLW0603  (there is one terminal)
    _quiet = quiet


def say(message: str, *, wrong: bool = False) -> None:
    """Tell the terminal, or the run's captured output; bars of progress make room.

    Args:
        wrong: Something failed, or may be wrong: it is said also when all else is not.
    """
    from tqdm import tqdm

    if _quiet and not wrong:
        return
    with tqdm.external_write_mode() if _draws() else tqdm.get_lock():  # type: ignore[no-untyped-call]
        # In one piece, which no other process can write into.
        print(f"{message}\n", end="", flush=True)


def progress_bar(total: int | None, unit: str, what: str) -> tqdm[Any]:
    """A bar with rate and time left; now and then a line of it where it cannot stay in place."""
    from tqdm import tqdm

    class Lines(tqdm):  # type: ignore[type-arg]
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if msg is None:  # and not to wipe it out
                self.fp.write(f"{self}\n")
                self.fp.flush()

    told: dict[str, Any] = {"total": total, "unit": f" {unit}", "desc": what, "disable": _quiet}
    if _draws():
        bar = tqdm(**told, dynamic_ncols=True, mininterval=_DRAWN_SECONDS)
    else:
        bar = Lines(**told, leave=False, delay=_TOLD_SECONDS, mininterval=_TOLD_SECONDS)
    return bar


def share_terminal() -> None:
    """Say from now on what can stand between the words of other processes."""
    global _shared  # noqa: PLW0603  (of this process, as its terminal is)
    _shared = True


def _draws() -> bool:
    """Whether bars are drawn over themselves: on a terminal, which this process has for itself."""
    return sys.stderr.isatty() and not _shared
