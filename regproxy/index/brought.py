"""Whose pulls brought content in, for clients whose share of the store is bounded.

What is on its way in is on record from its beginning on, so that workers count together. Content that somebody brought stays that client's
until it goes, whoever uses it.
"""

from collections.abc import Collection

from regproxy.index.database import Database
from regproxy.oci.digest import Digest

_ABANDONED_FOR = 60.0  # seconds: a manifest is written, and then recorded

# What of it is here already is somebody's, and stays that.
_DROP = "DELETE FROM brought WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM content WHERE content.digest = brought.digest)"
_DROP_OTHERS = f"{_DROP} AND client <> ?"
_ABANDONED = """
SELECT digest FROM brought
WHERE client = ? AND claimed_at < ? AND NOT EXISTS (SELECT 1 FROM content WHERE content.digest = brought.digest)
"""


async def claim(db: Database, client: str, digest: Digest, size: int, most: int, now: float) -> int:
    """Record that *client* brings in *digest*, unless it would then have more than *most* bytes; return by how much."""
    async with db.transaction():
        # Writes first: what is read then does not change before the commit.
        await db.execute(_DROP_OTHERS, str(digest), client)
        row = await db.row("SELECT coalesce(sum(size), 0) FROM brought WHERE client = ? AND digest <> ?", client, str(digest))
        excess = int(str(row[0])) + size - most if row is not None else 0
        if excess <= 0:
            values = (str(digest), client, size, now)
            await db.execute(
                "INSERT INTO brought VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE"
                " SET size = excluded.size, claimed_at = excluded.claimed_at WHERE client = excluded.client",
                *values,
            )
    return max(excess, 0)


async def release(db: Database, digest: Digest) -> None:
    """Forget who began to bring in *digest* and did not: somebody does whose share is not bounded."""
    if await db.row("SELECT 1 FROM brought WHERE digest = ?", str(digest)) is not None:
        await db.write(_DROP, str(digest))


async def release_abandoned(db: Database, client: str, busy: Collection[Digest], now: float) -> None:
    """Forget what *client* began to bring in, did not, and does not any more, as *busy* shows."""
    rows = await db.rows(_ABANDONED, client, now - _ABANDONED_FOR)
    over = [(digest,) for (digest,) in rows if Digest.parse(str(digest)) not in busy]
    if over:
        async with db.transaction():
            await db.execute_many(_DROP, [*over])
