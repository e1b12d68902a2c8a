"""Compares index and store at every start: a crash, an operator or a lost index makes them differ.

The files are the truth. One that nobody recorded is read and hashed before it is believed; so is one that was written in the last minute
before an unclean stop. A manifest is recorded with what it needs, so that a sweep knows.
"""

import asyncio
import logging
import math
import time
from collections.abc import Collection

from regproxy.fill.fills import BLOB_TYPE
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT, InvalidManifest, Manifest
from regproxy.policy.store.quota import on_disk
from regproxy.policy.store.scrubbing import SHARDS
from regproxy.ports import BlobStore, Gone, Kind, Ledger, Record, StoredBlob, StoreError
from regproxy.telemetry.log import fields

_LATELY = 60.0  # seconds: file systems write out what they hold back every 5 to 30

_log = logging.getLogger(__name__)


class Reconciler:
    """Makes the index agree with the files.

    What is written meanwhile is left to whoever writes it: only what lay there before is adopted.
    """

    def __init__(self, store: BlobStore, ledger: Ledger, *, doubts_all: bool = False) -> None:
        """Compare *store* and *ledger*; with *doubts_all*, hash every blob again."""
        self._doubts_all = doubts_all
        self._store = store
        self._ledger = ledger
        self.adopted = 0
        self.lost = 0
        self.damaged = 0

    async def run(self) -> None:
        """Compare all there is, once, and return what differed."""
        try:
            for shard in SHARDS:
                began = time.monotonic()
                await self.take(shard)
                await asyncio.sleep(time.monotonic() - began)  # half of the time is for those who are being served
            self._store.mended()
        except StoreError as error:
            _log.error("reconciliation stopped", extra=fields(reason=str(error)))
        if self.adopted or self.lost or self.damaged:
            _log.warning(
                "the index did not say what the store holds", extra=fields(adopted=self.adopted, lost=self.lost, damaged=self.damaged)
            )

    async def take(self, shard: str) -> None:
        """Compare one shard. The records are read first: what is kept meanwhile is found there, and not found missing."""
        recorded = await self._ledger.recorded(shard)
        stored = {each.name: each for each in await self._store.list_shard(shard)}
        doubted_since = self._doubted_since
        await self._lose([Digest.parse(name) for name in recorded if name not in stored])
        for name, each in stored.items():
            size = recorded.get(name)
            if size is None and each.modified_at < self._store.opened_at:
                await self._adopt(each)
            elif size is not None and (size != each.size or each.modified_at > doubted_since):
                await self._check(each.digest, size)

    @property
    def _doubted_since(self) -> float:
        """From when on, in epoch seconds, what was written is hashed though its record and its size agree."""
        if self._doubts_all:
            return -math.inf
        return math.inf if self._store.interrupted_at is None else self._store.interrupted_at - _LATELY

    async def _lose(self, digests: Collection[Digest]) -> None:
        await lose(self._store, self._ledger, digests)
        self.lost += len(digests)

    async def _check(self, digest: Digest, size: int) -> None:
        if await _sound(self._store, digest) != size:
            self.damaged += 1
            await self._lose([digest])

    async def _adopt(self, stored: StoredBlob) -> None:
        size = await _recorded(self._store, self._ledger, stored)
        if size is None:
            self.damaged += 1
            return
        self._store.count(on_disk(size))
        self.adopted += 1


async def lose(store: BlobStore, ledger: Ledger, digests: Collection[Digest]) -> int:
    """Drop the records of content that was not there, and return how many bytes they stood for.

    A pull may have brought it since somebody looked: its file is counted, and its record may be among those dropped.
    """
    lost = await ledger.lose(digests) if digests else 0
    store.count(-lost)
    names = set(map(str, digests))
    for shard in {digest.hex[:2] for digest in digests}:
        for stored in await store.list_shard(shard):
            if stored.name in names:
                await _recorded(store, ledger, stored)
    return lost


async def _sound(store: BlobStore, digest: Digest) -> int | None:
    """Return the size of content that is here and right."""
    try:
        return await store.verify(digest)
    except Gone:
        return None


async def _recorded(store: BlobStore, ledger: Ledger, stored: StoredBlob) -> int | None:
    """Record what lies there, unless it is or turns out to be wrong; return its size."""
    digest = stored.digest
    size = await _sound(store, digest)
    if size is not None:
        body = await store.read(digest, size) if size <= LIMIT else None
        await ledger.adopt(described(digest, size, body), stored.modified_at)
    return size


def described(digest: Digest, size: int, body: bytes | None) -> Record:
    """Distinguish a manifest from a blob by its body: an image's config is JSON too, and even has a `config`, but no layers."""
    blob = Record(Kind.BLOB, Descriptor(BLOB_TYPE, digest, size))
    if body is None or not body.lstrip().startswith(b"{"):
        return blob
    try:
        manifest = Manifest.verify(body, digest)
    except InvalidManifest:
        return blob
    document = manifest.document
    if document.get("schemaVersion") != 2 or {"manifests", "layers"}.isdisjoint(document):
        return blob
    return Record(Kind.MANIFEST, manifest.descriptor, tuple(child.digest for child in manifest.children()))
