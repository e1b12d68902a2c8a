"""Warm-ups beside operators' other decisions, in SQLite (port WarmJobs)."""

from regproxy.index.database import Database


class SqliteWarmJobs:
    """Documents of jobs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> list[tuple[int, str]]:
        rows = await self._db.rows("SELECT number, document FROM warm_jobs ORDER BY number")
        return [(int(str(number)), str(document)) for number, document in rows]

    async def put(self, number: int, document: str) -> None:
        await self._db.write("INSERT OR REPLACE INTO warm_jobs VALUES (?, ?)", number, document)

    async def drop(self, number: int) -> None:
        await self._db.write("DELETE FROM warm_jobs WHERE number = ?", number)
