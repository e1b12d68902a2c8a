"""An index with content called by short names."""

from dataclasses import dataclass, field

from regproxy.index.ledger import SqliteLedger
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.eviction import RecentHistory
from regproxy.ports import Kind

NGINX = Repository("docker.io", "library/nginx")

BLOCK = 4096


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


@dataclass
class Books:
    """An index with content called by short names, and a clock."""

    index: SqliteIndex
    ledger: SqliteLedger
    now: list[float] = field(default_factory=lambda: [1000.0])

    async def put(self, name: str, *children: str, size: int = BLOCK) -> None:
        kind = Kind.MANIFEST if children else Kind.BLOB
        await self.index.put(kind, NGINX, Descriptor("a/b", digest(name), size), [digest(child) for child in children])

    async def use(self, name: str, *, at: float) -> None:
        await self.ledger.touch([digest(name)], [], at)

    async def idlest(self, *, often: bool = False, spared: RecentHistory | None = None) -> list[Digest]:
        return [candidate.digest for candidate in await self.ledger.idlest(10, often=often, spared=spared)]


async def tagged(books: Books, tag: str, name: str, at: float = 1.0) -> None:
    await books.index.put_tag(Reference(NGINX, Tag(tag)), TagRecord(Descriptor("a/b", digest(name), 1), at))
