"""What to say of a name that there is not: the nearest ones that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dcgan_models.errors import UserError

_NEAREST = 3


def unknown(what: str, name: str, known: Iterable[str], where: str) -> UserError:
    """The error for a name that is not among those that are known, to be raised.

    Args:
        what: It was to name.
        where: To see all that are known, which may be too many for a line.
    """
    near = difflib.get_close_matches(name, list(known), _NEAREST)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    return UserError(f"unknown {what} {name!r}{hint}; {where}")
