"""An exchange of a member whose upstream is in memory."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from regproxy.config import Address
from regproxy.config.sections.fleet import FleetSettings
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.attribution import Attribution
from regproxy.peers.client import PeerClient
from regproxy.peers.exchange import Exchange
from regproxy.peers.keys import FleetKeys
from regproxy.peers.membership import Membership
from regproxy.peers.names import Blob
from regproxy.peers.pieces.cache import PieceCache
from regproxy.peers.upstreams import Upstreams
from regproxy.policy.fleet.cut import MIB
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.ports import BlobBody, Content, ForwardingRegistry, NotFound, UpstreamError
from regproxy.shm import Flag
from regproxy.storage.threads import DiskThreads
from tests.fakes.fleet import KEY

REPOSITORY = Repository("docker.io", "library/app")
US, DEAD = "http://127.0.0.1:5000", "http://127.0.0.1:1"


@dataclass
class Body:
    """A part of a blob."""

    blob: bytes
    start: int
    stop: int | None
    size: int | None
    is_untrusted: bool = False

    def __str__(self) -> str:
        return "memory"

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:
        del ahead
        for at in range(self.start, self.stop or len(self.blob), 100_000):
            yield self.blob[at : min(at + 100_000, self.stop or len(self.blob))]

    def pause(self) -> None: ...

    def confirm(self) -> None: ...

    def reject(self) -> None: ...

    def suspect(self) -> None: ...


class Given(ForwardingRegistry):
    """An upstream that has some blobs, and counts who asks for them."""

    is_near = True
    has_caches = False
    progress_timeout = 60.0

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = {Digest.of(each): each for each in blobs}
        self.asked: list[tuple[int, int | None]] = []
        self.error: UpstreamError | None = None
        self.is_ranged = True

    def has_others(self, repository: Repository) -> bool:  # noqa: ARG002
        return False

    def may_repeat(self) -> bool:
        return False

    @asynccontextmanager
    async def blob(
        self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None, last: str | None = None
    ) -> AsyncIterator[BlobBody]:
        del repository, last
        self.asked.append((start, stop))
        if self.error is not None:
            raise self.error
        if (found := self.blobs.get(digest)) is None:
            raise NotFound("memory: no such blob")
        yield Body(found, start, min(stop or len(found), len(found)), len(found)) if self.is_ranged else Body(found, 0, None, len(found))

    async def close(self) -> None: ...


@asynccontextmanager
async def exchange(root: Path, registry: Given, *others: str) -> AsyncIterator[Exchange]:
    """Exchange pieces of blobs of docker.io with *others*."""
    settings = FleetSettings.model_validate({"peers": [US, *others], "key": KEY, "advertise": US})
    suspicions, run = Suspicions(), DiskThreads(root, 60.0)
    membership = Membership(settings, Address("127.0.0.1", 5000), is_tls=False, suspicions=suspicions)
    await membership.refresh()
    cache = PieceCache(root / "pieces", 100 * MIB, 600.0)
    cache.prepare()

    async def stored(_: Blob) -> Content | None:
        return None

    client = PeerClient(FleetKeys(KEY, lambda: 0.0), 60.0, lambda: 0.0)
    attribution = Attribution(cache, run, stored, Flag(root, "members"))
    found = Exchange(Upstreams({"docker.io": registry}), membership, suspicions, client, cache, run, attribution)
    try:
        yield found
    finally:
        await found.close()
        run.close()
