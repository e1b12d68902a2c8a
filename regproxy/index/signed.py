"""Which digests were found to be signed, by which policy, and by the signature of which index; the least recently found go first."""

from collections.abc import Sequence

from regproxy.index.database import Database
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository

_MAX = 200_000  # rows, some 60 MB; an index of many platforms takes twenty


async def find(db: Database, digest: Digest, policy: str) -> Digest | None:
    """Return whose signature *digest* is signed by: its own, or that of an index that lists it; None where none was found."""
    row = await db.row("SELECT parent FROM signed WHERE digest = ? AND policy = ?", str(digest), policy)
    return Digest.parse(str(row[0])) if row is not None else None


async def put(db: Database, parent: Digest, policy: str, digests: Sequence[Digest]) -> None:
    """Record that *digests* are signed, by the signature of *parent*."""
    async with db.transaction():
        await db.execute_many(
            "INSERT OR IGNORE INTO signed (digest, policy, parent) VALUES (?, ?, ?)",
            [(str(digest), policy, str(parent)) for digest in digests[:_MAX]],
        )
        await db.execute("DELETE FROM signed WHERE number <= (SELECT max(number) FROM signed) - ?", _MAX)


async def parents(db: Database, repository: Repository, digest: Digest, most: int) -> list[Digest]:
    """List at most so many manifests of *repository* that point to *digest*."""
    rows = await db.rows(
        "SELECT parent FROM children JOIN holders ON digest = parent AND kind = 'manifest' AND repository = ? WHERE child = ? LIMIT ?",
        *(str(repository), str(digest), most),
    )
    return [Digest.parse(str(parent)) for (parent,) in rows]
