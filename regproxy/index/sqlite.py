"""The index of one machine, in SQLite (port Index).

What repositories hold is remembered, so that a repeated hit reads no database.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from regproxy.generation_cache import Memory
from regproxy.index import listings, meanings, retention, signed
from regproxy.index.database import Database
from regproxy.index.generation import Generation
from regproxy.index.ledger import SqliteLedger
from regproxy.index.uploads import SqliteUploads, triggers
from regproxy.index.warm_jobs import SqliteWarmJobs
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy import access
from regproxy.policy.access import Access
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import History, PastMeaning
from regproxy.ports import Kind

_REMEMBERED = 100_000  # about 30 MB of names in memory at most
# One look at the index for each repository, however many manifests it holds. What begins with "name/" sorts before "name0".
_REPOSITORIES = """
WITH RECURSIVE found(name) AS (
    SELECT min(repository) FROM holders WHERE kind = 'manifest' AND repository > ?1 AND repository < ?2
    UNION ALL
    SELECT (SELECT min(repository) FROM holders WHERE kind = 'manifest' AND repository > name AND repository < ?2)
    FROM found WHERE name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL LIMIT ?3
"""
# Clients choose what they ask for, and a registry may answer for any name: what was confirmed longest ago is asked again.
_FORGET_CONFIRMED = """
DELETE FROM access WHERE repository IN (
    SELECT repository FROM access WHERE is_imported = 0 AND refused_at < confirmed_at ORDER BY confirmed_at DESC LIMIT -1 OFFSET ?
)
"""
_MAX_CONFIRMED = 100_000  # repositories on record as open, some 10 MB


class SqliteIndex:
    """Content, its holders, tags and listings, in one file."""

    def __init__(
        self,
        db: Database,
        generation: Generation,
        clock: WallClock = time.time,
        listing_bytes: int = listings.MAX_BYTES,
        max_confirmed: int = _MAX_CONFIRMED,
    ) -> None:
        """Use *db* and its *generation*; *clock* returns epoch seconds; listings are limited to *listing_bytes*.

        Of repositories that upstream lets us read, *max_confirmed* are on record, and a hundredth more.
        """
        self._max_confirmed = max_confirmed
        self._newly_confirmed = 0
        self._listing_bytes = listing_bytes
        self._db = db
        self._generation = generation
        self._clock = clock
        self._held: Memory[tuple[Kind, Repository, Digest], Descriptor] = Memory(_REMEMBERED, generation.current)

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: WallClock = time.time,
        frozen: Sequence[Freeze] = (),
        listing_bytes: int = listings.MAX_BYTES,
        max_confirmed: int = _MAX_CONFIRMED,
        *,
        is_joining: bool = False,
        is_backed: bool = False,
    ) -> Self:
        """Open the index at *path*; begin a new one if there is none or the old one is damaged.

        *frozen* is by configuration. Where this process *is_joining*, another of ours has opened it. Where it *is_backed*, what is recorded
        is queued for an object store too.
        """
        generation = Generation(path)
        connect = Database.joined if is_joining else Database.open
        try:
            db = await connect(path, lambda connection: retention.prepare(connection, frozen, triggers() if is_backed else ""))
            return cls(db, generation, clock, listing_bytes, max_confirmed)
        except BaseException:
            generation.close()
            raise

    async def close(self) -> None:
        await self._db.close()
        self._generation.close()

    def ledger(self) -> SqliteLedger:
        """Open the books in the same database."""
        return SqliteLedger(self._db, self._generation)

    def decisions(self) -> retention.SqliteDecisions:
        """Open what operators decided, in the same database."""
        return retention.SqliteDecisions(self._db, self._generation)

    def uploads(self) -> SqliteUploads:
        """Open the queue of what is to be written to an object store."""
        return SqliteUploads(self._db, self._generation)

    def warm_jobs(self) -> SqliteWarmJobs:
        """Open the warm-ups, which are kept in the same database."""
        return SqliteWarmJobs(self._db)

    @property
    def generation(self) -> int:
        return self._generation.current()

    async def tag(self, reference: Reference) -> TagRecord | None:
        row = await self._db.row("SELECT media_type, digest, size, checked_at FROM tags WHERE reference = ?", str(reference))
        return TagRecord(_descriptor(row[0], row[1], row[2]), float(str(row[3]))) if row else None

    async def meanings(self, reference: Reference) -> History:
        return await meanings.known(self._db, str(reference))

    async def histories(self, repository: Repository) -> Mapping[str, History]:
        return await meanings.known_of(self._db, str(repository))

    async def put_tag(self, reference: Reference, record: TagRecord, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        found, name = record.descriptor, str(reference)
        row = (name, found.media_type, str(found.digest), found.size, record.checked_at)
        async with self._db.transaction():
            await self._db.execute("INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?)", *row)  # no other process moves it from here on
            before = await self.tag(reference) or record
            if record.checked_at < before.checked_at <= self._clock():  # a slow disk had another process record what it heard later
                others = (*others, PastMeaning(found.digest, record.checked_at))
                await meanings.record(self._db, name, before.descriptor.digest, before.checked_at, cooldown, others)
                return
            await self._db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)", *row)
            await meanings.record(self._db, name, found.digest, record.checked_at, cooldown, others)
        if before.descriptor.digest != found.digest:
            self._generation.advance()

    async def adopt_tag(self, reference: Reference, record: TagRecord, others: Collection[PastMeaning] = ()) -> None:
        if await self.digest_named(str(reference)) is None:
            found = record.descriptor
            row = (str(reference), found.media_type, str(found.digest), found.size, record.checked_at)
            async with self._db.transaction():
                await self._db.execute("INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?)", *row)
                if await self.digest_named(str(reference)) == found.digest:
                    await meanings.record(self._db, str(reference), found.digest, record.checked_at, others=others)
            self._generation.advance()

    async def put_deleted(self, reference: Reference, now: float, cooldown: float = 0.0, others: Collection[PastMeaning] = ()) -> None:
        async with self._db.transaction():
            await meanings.record(self._db, str(reference), None, now, cooldown, others)

    async def drop_tag(self, reference: Reference) -> None:
        with self._generation.ending():
            await self._db.write("DELETE FROM tags WHERE reference = ?", str(reference))

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        key, generation = (kind, repository, digest), self.generation
        if (remembered := self._held.get(key)) is not None:
            return remembered
        row = await self._db.row(
            "SELECT media_type, digest, size FROM content JOIN holders USING (digest, kind)"
            " WHERE kind = ? AND digest = ? AND repository = ?"
            " AND NOT EXISTS (SELECT 1 FROM access"
            " WHERE access.repository = holders.repository AND refused_at > 0 AND refused_at >= confirmed_at)",
            kind.value,
            str(digest),
            str(repository),
        )
        if row is None:
            return None
        found = _descriptor(*row)
        self._held.put(key, found, generation)
        return found

    async def known(self, kind: Kind, digest: Digest) -> Descriptor | None:
        row = await self._db.row("SELECT media_type, digest, size FROM content WHERE kind = ? AND digest = ?", kind.value, str(digest))
        return _descriptor(*row) if row else None

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor, children: Collection[Digest] = ()) -> bool:
        digest = str(descriptor.digest)
        async with self._db.transaction():
            await self._db.execute(
                "INSERT INTO content (digest, kind, media_type, size, used_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET media_type = excluded.media_type, size = excluded.size",
                *(digest, kind.value, descriptor.media_type, descriptor.size, self._clock()),
            )
            await self._db.execute("INSERT OR IGNORE INTO holders VALUES (?, ?, ?)", digest, kind.value, str(repository))
            await self._db.execute_many("INSERT OR IGNORE INTO children VALUES (?, ?)", [(digest, str(child)) for child in children])
        self._held.pop((kind, repository, descriptor.digest))
        return True

    async def access(self, repository: Repository) -> Access:
        query = "SELECT confirmed_at, refused_at, reason, is_imported FROM access WHERE repository = ?"
        row = await self._db.row(query, str(repository))
        return Access(float(row[0]), float(row[1]), str(row[2]), bool(row[3])) if row else Access()

    async def put_confirmed(self, repository: Repository, asked_at: float) -> bool:
        before, after = await self._put_access(repository, lambda known: access.confirmed(known, asked_at, self._clock()))
        return before.is_closed and not after.is_closed

    async def put_refused(self, repository: Repository, reason: str) -> bool:
        with self._generation.ending():  # what is remembered is not served, also where this cannot be recorded
            before, after = await self._put_access(repository, lambda known: access.refused(known, self._clock(), reason))
        return after.is_closed and not before.is_closed

    async def put_imported(self, repository: Repository) -> None:
        await self._put_access(repository, lambda known: access.imported(known, self._clock()))

    async def _put_access(self, repository: Repository, change: Callable[[Access], Access]) -> tuple[Access, Access]:
        """Change what is on record, and return what was before and what is now; a generation ends where that opens or closes it."""
        name = str(repository)
        before = after = Access()
        try:
            async with self._db.transaction():
                await self._db.execute("INSERT OR IGNORE INTO access (repository) VALUES (?)", name)  # nobody else changes it from here on
                before = await self.access(repository)
                after = change(before)
                row = (after.confirmed_at, after.refused_at, after.reason, after.is_imported, name)
                statement = "UPDATE access SET confirmed_at = ?, refused_at = ?, reason = ?, is_imported = ? WHERE repository = ?"
                await self._db.execute(statement, *row)
                if before == Access():
                    await self._forget_confirmed()
                if after.is_closed:
                    await listings.forget(self._db, repository)
        finally:  # a commit that nobody waited for counts too
            if before.is_closed != after.is_closed:
                self._generation.advance()
        return before, after

    async def _forget_confirmed(self) -> None:
        """Drop what is too much, but not with each repository that is new: all of them are sorted for that."""
        self._newly_confirmed += 1
        if self._newly_confirmed > self._max_confirmed // 100:
            self._newly_confirmed = 0
            await self._db.execute(_FORGET_CONFIRMED, self._max_confirmed)

    async def manifests_of(self, repository: Repository, most: int) -> list[Digest]:
        rows = await self._db.rows(
            "SELECT digest FROM holders JOIN content USING (digest, kind) WHERE kind = 'manifest' AND repository = ?"
            " ORDER BY used_at DESC LIMIT ?",
            *(str(repository), most),
        )
        return [Digest.parse(str(digest)) for (digest,) in rows]

    async def digest_named(self, reference: str) -> Digest | None:
        row = await self._db.row("SELECT digest FROM tags WHERE reference = ?", reference)
        return Digest.parse(str(row[0])) if row else None

    async def repositories(self, registry: str, last: str, most: int) -> list[str]:
        rows = await self._db.rows(_REPOSITORIES, f"{registry}/{last}", f"{registry}0", most)
        return [str(name).removeprefix(f"{registry}/") for (name,) in rows]

    async def freezes(self) -> list[Freeze]:
        rows = await self._db.rows("SELECT pattern, digest FROM freezes ORDER BY pattern")
        return [Freeze(str(pattern), Digest.parse(str(digest)) if digest else None) for pattern, digest in rows]

    async def put_freeze(self, freeze: Freeze) -> None:
        with self._generation.ending():
            await self._db.write("INSERT OR REPLACE INTO freezes VALUES (?, ?)", *retention.row_of(freeze))

    async def drop_freeze(self, pattern: str) -> bool:
        was_there = await self._db.row("SELECT 1 FROM freezes WHERE pattern = ?", pattern) is not None
        with self._generation.ending():
            await self._db.write("DELETE FROM freezes WHERE pattern = ?", pattern)
        return was_there

    def forget_answers(self) -> None:
        """End the generation, where something else than the index makes earlier answers invalid; raise `StoreError`."""
        self._generation.advance()

    async def signed(self, digest: Digest, policy: str) -> Digest | None:
        return await signed.find(self._db, digest, policy)

    async def put_signed(self, parent: Digest, policy: str, digests: Sequence[Digest]) -> None:
        await signed.put(self._db, parent, policy, digests)

    async def parents(self, repository: Repository, digest: Digest, most: int) -> list[Digest]:
        return await signed.parents(self._db, repository, digest, most)

    async def listing(self, key: str) -> bytes | None:
        return await listings.find(self._db, key)

    async def put_listing(self, key: str, body: bytes) -> None:
        await listings.put(self._db, key, body, self._listing_bytes, self._clock())


def _descriptor(media_type: object, digest: object, size: object) -> Descriptor:
    return Descriptor(str(media_type), Digest.parse(str(digest)), int(str(size)))
