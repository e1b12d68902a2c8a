"""A store and its index, opened by whoever has them to itself or joined by others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.config import Settings
from regproxy.index import listings
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.reconciler import Reconciler
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import Freeze
from regproxy.ports import BlobStore
from regproxy.storage.directory.store_lock import claimed
from regproxy.storage.disk import DiskStore

_LISTING_SHARE = 64  # of the store: its size is a promise, and the index is no part of it


@asynccontextmanager
async def kept(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open the store and its index, for this process alone; raise `StoreError`."""
    with claimed(settings.store.root, require_mount=settings.store.require_mount):
        async with opened(settings, clock) as store, indexed(settings, clock) as index:
            yield store, index


@asynccontextmanager
async def opened(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[DiskStore]:
    """Open a store that is claimed, put it and its index in order, and count what it holds; raise `StoreError`."""
    store = DiskStore(settings.store.root, settings.store.limits())
    try:
        await store.prepare()
        async with _closing(await _index(settings, clock)) as index:
            store.count((await index.ledger().census()).size)
        yield store
    finally:
        store.close()


@asynccontextmanager
async def joined(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open a store that another process has opened and tends; raise `StoreError`."""
    store = DiskStore(settings.store.root, settings.store.limits())
    try:
        await store.join()
        async with indexed(settings, clock) as index:
            yield store, index
    finally:
        store.close()


@asynccontextmanager
async def indexed(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[SqliteIndex]:
    """Open an index that is open already; raise `StoreError`."""
    async with _closing(await _index(settings, clock, is_joining=True)) as index:
        yield index


@asynccontextmanager
async def taking_stock(settings: Settings, store: BlobStore, clock: WallClock = time.time) -> AsyncIterator[None]:
    """Compare the index with the files, behind everything else; raise `StoreError`.

    That has connections of its own, which take 0.7 MiB until it is done.
    """
    index = await _index(settings, clock, is_joining=True)
    comparing = asyncio.create_task(Reconciler(store, index.ledger()).run())

    async def close() -> None:
        await asyncio.wait({comparing})
        await index.close()

    closing = asyncio.create_task(close())  # which is not cancelled: a connection that is half open or half closed would stay
    try:
        yield
    finally:
        comparing.cancel()
        await closing


async def _index(settings: Settings, clock: WallClock, *, is_joining: bool = False) -> SqliteIndex:
    """Open the index as configured; raise `StoreError`."""
    path = settings.store.root / "index.db"
    return await SqliteIndex.open(
        path, clock, configured(settings), _listing_bytes(settings), is_joining=is_joining, is_backed=settings.store.behind is not None
    )


def _listing_bytes(settings: Settings) -> int:
    """Return how much of the disk listings may take: little, and little of a small store."""
    most = settings.store.limits().max_size
    return listings.MAX_BYTES if most is None else min(listings.MAX_BYTES, most // _LISTING_SHARE)


@asynccontextmanager
async def _closing(index: SqliteIndex) -> AsyncIterator[SqliteIndex]:
    try:
        yield index
    finally:
        await index.close()


def configured(settings: Settings) -> list[Freeze]:
    return [freeze for upstream in settings.upstreams for freeze in upstream.freezes]
