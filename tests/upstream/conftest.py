"""What the tests of asking upstream share."""

from collections.abc import AsyncIterator

import pytest

from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.policy.routing import Host
from regproxy.upstream.host import HostClient
from tests.fakes.registry import FakeRegistry


@pytest.fixture
async def client(upstream: FakeRegistry) -> AsyncIterator[HostClient]:
    found = HostClient("docker.io", Host(upstream.url), Timeouts(), NullFleet())
    yield found
    await found.close()
