"""Events of a registry, told to the program: all workers serve what a tag means now, and a secret is replaced without a restart."""

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
import pytest

from regproxy.oci.digest import Digest
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.policy.hooks.recorded import RECORDED
from tests.rig import LOOPBACK

OLD, NEW = "canary-of-a-hook-0123456789", "canary-of-a-new-hook-0123456789"


@pytest.mark.timeout(600)
async def test_n18_10_a_push_that_is_told_is_served_by_all_workers_and_secrets_rotate(upstream: FakeRegistry, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{OLD}\n")
    upstream.add_image("library/app", "1", [b"first"])
    upstreams = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "7d"}]}}
    program = Program(tmp_path, upstreams, hooks=[{"source": "dockerhub", "secret_file": str(secret)}, {"source": "harbor", "open": True}])

    async def told(shown: str) -> int:
        return await posted(f"http://{LOOPBACK}:{program.admin_port}/hooks/dockerhub/{shown}?secret={shown}x")

    async def posted(url: str) -> int:
        async with aiohttp.ClientSession() as session, session.post(url, json=RECORDED["dockerhub"].body) as response:
            return response.status

    async def told_elsewhere() -> set[int]:
        """Tell it where nothing is: a base URL that ends in a slash, one behind a prefix, a slip, the other port."""
        places = [(program.admin_port, f"{place}/dockerhub/{OLD}") for place in ("//hooks", "/regproxy/hooks", "/Hooks", "/hook")]
        places += [(program.admin_port, f"/hooks?secret={OLD}"), (program.port, f"/hooks/dockerhub/{OLD}?secret={OLD}")]
        return {await posted(f"http://{LOOPBACK}:{port}{path}") for port, path in places}

    async def served() -> set[Digest]:
        return {Digest.of((await program.ask("/v2/library/app/manifests/1"))[1]) for _ in range(8)}

    async def is_the_new_one() -> bool:
        return await served() == {new.digest}

    async with program.running():
        await served()
        new = upstream.add_image("library/app", "1", [b"second"])
        assert await told_elsewhere() == {404}
        assert await told(NEW) == 401
        assert await told(OLD) == 202
        await program.until(is_the_new_one)
        assert await program.metric('regproxy_hook_refreshes_total{result="changed",source="dockerhub"}') == 1
        assert await program.metric('regproxy_hook_events_total{result="unauthorized",source="dockerhub"}') == 1

        secret.write_text(NEW)
        program.tell(signal.SIGHUP)
        async with asyncio.timeout(300):
            while await told(NEW) != 202:  # noqa: ASYNC110  the program tells nobody
                await asyncio.sleep(0.05)
        assert await told(OLD) == 401
    said = program.log()
    assert "canary" not in said
    assert [line["source"] for line in map(json.loads, said.splitlines()) if "anybody" in line["message"]][:1] == ["harbor"]
