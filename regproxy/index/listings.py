"""The last answers to lists of tags and referrers, compressed; those that were fetched longest ago make room for others."""

import asyncio
import zlib

from regproxy.index.database import Database
from regproxy.oci.reference import Repository

MAX_BYTES = 16 * 1024 * 1024  # of all lists, compressed; what can be asked again is worth no more of the disk
_MAX_ROWS = 10_000  # clients choose what is listed, so it needs a bound
_MAX_LISTING = 16 * 1024 * 1024  # bytes of one list that is not compressed yet
_MAX_INLINE = 64 * 1024  # bytes that are compressed in a millisecond
_TRIM = """
DELETE FROM listings WHERE key IN (
    SELECT key FROM (
        SELECT key, sum(length(key) + length(body)) OVER newest AS size, row_number() OVER newest AS place
        FROM listings WINDOW newest AS (ORDER BY fetched_at DESC, key)
    ) WHERE size > ? OR place > ?
)
"""
# All that begins with a name and the character after it; keys are those of pull.listings.
_FORGET = """
DELETE FROM listings WHERE key = ?1 OR (key > ?2 AND key < ?2 || char(0x10FFFF)) OR (key > ?3 AND key < ?3 || char(0x10FFFF))
"""


async def find(db: Database, key: str) -> bytes | None:
    """Return the last answer under *key*, if it is here."""
    row = await db.row("SELECT body FROM listings WHERE key = ?", key)
    if row is None or not isinstance(row[0], bytes):
        return None
    try:
        return zlib.decompress(row[0])
    except zlib.error:
        return row[0]  # as it was written before lists were compressed


async def put(db: Database, key: str, body: bytes, most: int, now: float) -> None:
    """Keep *body* under *key* as of *now*, within *most* bytes of all lists."""
    if len(body) > _MAX_LISTING:
        return
    small = await asyncio.to_thread(zlib.compress, body, 1) if len(body) > _MAX_INLINE else zlib.compress(body, 1)
    if len(small) > most // 2:
        return
    async with db.transaction():
        await db.execute("INSERT OR REPLACE INTO listings VALUES (?, ?, ?)", key, small, now)
        await db.execute(_TRIM, most, _MAX_ROWS)


async def forget(db: Database, repository: Repository) -> None:
    """Drop all lists of *repository*."""
    await db.execute(_FORGET, f"tags {repository}", f"tags {repository}?", f"referrers {repository} ")
