"""What the store holds and what of it is needed, in SQLite (port Ledger)."""

import json
from collections.abc import Collection, Iterable, Mapping

from regproxy.index import brought, images, meanings
from regproxy.index.database import Database, Row
from regproxy.index.generation import Generation
from regproxy.index.retention import row_of
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, reference_named
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.eviction import OCCASION, Candidate, RecentHistory, Shares
from regproxy.ports import Census, Image, ImageTags, Meaning, OperatorDecisions, Part, Record

# A use of a manifest is one of all it needs, and one of every index that lists it. A use of a layer says nothing about the images it is
# in: most of those that share it were not asked for.
_TOUCH = """
WITH RECURSIVE
    above(digest) AS (SELECT value FROM json_each(?1) UNION SELECT parent FROM children JOIN above ON child = digest),
    below(digest) AS (SELECT value FROM json_each(?1) UNION SELECT child FROM children JOIN below ON parent = digest)
UPDATE content SET often = often OR used_at < ?3 - ?4, used_at = ?3
WHERE digest IN (SELECT digest FROM above UNION SELECT digest FROM below UNION SELECT value FROM json_each(?2))
"""
# A clock that was ahead and is right again must not keep what was used then for ever.
_SET_RIGHT = "UPDATE content SET used_at = ?1 - ?2 WHERE often IN (0, 1) AND used_at > ?1"
# What nothing kept needs, and how much goes with it: what it alone lists.
_LOOSE = """
SELECT digest, used_at, size + (
    SELECT coalesce(sum(listed.size), 0) FROM children JOIN content AS listed ON listed.digest = child
    WHERE parent = content.digest
        AND NOT EXISTS (SELECT 1 FROM children AS other WHERE other.child = listed.digest AND other.parent <> content.digest)
)
FROM content
WHERE NOT EXISTS (SELECT 1 FROM staying WHERE staying.digest = content.digest)
    AND NOT EXISTS (SELECT 1 FROM children WHERE child = content.digest)
"""
# Of one client it is looked up by digest, whatever else there is: `+` keeps SQLite from reading all that was used as often.
_BY_USE = {False: "often = ?1 AND ?3 = ''", True: "+often = ?1 AND digest IN (SELECT digest FROM brought WHERE client = ?3)"}
_IDLEST = {of_one: f"{_LOOSE} AND {those} ORDER BY used_at LIMIT ?2" for of_one, those in _BY_USE.items()}
# A clock that was ahead when a tag moved spares that for twice the time at most.
_SPARED = """
SELECT 1 FROM meanings AS named
WHERE named.digest IN (SELECT content.digest UNION ALL SELECT child FROM children WHERE parent = content.digest) AND (
    abs(?4 - (SELECT since FROM meanings AS next
        WHERE next.reference = named.reference AND (next.since, next.number) > (named.since, named.number)
        ORDER BY next.since, next.number LIMIT 1)) < ?5
    OR abs(?4 - named.since) < ?5 AND EXISTS (SELECT 1 FROM meanings AS last
        WHERE last.reference = named.reference AND (last.since, last.number) < (named.since, named.number))
)
"""
_IDLEST_BUT_SPARED = {
    of_one: f"{_LOOSE} AND {those} AND NOT EXISTS ({_SPARED}) ORDER BY used_at LIMIT ?2" for of_one, those in _BY_USE.items()
}
_BROUGHT_BY = "digest IN (SELECT digest FROM brought WHERE client = ?)"
_IDLEST_OF_CLIENT = f"{_LOOSE} AND {_BROUGHT_BY} AND used_at < ? ORDER BY used_at LIMIT ?"
_UNUSED = f"{_LOOSE} AND used_at < ? ORDER BY used_at"
_UNNEEDED = """
SELECT DISTINCT digest FROM content
WHERE digest IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM staying WHERE staying.digest = content.digest)
    AND NOT EXISTS (SELECT 1 FROM children WHERE child = digest)
"""
# A freeze without a digest holds each tag to what it means here, which is nowhere else.
_FROZEN_TAGS = """
SELECT DISTINCT reference, media_type, tags.digest, size, checked_at
FROM tags JOIN every_freeze AS freeze ON freeze.digest = '' AND covers(pattern, reference) ORDER BY reference
"""

_COUNT_PULLS = """
INSERT INTO pulls SELECT digest, ?2 FROM content WHERE digest = ?1 AND kind = 'manifest'
ON CONFLICT (digest) DO UPDATE SET count = count + excluded.count
"""


class SqliteLedger:
    """The books that a sweep goes by."""

    def __init__(self, db: Database, generation: Generation) -> None:
        """Use *db*; *generation* ends when a record is removed."""
        self._db = db
        self._generation = generation

    async def census(self) -> Census:
        rows = await self._db.rows("SELECT count, size FROM totals ORDER BY often")
        (once, once_size), (often, often_size) = ((int(count), int(size)) for count, size in rows)
        return Census(once + often, Shares(once_size, often_size))

    async def touch(self, manifests: Collection[Digest], blobs: Collection[Digest], now: float) -> None:
        async with self._db.transaction():
            await self._db.execute(_SET_RIGHT, now, OCCASION)
            await self._db.execute(_TOUCH, _array(manifests), _array(blobs), now, OCCASION)

    async def count_pulls(self, pulls: Mapping[Digest, int]) -> None:
        async with self._db.transaction():
            await self._db.execute_many(_COUNT_PULLS, [(str(digest), count) for digest, count in pulls.items()])

    async def idlest(self, most: int, *, often: bool, spared: RecentHistory | None = None, brought_by: str = "") -> list[Candidate]:
        of_one = bool(brought_by)
        if spared is None:
            rows = await self._db.rows(_IDLEST[of_one], often, most, brought_by)
        else:
            rows = await self._db.rows(_IDLEST_BUT_SPARED[of_one], often, most, brought_by, spared.now, spared.length)
        return [_candidate(row) for row in rows]

    async def idlest_of(self, client: str, since: float, most: int) -> list[Candidate]:
        return [_candidate(row) for row in await self._db.rows(_IDLEST_OF_CLIENT, client, since, most)]

    async def claim(self, client: str, digest: Digest, size: int, most: int, now: float) -> int:
        return await brought.claim(self._db, client, digest, size, most, now)

    async def release(self, digest: Digest) -> None:
        await brought.release(self._db, digest)

    async def release_abandoned(self, client: str, busy: Collection[Digest], now: float) -> None:
        await brought.release_abandoned(self._db, client, busy, now)

    async def forget(self, *digests: Digest, brought_by: str | None = None) -> list[Digest]:
        gone: list[Digest] = []
        waiting = list(digests)
        with self._generation.ending():
            async with self._db.transaction():
                while waiting:
                    gone.append(waiting.pop())
                    waiting += await self._forget_one(str(gone[-1]), brought_by)
        return gone

    async def unused(self, since: float) -> list[Candidate]:
        return [_candidate(row) for row in await self._db.rows(_UNUSED, since)]

    async def images(self) -> list[Image]:
        return await images.all_images(self._db)

    async def page(self, search: str, offset: int, limit: int) -> tuple[int, list[ImageTags]]:
        return await images.page(self._db, search, offset, limit)

    async def image(self, name: str) -> Image | None:
        return await images.named(self._db, name)

    async def meanings(self, reference: Reference) -> list[Meaning]:
        return await meanings.of(self._db, str(reference))

    async def parts(self, image: Digest) -> list[Part]:
        return await images.parts(self._db, image)

    async def recorded(self, shard: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for algorithm in ("sha256", "sha512"):
            first = f"{algorithm}:{shard}"
            rows = await self._db.rows("SELECT digest, size FROM content WHERE digest BETWEEN ? AND ?", first, f"{first}g")
            found.update((str(digest), int(size)) for digest, size in rows)
        return found

    async def adopt(self, record: Record, used_at: float) -> None:
        digest = str(record.descriptor.digest)
        async with self._db.transaction():
            await self._db.execute(
                "INSERT OR IGNORE INTO content (digest, kind, media_type, size, used_at) VALUES (?, ?, ?, ?, ?)",
                *(digest, record.kind.value, record.descriptor.media_type, record.descriptor.size, used_at),
            )
            await self._db.execute_many("INSERT OR IGNORE INTO children VALUES (?, ?)", [(digest, str(child)) for child in record.children])

    async def lose(self, digests: Collection[Digest]) -> int:
        with self._generation.ending():
            async with self._db.transaction():
                before = await self.census()
                for statement in (
                    "DELETE FROM children WHERE parent IN (SELECT value FROM json_each(?))",
                    "DELETE FROM content WHERE digest IN (SELECT value FROM json_each(?))",
                    "DELETE FROM holders WHERE digest IN (SELECT value FROM json_each(?))",
                ):
                    await self._db.execute(statement, _array(digests))
                after = await self.census()
        return before.size - after.size

    async def pin(self, digest: Digest, *, pinned: bool) -> None:
        async with self._db.transaction():
            # Also where it is so already: it is decided now, and counts before what another member of the fleet decided earlier.
            await self._db.execute("INSERT OR REPLACE INTO pins VALUES (?)", str(digest))
            if not pinned:
                await self._db.execute("DELETE FROM pins WHERE digest = ?", str(digest))

    async def decisions(self) -> OperatorDecisions:
        async with self._db.transaction():  # else another process may change them in between
            pins = await self._db.rows("SELECT digest FROM pins ORDER BY digest")
            freezes = await self._db.rows("SELECT pattern, digest FROM freezes ORDER BY pattern")
            tags = await self._db.rows(_FROZEN_TAGS)
        return OperatorDecisions(
            tuple(Digest.parse(str(digest)) for (digest,) in pins),
            tuple(Freeze(str(pattern), Digest.parse(str(digest)) if digest else None) for pattern, digest in freezes),
            tuple(_frozen_tag(row) for row in tags),
        )

    async def decide(self, decisions: OperatorDecisions) -> None:
        tags = [
            (str(reference), each.descriptor.media_type, str(each.descriptor.digest), each.descriptor.size, each.checked_at)
            for reference, each in decisions.tags
        ]
        with self._generation.ending():
            async with self._db.transaction():
                await self._db.execute_many("INSERT OR IGNORE INTO pins VALUES (?)", [(str(digest),) for digest in decisions.pins])
                await self._db.execute_many("INSERT OR REPLACE INTO freezes VALUES (?, ?)", [*map(row_of, decisions.freezes)])
                await self._db.execute_many("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)", list(tags))

    async def _forget_one(self, digest: str, brought_by: str | None) -> list[Digest]:
        """Drop one record and list what nothing needs now, of all or of what one client brought in."""
        children = await self._db.rows("SELECT child FROM children WHERE parent = ?", digest)
        for statement in (
            "DELETE FROM children WHERE parent = ?",
            "DELETE FROM content WHERE digest = ?",
            "DELETE FROM holders WHERE digest = ?",
            "DELETE FROM tags WHERE digest = ?",
        ):
            await self._db.execute(statement, digest)
        listed = json.dumps([child for (child,) in children])
        unneeded = await self._db.rows(_UNNEEDED, listed)
        if brought_by is not None:
            own = await self._db.rows(
                "SELECT digest FROM brought WHERE client = ? AND digest IN (SELECT value FROM json_each(?))", brought_by, listed
            )
            unneeded = [row for row in unneeded if row in own]
        return [Digest.parse(str(child)) for (child,) in unneeded]


def _candidate(row: Row) -> Candidate:
    digest, used_at, size = row
    return Candidate(Digest.parse(str(digest)), int(size), float(used_at))


def _frozen_tag(row: Row) -> tuple[Reference, TagRecord]:
    reference, media_type, digest, size, checked_at = row
    descriptor = Descriptor(str(media_type), Digest.parse(str(digest)), int(size))
    return reference_named(str(reference)), TagRecord(descriptor, float(checked_at))


def _array(digests: Iterable[Digest]) -> str:
    return json.dumps([str(digest) for digest in digests])
