"""What stays whatever else goes, where queries can see it: what is pinned, and what frozen tags mean; and who decided that last."""

from collections.abc import Sequence

import aiosqlite

from regproxy.index.database import Database, Value
from regproxy.index.generation import Generation
from regproxy.policy.fleet.decisions import REMEMBERED_FOR, Decision
from regproxy.policy.freezing import Freeze, covers

# What the configuration freezes is written down for this connection only: another start may be with another configuration.
_VIEWS = """
CREATE TEMP TABLE configured (pattern TEXT, digest TEXT);
CREATE TEMP VIEW every_freeze AS SELECT pattern, digest FROM freezes UNION ALL SELECT pattern, digest FROM configured;
CREATE TEMP VIEW frozen AS
    SELECT digest FROM every_freeze
    UNION ALL SELECT tags.digest FROM tags JOIN every_freeze AS freeze ON freeze.digest = '' AND covers(pattern, reference);
CREATE TEMP VIEW staying AS SELECT digest FROM pins UNION ALL SELECT digest FROM frozen;
"""


async def prepare(connection: aiosqlite.Connection, configured: Sequence[Freeze], triggers: str = "") -> None:
    """Make the views on a connection, let them see what the configuration freezes, and make the *triggers* of an object store."""
    await connection.create_function("covers", 2, covers, deterministic=True)
    await connection.executescript(_VIEWS)
    await connection.executemany("INSERT INTO configured VALUES (?, ?)", [row_of(freeze) for freeze in configured])
    if triggers:
        await connection.executescript(triggers)
    await connection.commit()


def row_of(freeze: Freeze) -> tuple[str, str]:
    return freeze.pattern, str(freeze.digest) if freeze.digest else ""


# A freeze that is there already is no new decision, and nothing to be written to an object store once more.
PUT_FREEZE = "INSERT OR REPLACE INTO freezes SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM freezes WHERE (pattern, digest) = (?1, ?2))"
_FORGET = "DELETE FROM decisions WHERE value IS NULL AND decided_at <= (SELECT now FROM milliseconds) - ?"
_AT_ONCE = 100  # decisions in a transaction


class SqliteDecisions:
    """Pins, and freezes that were set at run time, with when (port Decisions); triggers of the tables write that down."""

    def __init__(self, db: Database, generation: Generation) -> None:
        self._db = db
        self._generation = generation
        self._version: Value | None = None
        self._all: list[Decision] = []

    async def all(self) -> list[Decision]:
        [(version,)] = await self._db.rows("PRAGMA operators.data_version")  # what others commit changes it, also those in this process
        if version != self._version:
            self._all = await self._read()
            self._version = version
        return self._all

    async def _read(self) -> list[Decision]:
        rows = await self._db.rows("SELECT kind, name, value, decided_at FROM decisions")
        return [
            Decision("pin" if kind == "pin" else "freeze", str(name), None if value is None else str(value), int(str(at)))
            for kind, name, value, at in rows
        ]

    async def adopt(self, decisions: Sequence[Decision]) -> None:
        # Not in one transaction: others wait for it, and it may take no longer than one of theirs.
        for begin in range(0, len(decisions), _AT_ONCE):
            with self._generation.ending():
                async with self._db.transaction():
                    for each in decisions[begin : begin + _AT_ONCE]:
                        await self._adopt(each)
                    await self._db.execute(_FORGET, REMEMBERED_FOR)

    async def _adopt(self, decision: Decision) -> None:
        row = (decision.kind, decision.name, decision.value, decision.at)
        await self._db.execute(_RECORD, *row)  # no other process changes it from here on
        if await self._db.row("SELECT kind, name, value, decided_at FROM decisions WHERE (kind, name) = (?, ?)", *row[:2]) != row:
            return  # something later is on record
        match decision:
            case Decision(kind="pin", value=None):
                await self._db.execute("DELETE FROM pins WHERE digest = ?", decision.name)
            case Decision(kind="pin"):
                await self._db.execute("INSERT OR IGNORE INTO pins VALUES (?)", decision.name)
            case Decision(value=None):
                await self._db.execute("DELETE FROM freezes WHERE pattern = ?", decision.name)
            case Decision(value=str(value)):
                await self._db.execute(PUT_FREEZE, decision.name, value)
        # Where that changed anything, the triggers take it for a decision of this moment.
        await self._db.execute("UPDATE decisions SET decided_at = ? WHERE (kind, name) = (?, ?)", decision.at, *row[:2])


_RECORD = """
INSERT INTO decisions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, decided_at = excluded.decided_at
WHERE (excluded.decided_at, excluded.value IS NOT NULL, ifnull(excluded.value, ''))
    > (decided_at, decisions.value IS NOT NULL, ifnull(decisions.value, ''))
"""
