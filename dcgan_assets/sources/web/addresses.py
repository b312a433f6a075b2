"""Which addresses are asked at all, and which machines they may lead to.

A picture's address comes from strangers, and so does every redirect. Whatever it says, nothing
inside the operator's own network is contacted; what a name leads to is checked by resolver.py.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from yarl import URL

from dcgan_assets.sources.ip_addresses import is_public, literal
from dcgan_assets.sources.web.wanted import Reason, RejectedError

_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192
# What DNS can be asked for; real names have underscores, and hyphens at the ends of labels.
_NAME = re.compile(r"(?=.{1,254}\Z)([A-Za-z0-9\-_]{1,63}\.)*[A-Za-z0-9\-_]{1,63}\.?")
# Halves of surrogate pairs, which a service's JSON may hold, are no characters of any address.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
# What may stand in an address as it is (RFC 3986); anything else is quoted first.
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
# 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to some resolvers.
_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9A-Fa-f]*)\.?$")
# Names that mean something inside a network alone (RFC 6761, RFC 6762, ICANN's `internal`).
_INSIDE = re.compile(r"(^|.*\.)(localhost|local|internal)\.?|[^.:]+\.?", re.IGNORECASE)
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Parameters that say where a click came from, and not which file is meant.
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_cid|mc_eid|igshid", re.IGNORECASE)


def parse_address(text: str, allowed: frozenset[str] = frozenset()) -> URL:
    """An address that may be asked for, or the reason why not.

    Plain ASCII is kept as it stands: some servers serve exactly the address that they gave.
    Other characters are quoted, and names in other scripts become IDNA.

    Args:
        text: As a search or a redirect gave it.
        allowed: `host:port` on this machine that tests may ask.

    Raises:
        RejectedError: `bad address` or `private address`.
    """
    try:
        if len(text) > _LONGEST or _FORBIDDEN.search(text):
            raise ValueError("too long" if len(text) > _LONGEST else "control characters")
        text = text.strip()
        url = as_url(text)
        _check(url, allowed)
    except ValueError as error:
        raise RejectedError(Reason.BAD_ADDRESS, str(error)) from None
    return url


def as_url(text: str) -> URL:
    """An address in its parts; what is no plain ASCII is quoted.

    Raises:
        ValueError: It has none.
    """
    return URL(text, encoded=_PLAIN.fullmatch(text) is not None)


def joined(url: URL, location: str, allowed: frozenset[str] = frozenset()) -> URL:
    """Where a redirect from `url` leads.

    Raises:
        RejectedError: Somewhere that is not asked, or from https to http.
    """
    try:
        target = str(url.join(as_url(location)))
    except ValueError as error:
        raise RejectedError(Reason.BAD_ADDRESS, f"redirect: {error}") from None
    found = parse_address(target, allowed)
    if url.scheme == "https" and found.scheme == "http":
        raise RejectedError(Reason.REDIRECTS, "from https to http")
    return found


def _check(url: URL, allowed: frozenset[str]) -> None:
    if url.scheme not in _PORTS:
        raise ValueError("neither http nor https")
    host = url.raw_host
    address = literal(host or "")
    if not host or "%" in host or (address is None and not _NAME.fullmatch(host)):
        raise ValueError("no host that could be asked")
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("user or password in it")
    if site_of(url) in allowed:
        return
    if url.port != _PORTS[url.scheme]:
        raise ValueError(f"port {url.port}; only 80 and 443 are asked")
    if address is None and _NUMBER.search(host):
        raise ValueError("no host but a number, of which systems make IP addresses")
    if not is_public(address) if address is not None else _INSIDE.fullmatch(host):
        raise RejectedError(Reason.PRIVATE, host)


def host_of(url: URL) -> str:
    """The host, lower case, without the dot that may end it."""
    return (url.raw_host or "").lower().rstrip(".")


def site_of(url: URL) -> str:
    """What is asked politely as one: a host, with its port where that is an odd one."""
    port = url.port
    return host_of(url) if port in _PORTS.values() else f"{host_of(url)}:{port}"


def origin_of(url: URL) -> str:
    """What one robots.txt speaks for: scheme, host and port."""
    return f"{url.scheme}://{host_of(url)}:{url.port}"


def canonical(url: URL) -> str:
    """One text for addresses that mean the same file (RFC 3986, 6.2.2).

    Host in lower case, no default port, no fragment, no parameters that only track clicks,
    escapes in upper case and only where they are needed. The order of parameters stays.
    """
    parts = url.raw_query_string.split("&")
    kept = [part for part in parts if not _TRACKING.fullmatch(unquote(part.partition("=")[0]))]
    query = spelled("&".join(kept))
    path = spelled(url.raw_path or "/")
    return f"{url.scheme}://{site_of(url)}{path}" + (f"?{query}" if query else "")


def spelled(text: str) -> str:
    """The same octets in the same spelling: escapes in upper case and only where needed."""
    plain = quote(text, safe="%/:?#[]@!$&'()*+,;=-._~", errors="surrogatepass")
    return _ESCAPE.sub(_plain, _STRAY_PERCENT.sub("%25", plain))


def _plain(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()
