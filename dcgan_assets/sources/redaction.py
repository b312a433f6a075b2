"""Secrets of this process's environment, hidden in what servers answer before any of it is kept.

A server may echo what it was sent: a key in an error message, a proxy's password in a page. What
is hidden where answers enter is in no table, no record and no log.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
# Names of variables that hold secrets, as tools and services call them.
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|WEBHOOK", re.IGNORECASE)
# Shorter ones would be found in words, and are easily guessed anyway.
_SHORTEST = 8
# In an address, as those of proxies: user and password.
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#\s]*)@")


def hide(text: str) -> str:
    """Text with `***` in the place of every secret, in whatever way it is written."""
    for secret in _spellings():
        text = text.replace(secret, HIDDEN)
    return text


def hide_bytes(content: bytes) -> bytes:
    """As `hide`, for UTF-8 that nobody has looked at yet."""
    for secret in _spellings():
        content = content.replace(secret.encode("utf-8", "surrogateescape"), HIDDEN.encode())
    return content


def hide_deep(content: Any) -> Any:
    """As `hide`, for every text in plain JSON, whose escapes hide what `hide_bytes` looks for."""
    spellings = _spellings()
    return _hidden(content) if spellings else content


def _hidden(content: Any) -> Any:
    if isinstance(content, str):
        return hide(content)
    if isinstance(content, list):
        return [_hidden(one) for one in content]
    if isinstance(content, dict):
        return {hide(name): _hidden(value) for name, value in content.items()}
    return content


def _spellings() -> list[str]:
    """All ways in which the secrets are written, the longest first: one may be in another."""
    found = {spelling for secret in _secrets() for spelling in _spelled(secret)}
    return sorted(found, key=lambda spelling: (-len(spelling), spelling))


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value.strip()) >= _SHORTEST:
            yield value.strip()
        for user in _USER.findall(value):
            _, colon, password = unquote(user).partition(":")
            if colon and password:
                # As a request carries them, which is how a proxy may send them back.
                yield base64.b64encode(unquote(user).encode("utf-8", "surrogateescape")).decode()
                yield unquote(user)
            if len(password) >= _SHORTEST:
                yield password


def _spelled(secret: str) -> Iterator[str]:
    yield secret
    plain = secret.encode("utf-8", "surrogateescape")
    yield quote(plain, safe="")
    yield quote_plus(plain)
    yield html.escape(secret)
    for ascii_alone in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_alone)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")  # as PHP does
