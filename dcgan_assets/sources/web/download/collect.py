"""Pictures that are on this machine already, through the same checks into the same shard.

So that a folder of pictures, or what installed packages carry, takes the road of the web: the
same duplicates, removals, reasons and files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_assets.sources.web.content import Arrival, Content, examined
from dcgan_assets.sources.web.download.ledger import IsRemoved, Ledger, Place
from dcgan_assets.sources.web.download.packing import Packed, pack
from dcgan_assets.sources.web.download.work_folder import open_work
from dcgan_assets.sources.web.wanted import Reason, RejectedError, Wanted

_NO_EXTRA = pa.schema([])
_HERE = "this machine"
_AT_ONCE = 64


def collect(
    wanted: Iterable[Wanted],
    read: Callable[[str], bytes],
    work: Path,
    folder: Path,
    *,
    extra: pa.Schema = _NO_EXTRA,
    is_removed: IsRemoved = lambda wanted, sha256: False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Packed | None:
    """Read a shard's pictures and write what `download` writes.

    Args:
        wanted: Unique keys; addresses are whatever `read` takes.
        read: The bytes at an address; raises `UnreadableError` with the reason.
        work, folder, extra, is_removed, should_stop: As in `download`.

    Returns:
        The counts, or None when stopped.

    Raises:
        UserError: Another process in `work`, or a folder that cannot be written.
        ValueError: Two pictures have one key.
    """
    with open_work(work, is_removed) as (ledger, content):
        ledger.load(wanted, content, lambda address: Place(address, _HERE, address))
        if not _read_all(ledger, content, read, work, should_stop):
            return None
        ledger.settle()
        return pack(ledger, content, folder, extra, dated=False)


def _read_all(
    ledger: Ledger,
    content: Content,
    read: Callable[[str], bytes],
    work: Path,
    should_stop: Callable[[], bool],
) -> bool:
    while jobs := ledger.take(_HERE, _AT_ONCE):
        if should_stop():
            return False
        for job in jobs:
            with Arrival(work) as arrival:
                at = int(time.time())
                try:
                    arrival.add(read(job.next))
                    data = arrival.read()
                    picture = examined(data, job.next)
                except RejectedError as error:
                    ledger.reject(job, error.reason, error.detail, at)
                except UnreadableError as error:
                    ledger.reject(job, Reason.UNREADABLE, str(error), at)
                else:
                    removed = ledger.removed(job, picture.sha256)
                    place = None if removed else content.append(data)
                    ledger.keep(job, picture, place, at)
        ledger.commit()
    return True
