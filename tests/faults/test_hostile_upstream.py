"""A host that says anything, before one that is well: as a mirror, a registry, a token service, and the target of redirects.

What must hold whatever it says: no wrong byte for a client, no pull that fails or hangs, no worker that dies, no process that grows without
a bound. Waits are shorter than the defaults: a pull that takes as long as one may with the defaults waits for something else.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Redirect
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.faults.hostile import promises
from tests.faults.hostile.run import Run, seconds_of_a_run, seed_of_a_run
from tests.faults.hostile.upstream import FuzzedHost
from tests.rig import LOOPBACK, get, raw

NAME = "library/app"
_KINDS = ("mirror", "registry", "tokens", "target")
_UPSTREAMS = 150  # of each kind: a host that failed rests, and is asked nothing meanwhile
_PULLERS = 24
_HANG = 15.0  # seconds
_BUSY = 20  # times as long as an answer that waits for nothing: what a pull takes on this machine, at its present pace
_ATTEMPTS = 4  # what a host that is trusted sends is passed on before it is verified, and then cut short of its end where it was wrong
_SIZES = (20, 300, 20_000, 300_000, 2_000_000)
_TIMEOUTS = {"connect": "2s", "headers": "2s", "silence": "2s", "slow_for": "2s", "progress": "10s", "revalidate": "300ms"}

pytestmark = pytest.mark.timeout(seconds_of_a_run() + 180)


@dataclass
class Upstreams:
    """A host that is well, which all upstreams have behind the fuzzed one."""

    good: FakeRegistry
    fuzzed: dict[str, FuzzedHost]
    document: dict[str, object]


@asynccontextmanager
async def upstreams(run: Run) -> AsyncIterator[Upstreams]:
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(FakeRegistry())
        connection, sender = FakeRegistry("anonymous"), FakeRegistry()
        fuzzed = {}
        for kind in _KINDS:
            behind = FakeRegistry()
            behind.tokens = connection.tokens
            behind.repositories = good.repositories
            fuzzed[kind] = await stack.enter_async_context(FuzzedHost(behind, run.random(f"host {kind}"), 0.5))
        connection.realm = fuzzed["tokens"].url + "/token"
        sender.misbehave("/v2/", Redirect(lambda entry: fuzzed["target"].url + entry.path))
        for each in (connection, sender):
            each.repositories = good.repositories
            await stack.enter_async_context(each)
        first = {
            "mirror": {"url": fuzzed["mirror"].url, "trust": ["pull"]},
            "registry": {"url": fuzzed["registry"].url},
            "tokens": {"url": connection.url, "realms": [fuzzed["tokens"].host]},
            "target": {"url": sender.url},
        }
        hosts: dict[str, object] = {
            f"{kind}{number}.test": {"hosts": [first[kind], {"url": good.url}]} for kind in _KINDS for number in range(_UPSTREAMS)
        }
        yield Upstreams(good, fuzzed, hosts)


async def test_a_hostile_host_before_a_good_one_hurts_nobody(tmp_path: Path) -> None:
    run = Run(seed_of_a_run(), seconds_of_a_run())
    async with upstreams(run) as made:
        store = {"root": str(tmp_path / "store"), "max_size": "2GiB"}
        program = Program(tmp_path, made.document, default_upstream="mirror0.test", store=store, timeouts=_TIMEOUTS, log_level="warning")
        async with program.running():
            pace = _Throughput()
            pullers = [_pull(run, pace, made, program.port, number) for number in range(_PULLERS)]
            await run.act([*pullers, pace.watch(run, program.port), promises.watched(run, program)])
        promises.check_log(run, program)
    for kind, host in made.fuzzed.items():
        run.done[f"answers of the {kind}"] = host.answers
        run.done[f"wrong answers of the {kind}"] = host.answers - host.right_answers
        assert host.answers > 0, kind
    run.check()


class _Throughput:
    """How long the program takes on this machine for an answer that waits for nobody."""

    def __init__(self) -> None:
        self.slowest = 0.0

    async def watch(self, run: Run, port: int) -> None:
        while not run.is_over:
            began = time.monotonic()
            await raw(port, get("/v2/"))
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.1)


async def _pull(run: Run, pace: _Throughput, made: Upstreams, port: int, number: int) -> None:
    chance = run.random(f"puller {number}")
    count = 0
    while not run.is_over:
        count += 1
        tag = f"v{number}-{count}"
        layers = [chance.randbytes(chance.choice(_SIZES)) for _ in range(chance.randint(1, 2))]
        image = made.good.add_image(NAME, tag, layers)
        stored = made.good.repositories[NAME]
        manifest = stored.manifests[image.digest].body
        blobs = [digest for digest, body in stored.blobs.items() if body in layers or str(digest).encode() in manifest]
        for _ in range(chance.randint(1, 3)):
            upstream = f"{chance.choice(_KINDS)}{chance.randrange(_UPSTREAMS)}.test"
            await _pull_from(
                run, pace, chance, made.good.host, port, upstream, tag, image, {digest: stored.blobs[digest] for digest in blobs}
            )
        made.good.ledger.clear()
        del stored.tags[tag], stored.manifests[image.digest]
        for digest in blobs:
            stored.blobs.pop(digest, None)


async def _pull_from(
    run: Run,
    pace: _Throughput,
    chance: random.Random,
    good: str,
    port: int,
    upstream: str,
    tag: str,
    image: Descriptor,
    blobs: dict[Digest, bytes],
) -> None:
    asked = [f"manifests/{image.digest}", *(f"blobs/{digest}" for digest in blobs)]
    if chance.random() < 0.5:
        asked.insert(0, f"manifests/{tag}")
    for path in asked:
        await _pull_one(run, pace, good, port, path, upstream, tag)


async def _pull_one(run: Run, pace: _Throughput, good: str, port: int, path: str, upstream: str, tag: str) -> None:
    """Pull as a client does, which asks again for what was cut short."""
    what = f"{path} of {upstream}"
    for _ in range(_ATTEMPTS):
        began = time.monotonic()
        try:
            async with asyncio.timeout(8 * _HANG):
                status, digest, body, length = await _asked(port, f"/v2/{NAME}/{path}?ns={upstream}")
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            run.found("a pull broke", f"{what}: {error!r}")
            return
        took = time.monotonic() - began
        run.done["pulls"] += 1
        run.done["slowest"] = max(run.done["slowest"], round(took))
        if took > _HANG + _BUSY * pace.slowest:
            run.found("a pull hung", f"{what} took {took:.1f} s: {status} {body[:300]!r}")
        if status != 200:
            if not any(f"{good} did not {late}".encode() in body for late in ("answer in time", "finish its answer")):  # a busy machine
                run.found("a pull failed", f"{what}: {status} {body[:600]!r}")
            return
        if len(body) == length:
            if sha256(body).hexdigest() != digest.partition(":")[2] or (path.partition("/")[2] not in {tag, digest}):
                run.found("a wrong byte reached a client", f"{what}: {digest} {body[:100]!r}")
            return
        run.done["cut short"] += 1
    run.found("a pull was cut again and again", what)


async def _asked(port: int, path: str) -> tuple[int, str, bytes, int]:
    """Ask over a new connection, and give status, digest, body, and how long it was to be."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        digest = head.partition("docker-content-digest: ")[2].partition("\r\n")[0]
        return int(head[9:12]), digest, await reader.read(-1), length
    finally:
        writer.transport.abort()
