"""A registry that fetches first itself, and answers when it has: it is waited for where its settings say so."""

import asyncio
from pathlib import Path

from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, rig

NAME = "library/app"


async def test_n13_21_a_slow_registry_is_waited_for_and_others_are_not(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Zot with sync, ECR pull-through."""
    upstream.add_image(NAME, "1", [b"layer"])
    held = Hold()
    upstream.misbehave("/manifests/", held)
    hosts = {"hosts": [{"url": upstream.url}]}
    slow = {**hosts, "timeouts": {"headers": "5m"}}
    slow_host = {"hosts": [{"url": upstream.url, "timeouts": {"headers": "5m"}}]}
    upstreams = {"docker.io": hosts, "slow.test": slow, "slow-host.test": slow_host}
    async with rig(tmp_path / "store", upstreams, timeouts={**PATIENT, "headers": "2s"}) as proxy:
        waiting = [asyncio.create_task(proxy.ask(f"/v2/{NAME}/manifests/1?ns={name}")) for name in ("slow.test", "slow-host.test")]
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 504
        assert [task.done() for task in waiting] == [False, False]
        held.event.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]
