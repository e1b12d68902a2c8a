"""What is to be written to an object store, in the database of what it is about (port UploadQueue).

Triggers put it in, within the transaction that records what it is about: neither is there without the other, whatever process writes, and
whenever that ends. They belong to a connection, and only those of a server with such a store have them.
"""

from regproxy.index import meanings
from regproxy.index.database import Database, Row
from regproxy.index.generation import Generation
from regproxy.index.retention import PUT_FREEZE, row_of
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import History
from regproxy.ports import Kind, Pending, Upload, UploadKind

MAX_QUEUED = 200_000  # entries, some 40 MB; beyond that, everything is compared once these are written
_PAGE = 1000  # holders that an entry `all` puts in at a time
_RENEWED_AFTER = 3600.0  # seconds after which a tag that means the same is written again

_IS_FULL = "(SELECT coalesce(max(number) - min(number), 0) FROM uploads) >= {most}"
_AFTER = "(digest, kind, repository) > (?, ?, ?)"
_COUNT_AFTER = f"SELECT count(*), coalesce(sum(size), 0) FROM holders JOIN content USING (digest, kind) WHERE {_AFTER}"  # noqa: S608  of ours
_NEXT = f"""
SELECT kind || ' ' || repository || ' ' || digest,
    coalesce((SELECT size FROM content WHERE content.digest = holders.digest AND content.kind = holders.kind), 0),
    digest || ' ' || kind || ' ' || repository
FROM holders WHERE {_AFTER} ORDER BY digest, kind, repository LIMIT ?
"""  # noqa: S608  of ours
_INSERT = "INSERT INTO uploads (what, name, size) VALUES"
_PUT = "INSERT OR REPLACE INTO uploads (what, name, size) VALUES"
_AGAIN = f"""
{_PUT.removesuffix(" VALUES")} SELECT 'link', kind || ' ' || repository || ' ' || digest, size
FROM holders JOIN content USING (digest, kind) WHERE digest = ?
"""  # noqa: S608  of ours
_IS = "number = ? AND what = ? AND name = ?"  # the number of one that is gone is given anew
_OTHERS = {"tag": "reference FROM tags", "pin": "digest FROM pins", "freeze": "pattern FROM freezes", "access": "repository FROM access"}
# Not OR REPLACE: a statement that sets a trigger off overrides that by its own OR IGNORE (SQLite, CREATE TRIGGER).
_ANEW = "ON CONFLICT (what, name) DO UPDATE SET number = (SELECT max(number) + 1 FROM uploads), size = excluded.size, tries = 0, due_at = 0"
_DECIDED = "UPDATE decisions SET decided_at = min(decided_at, max(?, ?)) WHERE (kind, name) = (?, ?)"
_PUT_ALL = "INSERT INTO uploads (what, name) SELECT 'all', '' WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE what = 'all' AND name = '')"


_HELD = (
    "'link', new.kind || ' ' || new.repository || ' ' || new.digest,"
    " coalesce((SELECT size FROM content WHERE content.digest = new.digest AND content.kind = new.kind), 0)"
)
_MEANS_THE_SAME = (
    "EXISTS (SELECT 1 FROM uploaded_tags AS before WHERE before.reference = new.reference AND before.digest = new.digest"  # noqa: S608
    f" AND abs(new.checked_at - before.checked_at) < {_RENEWED_AFTER})"
)
_IS_CLOSED = "(new.refused_at > 0 AND new.refused_at >= new.confirmed_at)"
_WAS_CLOSED = _IS_CLOSED.replace("new.", "old.")
# By name of a trigger: what changes, when that is to be written, and what is put in.
_CHANGES = {
    "held": ("INSERT ON main.holders", "1", _HELD),
    "tagged": ("INSERT ON main.tags", f"NOT {_MEANS_THE_SAME}", "'tag', new.reference, 0"),
    "meant": ("INSERT ON operators.meanings", "1", "'tag', new.reference, 0"),
    "closed": ("UPDATE ON main.access", f"{_IS_CLOSED} <> {_WAS_CLOSED}", "'access', new.repository, 0"),
    "pinned": ("INSERT ON operators.pins", "1", "'pin', new.digest, 0"),
    "unpinned": ("DELETE ON operators.pins", "1", "'pin', old.digest, 0"),
    "frozen": ("INSERT ON operators.freezes", "1", "'freeze', new.pattern, 0"),
    "thawed": ("DELETE ON operators.freezes", "1", "'freeze', old.pattern, 0"),
}


def triggers(most: int = MAX_QUEUED) -> str:
    """Return the statements that have a connection put what it records into a queue of *most* entries."""
    is_full = _IS_FULL.format(most=most)
    return "".join(
        f"CREATE TEMP TRIGGER {name}_behind AFTER {event} WHEN {when} AND NOT {is_full} BEGIN {_INSERT} ({values}) {_ANEW}; END;"
        f"CREATE TEMP TRIGGER {name}_beyond AFTER {event} WHEN {when} AND {is_full} BEGIN {_PUT_ALL}; END;"
        for name, (event, when, values) in _CHANGES.items()
    )


class SqliteUploads:
    """The queue, and what its entries are about."""

    def __init__(self, db: Database, generation: Generation) -> None:
        """Use *db*; *generation* ends when what others decided is adopted."""
        self._db = db
        self._generation = generation

    async def due(self, now: float, most: int) -> list[Upload]:
        query = "SELECT number, what, name, size, tries FROM uploads WHERE due_at <= ? ORDER BY number LIMIT ?"
        return [_upload(row) for row in await self._db.rows(query, now, most)]

    async def done(self, upload: Upload) -> None:
        await self._db.write(f"DELETE FROM uploads WHERE {_IS}", *_key(upload))  # noqa: S608  of ours

    async def postpone(self, upload: Upload, until: float) -> None:
        await self._db.write(
            f"UPDATE uploads SET tries = tries + 1, due_at = ?, number = (SELECT max(number) + 1 FROM uploads) WHERE {_IS}",  # noqa: S608  of ours
            *(until, *_key(upload)),
        )

    async def pending(self) -> Pending:
        [(count, size)] = await self._db.rows("SELECT count(*), coalesce(sum(size), 0) FROM uploads")
        return Pending(int(count), int(size))

    async def remaining(self) -> Pending:
        pending = await self.pending()
        marks = await self._db.rows("SELECT name FROM uploads WHERE what = 'all' ORDER BY name LIMIT 1")
        for (mark,) in marks:
            [(count, size)] = await self._db.rows(_COUNT_AFTER, *_place(str(mark)))
            return Pending(pending.count + int(count), pending.size + int(size))
        return pending

    async def put_all(self) -> None:
        await self._db.write(f"{_PUT} ('all', '', 0)")

    async def put_more(self, upload: Upload) -> None:
        async with self._db.transaction():
            rows = await self._db.rows(_NEXT, *_place(upload.name), _PAGE)
            await self._db.execute(f"DELETE FROM uploads WHERE {_IS}", *_key(upload))  # noqa: S608  of ours
            await self._db.execute_many(f"{_PUT} ('link', ?, ?)", [(name, size) for name, size, _ in rows])
            if rows:
                await self._db.execute(f"{_PUT} ('all', ?, 0)", rows[-1][2])
                return
            for what, names in _OTHERS.items():
                await self._db.execute(f"INSERT OR REPLACE INTO uploads (what, name) SELECT ?, {names}", what)

    async def put_again(self, digest: Digest) -> None:
        await self._db.write(_AGAIN, str(digest))

    async def repair(self, digest: Digest) -> None:
        await self._db.write(f"{_PUT} ('repair', ?, 0)", str(digest))

    async def link(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        row = await self._db.row(
            "SELECT media_type, digest, size FROM content JOIN holders USING (digest, kind)"
            " WHERE kind = ? AND digest = ? AND repository = ?",
            *(kind.value, str(digest), str(repository)),
        )
        return _descriptor(row) if row else None

    async def content(self, digest: Digest) -> tuple[Kind, Descriptor] | None:
        row = await self._db.row("SELECT kind, media_type, digest, size FROM content WHERE digest = ? ORDER BY kind LIMIT 1", str(digest))
        return (Kind(row[0]), _descriptor(row[1:])) if row else None

    async def tag(self, reference: Reference) -> tuple[TagRecord, History] | None:
        row = await self._db.row("SELECT media_type, digest, size, checked_at FROM tags WHERE reference = ?", str(reference))
        if row is None:
            return None
        return TagRecord(_descriptor(row[:3]), float(row[3])), await meanings.known(self._db, str(reference))

    async def put_tag_uploaded(self, reference: Reference, record: TagRecord) -> None:
        values = (str(reference), str(record.descriptor.digest), record.checked_at)
        await self._db.write("INSERT OR REPLACE INTO uploaded_tags VALUES (?, ?, ?)", *values)

    async def access(self, repository: Repository) -> Access:
        row = await self._db.row("SELECT confirmed_at, refused_at, reason FROM access WHERE repository = ?", str(repository))
        return Access(float(row[0]), float(row[1]), str(row[2])) if row else Access()

    async def is_pinned(self, digest: Digest) -> bool:
        return await self._db.row("SELECT 1 FROM pins WHERE digest = ?", str(digest)) is not None

    async def frozen_to(self, pattern: str) -> str | None:
        row = await self._db.row("SELECT digest FROM freezes WHERE pattern = ?", pattern)
        return str(row[0]) if row else None

    async def adopt_pin(self, digest: Digest, *, pinned: bool, at: float) -> bool:
        statement = "INSERT OR IGNORE INTO pins VALUES (?)" if pinned else "DELETE FROM pins WHERE digest = ?"
        return await self._adopt("pin", str(digest), at, statement, str(digest))

    async def adopt_freeze(self, pattern: str, freeze: Freeze | None, at: float) -> bool:
        if freeze is None:
            return await self._adopt("freeze", pattern, at, "DELETE FROM freezes WHERE pattern = ?", pattern)
        return await self._adopt("freeze", pattern, at, PUT_FREEZE, *row_of(freeze))

    async def _adopt(self, what: str, name: str, at: float, statement: str, *values: str) -> bool:
        """Change what is on record, and take what that puts into the queue out again: it is written there."""
        waiting = f"uploads WHERE what = '{what}' AND name = ?"
        with self._generation.ending():
            async with self._db.transaction():
                if await self._db.rows(f"SELECT 1 FROM {waiting}", name):  # noqa: S608  of ours
                    return False
                before = await self._decided_at(what, name)
                await self._db.execute(statement, *values)
                await self._db.execute(f"DELETE FROM {waiting}", name)  # noqa: S608  of ours
                if await self._decided_at(what, name) != before:
                    # Not now, as triggers say: another member of the fleet may have decided something else since.
                    decided_at = (int(at * 1000), (before or 0) + 1)
                    await self._db.execute(_DECIDED, *decided_at, what, name)
        return True

    async def _decided_at(self, what: str, name: str) -> int | None:
        row = await self._db.row("SELECT decided_at FROM decisions WHERE (kind, name) = (?, ?)", what, name)
        return int(row[0]) if row else None

    async def used(self, since: float, most: int) -> list[tuple[Digest, float]]:
        rows = await self._db.rows(
            "SELECT digest, max(used_at) FROM content WHERE used_at > ? + coalesce("
            "(SELECT used_at FROM uploaded_uses AS before WHERE before.digest = content.digest), 0) GROUP BY digest LIMIT ?",
            *(since, most),
        )
        return [(Digest.parse(str(digest)), float(used_at)) for digest, used_at in rows]

    async def put_used(self, digest: Digest, used_at: float) -> None:
        await self._db.write("INSERT OR REPLACE INTO uploaded_uses VALUES (?, ?)", str(digest), used_at)


def _place(name: str) -> tuple[str, str, str]:
    """Return after which holder an entry `all` goes on; an empty one begins."""
    digest, kind, repository = name.split(" ") if name else ("", "", "")
    return digest, kind, repository


def _key(upload: Upload) -> tuple[int, str, str]:
    return upload.number, upload.kind.value, upload.name


def _upload(row: Row) -> Upload:
    number, what, name, size, tries = row
    return Upload(int(number), UploadKind(what), str(name), int(size), int(tries))


def _descriptor(row: Row) -> Descriptor:
    media_type, digest, size = row
    return Descriptor(str(media_type), Digest.parse(str(digest)), int(size))
