"""A shard's work folder: the ledger and the pictures in it, and one line where they cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcgan_assets.sources.web.content import Content
from dcgan_assets.sources.web.download.ledger import IsRemoved, Ledger
from dcgan_models.errors import UserError


@contextmanager
def open_work(work: Path, is_removed: IsRemoved) -> Iterator[tuple[Ledger, Content]]:
    """Open what is settled so far, to go on with it.

    Args:
        work: Made when missing; on a local disk.
        is_removed: See `Ledger`.

    Raises:
        UserError: Another process works in it, or something that the block writes, here or
            elsewhere, cannot be written: a full disk, a folder that is read-only.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        with Ledger(work, is_removed) as ledger, Content(work) as content:
            yield ledger, content
    except OSError as error:
        raise UserError(
            f"{error.filename or work}: cannot be written or read ({error.strerror})"
        ) from error
    except sqlite3.OperationalError as error:
        raise UserError(f"{work}: cannot be written or read ({error})") from error
