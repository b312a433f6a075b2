"""What commands say on the terminal: lines, findings, near names for unknown ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dcgan_models.errors import UserError

State = Literal["ok", "note", "FAIL"]
_NEAREST = 3


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


def say(message: str) -> None:
    """Tell the terminal, or the run's captured output; bars of progress make room."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        print(message, flush=True)
