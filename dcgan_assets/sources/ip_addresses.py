"""Which IP addresses are of the public internet, and which are this machine's own.

Registries, and what Python's `ipaddress` makes of them, are not enough: an address may have another
one packed into it, at which a packet ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# `is_global` of some versions of Python passes these; IANA's registries do not, or they are
# used inside networks all the same, or are tunnels of the past (6to4, 2002::/16) that a packet
# leaves at an address of somebody's choice.
_NOT_GLOBAL = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fec0::/10",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
# Of RFC 2765, `::ffff:0:127.0.0.1`: some systems still translate them.
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_ENDS_IN_IPV4 = (_COMPATIBLE, _NAT64, _TRANSLATED)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address, and every address packed into it, is one of the public internet."""
    return all(
        one.is_global
        and not one.is_multicast
        and not any(one.version == net.version and one in net for net in _NOT_GLOBAL)
        for one in _inner(address)
    )


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as; None of a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or an address, in whatever it is packed, is this machine's own."""
    address = literal(host)
    if address is None:
        return host.lower().rstrip(".") == "localhost"
    return address.is_loopback or all(one.is_loopback for one in _inner(address))


def _inner(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses that a packet to this one may end at: a translator or tunnel unpacks them."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    elif any(address in network for network in _ENDS_IN_IPV4):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
