"""Removal lists in which a row is lost, or that are none: nobody may stay whom a row removes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fixture_types import Refused

from dcgan_assets.sources.web.removals import COLUMNS, RemovalList

HEAD = b"address,sha256,person,comment\n"
DIGEST = b"ab" * 32
FIRST, SECOND = "https://a.example/1.jpg", "https://a.example/2.jpg"
ROW = b"https://a.example/1.jpg,,,\n"
ONE = "exactly one of address, sha256, person is expected in a row"
LINE = "a row is one line, its comment too"
CSV = "cannot be read as CSV in UTF-8"

# What the file holds, and what the line says of it.
REFUSED: dict[str, tuple[bytes, str]] = {
    # --- Rows that would take others along ---
    "a comment's open quote": (HEAD + b'https://a.example/1.jpg,,,"asked\n' + ROW, CSV),
    "an open quote, closed rows later": (
        HEAD + b'https://a.example/1.jpg,,,"asked\n' + ROW + b'https://a.example/2.jpg,,,mail"\n',
        LINE,
    ),
    "an address's open quote": (HEAD + b'"https://a.example/1.jpg,,,\n' + ROW, CSV),
    "a quote within": (HEAD + b'https://a.example/1.jpg,,,"a" b\n' + ROW, CSV),
    "a comment of two lines": (HEAD + b'https://a.example/1.jpg,,,"a\nb"\n', LINE),
    "a comment with a carriage return": (HEAD + b'https://a.example/1.jpg,,,"a\rb"\n', LINE),
    "a cell of 200,000 letters": (HEAD + b"x:" + b"a" * 200_000 + b",,,\n", CSV),
    # --- Rows that name nothing, or too much ---
    "a row of two things": (HEAD + b"https://a.example/1.jpg,,x:1,\n", ONE),
    "a comment alone": (HEAD + b",,,gone\n", ONE),
    "five cells": (HEAD + b"https://a.example/1.jpg,,,a,b\n", ONE),
    "semicolons": (HEAD + b"https://a.example/1.jpg;;;\n" + b";;;x\n", "is no address"),
    "spaces for a thing": (HEAD + b"   ,,,\n", ONE),
    "a short hash": (HEAD + b"," + DIGEST[1:] + b",,\n", "is no SHA-256, 64 hexadecimal digits"),
    "a hash of Arabic digits": (HEAD + b"," + "\u0663".encode() * 64 + b",,\n", "is no SHA-256"),
    "a name for an address": (HEAD + b"Ada Lovelace,,,\n", "is no address"),
    "a name for a person": (HEAD + b",,Ada Lovelace,\n", "is no address"),
    "two addresses in a cell": (HEAD + b"https://a.example/1 https://a.example/2,,,\n", "is no"),
    "a no-break space": (HEAD + "https://a.example/1\xa0,x,,\n".encode(), ONE),
    # --- No such table ---
    "empty": (b"", "the first line is ''"),
    "no first line": (ROW, "the first line is 'https://a.example/1.jpg,,,'"),
    "another table": (b"url,why\nhttps://a.example/1.jpg,x\n", "the first line is 'url,why'"),
    "a column twice": (b"address,address,sha256,person,comment\n", "the first line is"),
    "a column of ESC": (b"address,\x1b[2J\n", "the first line is"),
    "UTF-16": (HEAD.decode().encode("utf-16"), CSV),
    "Latin-1": (HEAD + b"x:caf\xe9,,,\n", CSV),
    "half a character": (HEAD + b"x:\xed\xa0\x80,,,\n", CSV),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(64), "removals.csv: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_is_none_is_one_line(tmp_path: Path, refused: Refused, case: str) -> None:
    content, words = REFUSED[case]
    path = tmp_path / "removals.csv"
    path.write_bytes(content)
    with refused(str(path), words):
        RemovalList.read(path)


# Spellings of the same row, by which FIRST is removed.
TAKEN: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + HEAD + ROW,
    "lines of Windows": (HEAD + ROW).replace(b"\n", b"\r\n"),
    "lines of an old Mac": (HEAD + ROW).replace(b"\n", b"\r"),
    "no last line end": (HEAD + ROW).rstrip(b"\n"),
    "columns in another order": b"comment,person,sha256,address\n,,,https://a.example/1.jpg\n",
    "empty lines": HEAD + b"\n\n" + ROW + b"\n",
    "quotes around all": HEAD + b'"https://a.example/1.jpg","","","""asked"", by mail"\n',
    "cells that are not there": HEAD + b"https://a.example/1.jpg\n",
    "spaces around": HEAD + b" https://a.example/1.jpg ,,,\n",
    "capitals": HEAD + b"HTTPS://A.EXAMPLE/1.jpg,,,\n",
    "http": HEAD + b"http://a.example/1.jpg,,,\n",
    "a port that goes without saying": HEAD + b"https://a.example:443/1.jpg,,,\n",
    "a formula beside it": HEAD + b"=cmd|'/c':x,,,\n" + ROW,
    "no address beside it": HEAD + b"https://[::1,,,\n" + b"x:\\,,,\n" + ROW,
    "100,000 rows before it": HEAD + b"x:1,,,\n" * 100_000 + ROW,
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_row_removes_however_it_is_written(tmp_path: Path, case: str) -> None:
    path = tmp_path / "removals.csv"
    path.write_bytes(TAKEN[case])
    found = RemovalList.read(path)
    reason = found.match(addresses=[FIRST])
    assert reason is not None
    assert reason.startswith("removed: address (line ")
    assert found.match(addresses=[SECOND]) is None


def large(path: Path) -> None:
    path.write_bytes(HEAD)
    os.truncate(path, 100_000_000)  # one cell of NUL


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (lambda path: None, "removals.csv is missing; it may hold `" + ",".join(COLUMNS)),
    "a pipe": (os.mkfifo, "not a plain file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "not a plain file"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a symlink to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "100 MB of nothing": (large, CSV),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_file_removes_nobody_and_is_said(
    tmp_path: Path, refused: Refused, case: str
) -> None:
    make, words = PLACES[case]
    path = tmp_path / "removals.csv"
    make(path)
    with refused(str(path), words):
        RemovalList.read(path)
