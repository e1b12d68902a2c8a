"""What stays whatever else goes, where queries can see it: what is pinned, and what frozen tags mean; and who decided that last."""

from collections.abc import Sequence

import aiosqlite

from regproxy.index.database import Database
from regproxy.index.generation import Generation
from regproxy.policy.fleet.decisions import Decision
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


class SqliteDecisions:
    """Pins, and freezes that were set at run time, with when (port Decisions); triggers of the tables write that down."""

    def __init__(self, db: Database, generation: Generation) -> None:
        self._db = db
        self._generation = generation

    async def all(self) -> list[Decision]:
        rows = await self._db.rows("SELECT kind, name, value, decided_at FROM decisions")
        return [
            Decision("pin" if kind == "pin" else "freeze", str(name), None if value is None else str(value), int(str(at)))
            for kind, name, value, at in rows
        ]

    async def adopt(self, decisions: Sequence[Decision]) -> None:
        with self._generation.ending():
            async with self._db.transaction():
                for each in decisions:
                    await self._adopt(each)

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
                await self._db.execute("INSERT OR REPLACE INTO freezes VALUES (?, ?)", decision.name, value)
        # The triggers take it for a decision of this moment.
        await self._db.execute("UPDATE decisions SET decided_at = ? WHERE (kind, name) = (?, ?)", decision.at, *row[:2])


_RECORD = """
INSERT INTO decisions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, decided_at = excluded.decided_at
WHERE (excluded.decided_at, excluded.value IS NOT NULL, ifnull(excluded.value, ''))
    > (decided_at, decisions.value IS NOT NULL, ifnull(decisions.value, ''))
"""
