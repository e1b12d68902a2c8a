"""What stays whatever else goes, where queries can see it: what is pinned, and what frozen tags mean."""

from collections.abc import Sequence

import aiosqlite

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
