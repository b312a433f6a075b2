"""What is wanted and what became of it, on disk: so that kill -9 at any moment loses nothing.

One SQLite database in the work folder. `answers` is the journal: a row says what became of an
address, and stays. `wanted` is the queue, and is made anew from the input at every start, with
what the journal knows taken over. Neither is ever held in memory.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dcgan_assets.sources.web.content import Content
from dcgan_assets.sources.web.wanted import Picture, Reason, RejectedError, Wanted
from dcgan_models.errors import UserError

# `json.dumps` makes an encoder at each call that is not a plain one.
_in_json = json.JSONEncoder(ensure_ascii=False).encode

IsRemoved = Callable[[Wanted, str | None], bool]

_WAITING, _TAKEN, _HELD, _DONE = range(4)

_TABLES = """
create table if not exists answers (
    canonical text primary key, reason text, detail text,
    final_address text, sha256 text, bytes integer, mime text, width integer, height integer,
    fetched_at integer not null, tries integer not null, place integer
) without rowid;
create table if not exists robots (
    origin text primary key, fetched_at integer not null, content blob not null
) without rowid;
drop table if exists wanted;
create table wanted (
    key text primary key, address text not null, canonical text, sha1 text, carried text not null,
    site text, next text, hops integer default 0, tries integer default 0, spent real default 0,
    state integer not null, reason text, detail text
) without rowid;
create index same_address on wanted (canonical) where canonical is not null;
create index same_sha1 on wanted (sha1) where sha1 is not null;
create index by_state on wanted (state, site, key);
"""

_SAME_ADDRESS = """
update wanted set state = 3, reason = ?, detail = 'as ' || first.key
from (select canonical, min(key) as key from wanted where state = 0 group by canonical) as first
where wanted.canonical = first.canonical and wanted.key > first.key and wanted.state = 0
"""
_ANSWERED = """
update wanted set state = 3 where state = 0 and canonical in (select canonical from answers)
"""
# Of those with one sha1 the first goes ahead; the others are held, and one is let go if it fails.
_LEADERS = """
select sha1, min(one.key) as key from wanted one left join answers using (canonical)
where one.sha1 is not null and one.reason is null and answers.reason is null group by sha1
"""
_HOLD = f"""
update wanted set state = 2 from ({_LEADERS}) as first
where wanted.sha1 = first.sha1 and wanted.key > first.key and wanted.state = 0
"""  # noqa: S608
_SAME_SHA1 = f"""
update wanted set state = 3, reason = ?, detail = 'as ' || first.key from ({_LEADERS}) as first
where wanted.sha1 = first.sha1 and wanted.key > first.key and wanted.reason is null
    and (state = 2 or canonical in (select canonical from answers where reason is null))
"""  # noqa: S608
# The plus keeps SQLite to the index of sha1.
_RELEASE_LIKE = """
update wanted set state = 0 where key = (
    select min(key) from wanted where +state = 2
        and sha1 = (select sha1 from wanted where key = ?)
) returning site
"""
_RELEASE_LIKE_SITE = """
update wanted set state = 4 where key in (
    select min(key) from wanted where +state = 2
        and sha1 in (select sha1 from wanted where site = ? and state in (0, 1)) group by sha1
)
"""
_SAME_CONTENT = """
update wanted set reason = ?, detail = 'as ' || first.key
from answers, (
    select answers.sha256, min(key) as key from wanted join answers using (canonical)
    where wanted.reason is null and answers.reason is null group by sha256
) as first
where wanted.canonical = answers.canonical and wanted.reason is null and answers.reason is null
    and answers.sha256 = first.sha256 and wanted.key > first.key
"""
# Not only the first of those with the address of a picture that was removed by its content.
_ALL_REMOVED = """
update wanted set reason = ?, detail = ''
where canonical in (select canonical from answers where reason = ?)
"""
_ROWS = """
select wanted.key, address, sha1, carried, coalesce(wanted.reason, answers.reason),
    coalesce(wanted.detail, answers.detail, ''), wanted.reason is null or wanted.reason = ?,
    final_address, sha256, bytes, mime, width, height, fetched_at, answers.tries, place
from wanted left join answers using (canonical) order by wanted.key
"""


class Place(NamedTuple):
    """Where a picture is had.

    Attributes:
        canonical: One text for addresses that mean the same file.
        site: What is asked politely as one.
        next: The address to ask.
    """

    canonical: str
    site: str
    next: str


Locate = Callable[[str], Place]


@dataclass
class Job:
    """A picture on its way.

    Attributes:
        key, canonical: Of the wanted picture.
        next: The address to ask, checked: its own, or where a redirect led.
        site: Of `next`.
        hops: Redirects so far.
        tries: Requests that failed so far.
        spent: Seconds that this try has taken so far, over its redirects.
        address, sha1, carried: Of the wanted picture, as they are written down.
    """

    key: str
    canonical: str
    next: str
    site: str
    hops: int
    tries: int
    spent: float
    address: str
    sha1: str | None
    carried: str


@dataclass(frozen=True)
class Row:
    """What became of a wanted picture.

    Attributes:
        picture: None unless it was fetched, and may be kept.
        place: Where it begins among the pictures of the work folder.
        fetched_at, tries: None unless it was asked for.
    """

    wanted: Wanted
    reason: str | None
    detail: str
    picture: Picture | None
    place: int | None
    fetched_at: int | None
    tries: int | None


class Ledger:
    """The database of a work folder; a context. One process at a time may hold it.

    Args:
        folder: Exists, on a local disk.
        is_removed: Whether somebody asked for a picture to be removed; called before fetching
            with None, and again with the SHA-256 of what was fetched.

    Raises:
        UserError: Another process works in this folder.
    """

    def __init__(self, folder: Path, is_removed: IsRemoved) -> None:
        self._path = folder / "ledger.sqlite"
        self._is_removed = is_removed
        # Transactions are begun and ended here alone.
        self._base = sqlite3.connect(self._path, timeout=0.1, isolation_level=None)
        self._answers: list[tuple[object, ...]] = []
        self._settled: list[tuple[str]] = []

    def __enter__(self) -> Ledger:
        try:
            # Exclusive: a second process is refused, and no shared memory is needed. NORMAL: a
            # power cut may take the last rows, not the order; files are checked at the start.
            self._base.execute("pragma locking_mode = exclusive")
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.executescript(_TABLES)
            self._base.execute("begin")
        except sqlite3.OperationalError as error:
            self._base.close()
            raise UserError(f"{self._path}: {error}; is another process at it?") from error
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise UserError(f"{self._path}: {error}; delete the folder to begin anew") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self._write_down()
            self._base.execute("commit")
        self._base.close()

    def load(self, wanted: Iterable[Wanted], content: Content, locate: Locate) -> None:
        """Take in what is wanted, and see what of it is settled already.

        Args:
            wanted: Read once.
            content: What was fetched before; what of it is not written down is cut off.
            locate: Says where an address leads, or raises why it is not asked.

        Raises:
            ValueError: Two have the same key.
        """
        self._forget_what_is_lost(content)
        (self._answered,) = self._base.execute("select exists (select 1 from answers)").fetchone()
        try:
            self._base.executemany(
                "insert into wanted (key, address, canonical, sha1, carried, site, next, "
                "state, reason, detail) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (self._entry(one, content, locate) for one in wanted),
            )
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the keys of what is wanted are not unique ({error})") from error
        self._forget_what_is_not_wanted(content)
        self._base.execute(_SAME_ADDRESS, (Reason.SAME_ADDRESS,))
        self._base.execute(_ANSWERED)
        self._base.execute(_HOLD)
        self.commit()

    def commit(self) -> None:
        """Make what was written down last, whatever happens to this process.

        A commit takes as long as a picture does on a fast connection, so there is one for many.
        """
        self._write_down()
        self._base.execute("commit")
        self._base.execute("begin")

    def _forget_what_is_lost(self, content: Content) -> None:
        """Drop answers whose picture is not what it was, as a power cut may leave it."""
        found = self._base.execute(
            "select canonical, sha256, place, bytes from answers where place is not null"
        )
        lost = [
            (name,)
            for name, sha256, place, size in found
            if hashlib.sha256(content.read(place, size)).hexdigest() != sha256
        ]
        self._base.executemany("delete from answers where canonical = ?", lost)
        (end,) = self._base.execute("select max(place + bytes) from answers").fetchone()
        content.cut(end or 0)

    def _forget_what_is_not_wanted(self, content: Content) -> None:
        """Wipe pictures of addresses that nobody wants any more: they may have been removed."""
        idle = (
            "place is not null and canonical not in (select canonical from wanted where state = 0)"
        )
        for place, size in self._base.execute(f"select place, bytes from answers where {idle}"):  # noqa: S608
            content.wipe(place, size)
        self._base.execute(f"delete from answers where {idle}")  # noqa: S608

    def _entry(self, one: Wanted, content: Content, locate: Locate) -> tuple[str | int | None, ...]:
        one = _clean(one)
        carried = _in_json([*one[3:-1], dict(one.extra)])
        head = (one.key, one.address)
        sha1 = one.sha1.lower() if one.sha1 else None
        if self._is_removed(one, None):
            return (*head, None, sha1, carried, None, None, _DONE, Reason.REMOVED, "")
        try:
            place = locate(one.address)
        except RejectedError as error:
            return (*head, None, sha1, carried, None, None, _DONE, error.reason, error.detail)
        if self._answered:
            self._judge_again(one, place.canonical, content)
        return (*head, place.canonical, sha1, carried, place.site, place.next, _WAITING, None, None)

    def _judge_again(self, one: Wanted, name: str, content: Content) -> None:
        """Apply today's removals to what was fetched earlier."""
        known = self._base.execute(
            "select sha256, place, bytes from answers where canonical = ? and sha256 is not null",
            (name,),
        ).fetchone()
        if known is None:
            return
        sha256, place, size = known
        if self._is_removed(one, sha256):
            if place is not None:
                content.wipe(place, size)
            self._base.execute(
                "update answers set reason = ?, place = null where canonical = ?",
                (Reason.REMOVED, name),
            )
        elif place is None:  # no longer removed: fetched once more
            self._base.execute("delete from answers where canonical = ?", (name,))

    def waiting(self) -> list[tuple[str, int]]:
        """Every site with pictures that wait, and how many."""
        return self._base.execute(
            "select site, count(*) from wanted where state = 0 group by site"
        ).fetchall()

    def take(self, site: str, count: int) -> list[Job]:
        """The first waiting pictures of a site; they are in the caller's hands now."""
        rows = self._base.execute(
            "select key, canonical, next, site, hops, tries, spent, address, sha1, carried "
            "from wanted "
            "where state = 0 and site = ? order by key limit ?",
            (site, count),
        ).fetchall()
        self._base.executemany(
            "update wanted set state = 1 where key = ?", ((row[0],) for row in rows)
        )
        return [Job(*row) for row in rows]

    def put_back(self, job: Job) -> None:
        """Let a picture wait at the site that a redirect led to."""
        self._base.execute(
            "update wanted set state = 0, next = ?, site = ?, hops = ?, tries = ?, spent = ? "
            "where key = ?",
            (job.next, job.site, job.hops, job.tries, job.spent, job.key),
        )

    def removed(self, job: Job, sha256: str) -> bool:
        """Whether a picture must not be kept, now that its content is known; in any thread."""
        return self._is_removed(_wanted(job.key, job.address, job.sha1, job.carried), sha256)

    def keep(self, job: Job, picture: Picture, place: int | None, at: int) -> None:
        """Write down where a fetched picture lies; None says that it was removed."""
        self._answer(job, Reason.REMOVED if place is None else None, None, picture, at, place)

    def reject(self, job: Job, reason: str, detail: str, at: int) -> list[str]:
        """Write down why a picture is not had; returns the sites of what is tried in its place."""
        self._answer(job, reason, detail, (None,) * 6, at, None)
        self._write_down()
        return self._sites(_RELEASE_LIKE, job.key)

    def reject_site(self, site: str, detail: str, at: int) -> tuple[int, list[str]]:
        """Give up what still waits for a site, in the caller's hands or not.

        Returns:
            How many these were, and the sites of what is tried in their place.
        """
        self._write_down()
        self._base.execute(
            "insert or ignore into answers (canonical, reason, detail, fetched_at, tries) "
            "select canonical, ?, ?, ?, tries from wanted where site = ? and state in (0, 1)",
            (Reason.GONE, detail, at, site),
        )
        self._base.execute(_RELEASE_LIKE_SITE, (site,))
        given_up = self._base.execute(
            "update wanted set state = 3 where site = ? and state in (0, 1)", (site,)
        ).rowcount
        return given_up, self._sites("update wanted set state = 0 where state = 4 returning site")

    def _answer(
        self,
        job: Job,
        reason: str | None,
        detail: str | None,
        facts: tuple[object, ...],
        at: int,
        place: int | None,
    ) -> None:
        self._answers.append((job.canonical, reason, detail, *facts, at, job.tries + 1, place))
        self._settled.append((job.key,))

    def _write_down(self) -> None:
        """Put into the database what was answered; a statement for each would cost as much again.

        Nothing is lost by the delay: what is not committed is fetched again in any case.
        """
        self._base.executemany(
            "insert or replace into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._answers,
        )
        self._base.executemany("update wanted set state = 3 where key = ?", self._settled)
        self._answers.clear()
        self._settled.clear()

    def _sites(self, update: str, *values: str) -> list[str]:
        return [site for (site,) in self._base.execute(update, values).fetchall()]

    def settle(self) -> None:
        """Name the duplicates, once everything is answered."""
        self._write_down()
        self._base.execute(_ALL_REMOVED, (Reason.REMOVED, Reason.REMOVED))
        self._base.execute(_SAME_SHA1, (Reason.SAME_SHA1,))
        self._base.execute(_SAME_CONTENT, (Reason.SAME_CONTENT,))
        self.commit()

    def counts(self) -> dict[str | None, int]:
        """Pictures that are done, by reason; those kept so far under None."""
        rows = self._base.execute(
            "select coalesce(wanted.reason, answers.reason), count(*) "
            "from wanted left join answers using (canonical) where state = 3 group by 1"
        )
        return dict(rows.fetchall())

    def total(self) -> int:
        """How many pictures are wanted."""
        (count,) = self._base.execute("select count(*) from wanted").fetchone()
        return int(count)

    def rows(self) -> Iterator[Row]:
        """Every wanted picture and what became of it, sorted by key."""
        with closing(self._base.execute(_ROWS, (Reason.SAME_CONTENT,))) as cursor:
            for (
                key,
                address,
                sha1,
                carried,
                reason,
                detail,
                asked,
                *facts,
                at,
                tries,
                place,
            ) in cursor:
                had = reason in (None, Reason.SAME_CONTENT)
                yield Row(
                    _wanted(key, address, sha1, carried),
                    reason,
                    detail,
                    Picture(*facts) if had else None,
                    place if had else None,
                    at if asked else None,
                    tries if asked else None,
                )

    def robots(self, origin: str, not_before: int) -> bytes | None:
        """A robots.txt fetched at `not_before` (Unix time) or later; None when there is none."""
        row = self._base.execute(
            "select content from robots where origin = ? and fetched_at >= ?", (origin, not_before)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep_robots(self, origin: str, content: bytes, at: int) -> None:
        """Write down a robots.txt; empty where the site has none."""
        self._base.execute("insert or replace into robots values (?, ?, ?)", (origin, at, content))


def _clean(one: Wanted) -> Wanted:
    """Texts that any table takes: no halves of surrogate pairs."""
    texts = {name: _text(value) for name, value in one._asdict().items() if isinstance(value, str)}
    extra = {
        name: _text(value) if isinstance(value, str) else value for name, value in one.extra.items()
    }
    return one._replace(**texts, extra=extra)


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def _wanted(key: str, address: str, sha1: str | None, carried: str) -> Wanted:
    return Wanted(key, address, sha1, *json.loads(carried))
