"""Members of a fleet ask for each tag and each token once, without Redis, and whatever happens to some of them."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp

from tests.fakes.deeds import Hold
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Rig

NAME = "library/app"
PASSWORD = "canary-password-d10e"
CLIENTS = 60


def questions(upstream: FakeRegistry, tag: str = "1") -> int:
    """Count how often a tag was asked for, and answered."""
    return len([each for each in upstream.ledger if each.kind == "manifests" and each.reference == tag and each.status == 200])


def entry(upstream: FakeRegistry) -> dict[str, object]:
    return {"hosts": [{"url": upstream.url, "credentials": {"username": "user", "password": PASSWORD}}]}


def registry() -> FakeRegistry:
    return FakeRegistry("password", password=PASSWORD)


async def pulled(port: int, layers: list[bytes], tag: str = "1") -> None:
    """Pull an image as a runtime does, and look at every byte."""
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}", timeout=aiohttp.ClientTimeout(total=None)) as session:
        async with session.get(f"/v2/{NAME}/manifests/{tag}") as answer:
            assert answer.status == 200, await answer.text()
            found = json.loads(await answer.read())

        async def blob(digest: str) -> bytes:
            async with session.get(f"/v2/{NAME}/blobs/{digest}") as answer:
                assert answer.status == 200, await answer.text()
                return await answer.read()

        bodies = await asyncio.gather(*(blob(each["digest"]) for each in (found["config"], *found["layers"])))
    assert bodies[1:] == layers


async def settled(rigs: list[Rig]) -> None:
    await asyncio.gather(*(each.settled() for each in rigs))


async def test_n17_05_a_mass_restart_asks_for_one_token_and_once_for_the_tag(tmp_path: Path) -> None:
    layers = [os.urandom(100_000 + number) for number in range(5)]
    async with registry() as upstream:
        upstream.add_image(NAME, "1", layers)
        held = sum(map(len, upstream.repositories[NAME].blobs.values()))
        async with fleet(tmp_path, {"docker.io": entry(upstream)}, insecure_credentials=True) as rigs:
            await asyncio.gather(*(pulled(rigs[number % 3].port, layers) for number in range(CLIENTS)))
            await settled(rigs)
        assert (len(upstream.issued), questions(upstream), upstream.sent_blob_bytes()) == (1, 1, held)


async def test_n17_05_a_member_with_another_key_asks_for_itself(tmp_path: Path) -> None:
    layers = [os.urandom(1000)]
    async with registry() as upstream:
        upstream.add_image(NAME, "1", layers)
        others = {2: {"key": "canary-other-0123456789abcdef0123456789abcdef"}}
        async with fleet(tmp_path, {"docker.io": entry(upstream)}, own=others, insecure_credentials=True) as rigs:
            for _ in range(2):
                await asyncio.gather(*(pulled(each.port, layers) for each in rigs))
            await settled(rigs)
        assert (len(upstream.issued), questions(upstream)) == (2, 2)


async def test_n17_06_real_replicas_ask_once_and_one_that_is_killed_and_one_that_is_stopped_cost_little(tmp_path: Path) -> None:
    """Whoever of them has the lock and whoever keeps it: upstream holds its answer back until both are gone."""
    first, second = ([os.urandom(100_000 + number) for number in range(5)] for _ in range(2))
    async with registry() as upstream, AsyncExitStack() as stack:
        upstream.add_image(NAME, "1", first)
        programs = [_program(tmp_path / str(number), upstream) for number in range(3)]
        peers = [f"http://{LOOPBACK}:{each.port}" for each in programs]
        for each in programs:
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "30s"}
            await stack.enter_async_context(each.running())
        await asyncio.gather(*(pulled(programs[number % 3].port, first) for number in range(CLIENTS)))
        assert (len(upstream.issued), questions(upstream)) == (1, 1)
        held = sum(map(len, upstream.repositories[NAME].blobs.values()))
        assert upstream.sent_blob_bytes() == held

        for each in programs:
            each.configure(fleet={"peers": peers, "key": KEY, "timeout": "1s"})
            each.tell(signal.SIGHUP)
        await asyncio.gather(*(each.until(partial(_is_reloaded, each)) for each in programs))
        upstream.add_image(NAME, "2", second)
        hold = Hold()
        upstream.misbehave(on("GET", "/manifests/2"), hold, times=1)
        lost = [asyncio.create_task(pulled(each.port, second, "2")) for each in programs[1:] for _ in range(5)]
        pulling = [asyncio.create_task(pulled(programs[0].port, second, "2")) for _ in range(CLIENTS // 3)]
        await hold.reached.wait()
        killed, stopped = programs[1:]
        killed.tell(signal.SIGKILL)
        stopped.tell(signal.SIGSTOP)  # before its workers are listed: one that drains still may not be reaped meanwhile
        victims = stopped.workers()
        for process in victims:
            os.kill(process, signal.SIGSTOP)
        hold.event.set()
        await asyncio.gather(*pulling)
        await asyncio.gather(*(pulled(programs[0].port, second, "2") for _ in lost))  # as a Service sends them, once their replica is gone
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
        assert questions(upstream, "2") <= 3
        assert len(upstream.issued) <= 2
        stopped.tell(signal.SIGKILL)
        for process in victims:
            os.kill(process, signal.SIGKILL)


def _is_reloaded(program: Program) -> bool:
    return "configuration reloaded" in program.log()


def _program(root: Path, upstream: FakeRegistry) -> Program:
    root.mkdir()
    return Program(root, {"docker.io": entry(upstream)}, timeouts=PATIENT, insecure_credentials=True)
