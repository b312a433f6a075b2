"""Names: which machines they may lead to."""

from __future__ import annotations

import asyncio

import pytest
from picture_servers import Names

from dcgan_assets.sources.web.resolver import CheckedResolver
from dcgan_assets.sources.web.wanted import RejectedError


def test_one_private_address_condemns_a_name_and_allowing_means_loopback_alone() -> None:
    class Both(Names):
        async def resolve(self, host: str, *more: object, **extra: object) -> list[object]:  # type: ignore[override]
            return [*await super().resolve("good"), *await super().resolve(host)]

    names = Both(
        {"good": ["8.8.8.8"], "mixed": ["10.0.0.1"], "own": ["127.0.0.1"], "ok": ["1.1.1.1"]}
    )
    resolver = CheckedResolver(names, frozenset({"own:8080", "mixed:8080"}))

    def look_up(host: str, port: int) -> int:
        return len(asyncio.run(resolver.resolve(host, port)))

    assert look_up("ok", 80) == look_up("own", 8080) == 2
    for host, port in (("mixed", 80), ("own", 80), ("mixed", 8080), ("own", 8081)):
        with pytest.raises(RejectedError):
            look_up(host, port)
