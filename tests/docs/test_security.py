"""SECURITY.md: each promise names the tests that hold it, and they are there."""

from __future__ import annotations

import re

import pytest
from doc_pages import ROOT

PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
PROMISES = dict(re.findall(r"^\| (?!promise|-)(.+?) \| (.+) \|$", PAGE, re.MULTILINE))


def test_there_are_promises() -> None:
    assert len(PROMISES) > 10


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[:40])
def test_a_promise_is_held_by_tests(promise: str) -> None:
    names = re.findall(r"`(tests/[a-z0-9_/]+\.py)`", PROMISES[promise])
    assert names
    for name in names:
        assert re.search(r"^def test_", (ROOT / name).read_text("utf-8"), re.MULTILINE), name
