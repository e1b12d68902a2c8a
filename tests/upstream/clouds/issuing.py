"""Asking a fake cloud, by a clock of the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from regproxy.policy.clouds.sources import CloudSource
from regproxy.policy.routing import Host
from regproxy.ports import UpstreamError
from regproxy.upstream.clouds.issuer import Issued, Issuer
from regproxy.upstream.clouds.made import issuer_of
from tests.canary import told
from tests.upstream.auth.subject import Clock

HOST = Host("https://registry.example")


@asynccontextmanager
async def issuing(source: CloudSource, clock: Clock | None = None, host: Host = HOST) -> AsyncIterator[Issuer]:
    issuer = issuer_of(source, host, clock or Clock())
    try:
        yield issuer
    finally:
        await issuer.close()


async def issue(source: CloudSource, clock: Clock | None = None) -> Issued:
    async with issuing(source, clock) as issuer:
        return await issuer.issue()


async def refusal(source: CloudSource, clock: Clock | None = None) -> str:
    """Return what is told where nothing is issued: never a secret."""
    with pytest.raises(UpstreamError) as raised:
        await issue(source, clock)
    assert told(str(raised.value)) is None
    return f"{type(raised.value).__name__}: {raised.value}"
