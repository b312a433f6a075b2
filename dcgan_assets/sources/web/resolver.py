"""Which machines a name may lead to.

Names are checked where the connection takes its IP addresses from, so that the address checked is
the one connected, however DNS changes.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from dcgan_assets.sources.ip_addresses import is_public
from dcgan_assets.sources.web.wanted import Reason, RejectedError


class CheckedResolver(AbstractResolver):
    """A resolver whose every answer is checked before a connection can be made to it.

    Args:
        inner: Looks names up.
        allowed: `host:port` whose addresses may be this machine's own.
    """

    def __init__(self, inner: AbstractResolver, allowed: frozenset[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look up a name; one address that is not public condemns all of them.

        Raises:
            RejectedError: `private address`.
            OSError: The name is not known, or nobody could say.
        """
        results = await self._inner.resolve(host, port, family)
        local = f"{host.lower().rstrip('.')}:{port}" in self._allowed
        for result in results:
            address = ip_address(result["host"])
            if not is_public(address) and not (local and address.is_loopback):
                raise RejectedError(Reason.PRIVATE, f"{host} is {address}")
        return results

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()
