"""Who is asking: the User-Agent, with the operator's own contact and nobody else's.

Servers limit, and people complain to, the contact that they see. A default would put all users
of this software into one box, so there is none.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from dcgan_models.errors import UserError

# The name that robots.txt and X-Robots-Tag know us by.
PRODUCT = "dcgan-assets"

_MAIL = re.compile(r"(mailto:)?[\w.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", re.ASCII)
_PAGE = re.compile(r"https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d+)?(/[!-'*-:<-~]*)?", re.ASCII)
_PLACEHOLDER = re.compile(r"[@/.]example\.(com|org|net)\b", re.IGNORECASE)


def check_contact(contact: str | None) -> str:
    """The contact, when a server's operator could use it.

    Raises:
        ValueError: It is missing, a placeholder, or neither an e-mail nor a web address.
    """
    if not contact:
        raise ValueError(
            "`contact` is missing: give your own e-mail or web address; it is sent with every "
            "request to the web"
        )
    if not (_MAIL.fullmatch(contact) or _PAGE.fullmatch(contact)):
        raise ValueError(f"`contact` is {contact!r}, neither an e-mail nor a web address")
    if _PLACEHOLDER.search(contact):
        raise ValueError(f"`contact` is {contact!r}, a placeholder; give your own")
    return contact


def user_agent(contact: str | None) -> str:
    """The User-Agent header.

    Raises:
        UserError: The contact is missing or cannot be used.
    """
    try:
        checked = check_contact(contact)
    except ValueError as error:
        raise UserError(f"{error}; nothing is fetched without one") from None
    if _MAIL.fullmatch(checked):
        checked = f"mailto:{checked.removeprefix('mailto:')}"
    return f"{PRODUCT}/{_version()} ({checked}) aiohttp/{version('aiohttp')}"


def _version() -> str:
    try:
        return version("dcgan-assets")
    except PackageNotFoundError:
        return "unknown"  # a checkout that runs without being installed
