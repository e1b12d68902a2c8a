"""What stays whatever else goes, where queries can see it: what is pinned, and what frozen tags mean."""

from collections.abc import Sequence

from regproxy.policy.freezing import Freeze, covers
from regproxy.state.database import Database, Row

FUNCTIONS = {"covers": covers}
# What the configuration freezes is written down for this connection only: another start may be with another configuration.
SETUP = """
CREATE TEMP TABLE configured (pattern TEXT, digest TEXT);
CREATE TEMP VIEW every_freeze AS SELECT pattern, digest FROM freezes UNION ALL SELECT pattern, digest FROM configured;
CREATE TEMP VIEW frozen AS
    SELECT digest FROM every_freeze
    UNION ALL SELECT tags.digest FROM tags JOIN every_freeze AS freeze ON freeze.digest = '' AND covers(pattern, reference);
CREATE TEMP VIEW staying AS SELECT digest FROM pins UNION ALL SELECT digest FROM frozen;
"""


async def configure(db: Database, freezes: Sequence[Freeze]) -> None:
    async with db.transaction():
        await db.execute_many("INSERT INTO configured VALUES (?, ?)", [row_of(freeze) for freeze in freezes])


def row_of(freeze: Freeze) -> Row:
    return freeze.pattern, str(freeze.digest) if freeze.digest else ""
