"""What tags meant, and since when, beside operators' decisions: the index may be lost, and with it what a rollback would need."""

from collections.abc import Iterable, Mapping

from regproxy.index.database import Database
from regproxy.oci.digest import Digest
from regproxy.policy.tag_history import History, PastMeaning, remembered
from regproxy.ports import Meaning

MAX_ROWS = 200_000  # of all tags, some 30 MB
_EVERY = 1000  # rows, after which it is looked whether there are too many: to count them takes milliseconds

# All of a tag or nothing: with half of its history it would look like a tag that never moved.
_PRUNE = """
DELETE FROM meanings WHERE reference IN (
    SELECT reference FROM (
        SELECT reference, sum(rows) OVER (ORDER BY checked_at, newest, reference) - rows AS before FROM (
            SELECT reference, count(*) AS rows, max(number) AS newest,
                coalesce((SELECT checked_at FROM tags WHERE tags.reference = meanings.reference), 0) AS checked_at
            FROM meanings GROUP BY reference
        )
    ) WHERE before < (SELECT count(*) FROM meanings) - ?
)
"""


async def record(
    db: Database,
    reference: str,
    digest: Digest | None,
    now: float,
    cooldown: float = 0.0,
    others: Iterable[PastMeaning] = (),
    most: int = MAX_ROWS,
) -> None:
    """Record, within a transaction, what upstream says *now* that a tag means, and what *others* have seen; None: there is no such tag.

    Of more rows than *most* those of the tags go that upstream was asked about longest ago.
    """
    rows = await db.rows("SELECT number, digest, since FROM meanings WHERE reference = ? ORDER BY since, number", reference)
    before = {_meaning(digest, since): number for number, digest, since in rows}
    after = remembered(tuple(before), others, digest, now, cooldown)
    gone = [(number,) for meaning, number in before.items() if meaning not in after]
    new = [(reference, str(each.digest or ""), each.since) for each in after if each not in before]
    if gone:
        await db.execute_many("DELETE FROM meanings WHERE number = ?", [*gone])
    if new:
        await db.execute_many("INSERT INTO meanings (reference, digest, since) VALUES (?, ?, ?)", [*new])
        [(last,)] = await db.rows("SELECT max(number) FROM meanings")
        if int(last) % min(_EVERY, most) < len(new):
            await db.execute(_PRUNE, most)


async def known(db: Database, reference: str) -> History:
    rows = await db.rows("SELECT digest, since FROM meanings WHERE reference = ? ORDER BY since, number", reference)
    return tuple(_meaning(digest, since) for digest, since in rows)


async def known_of(db: Database, repository: str) -> Mapping[str, History]:
    """Return what the tags of a repository meant, by tag."""
    query = "SELECT reference, digest, since FROM meanings WHERE reference > ? AND reference < ? ORDER BY reference, since, number"
    found: dict[str, History] = {}
    for reference, digest, since in await db.rows(query, f"{repository}:", f"{repository};"):
        tag = str(reference).removeprefix(f"{repository}:")
        found[tag] = (*found.get(tag, ()), _meaning(digest, since))
    return found


async def of(db: Database, reference: str) -> list[Meaning]:
    rows = await db.rows(
        "SELECT digest, since, EXISTS (SELECT 1 FROM content WHERE content.digest = meanings.digest AND kind = 'manifest')"
        " FROM meanings WHERE reference = ? ORDER BY since DESC, number DESC",
        reference,
    )
    found = [(_meaning(digest, since), bool(is_here)) for digest, since, is_here in rows]
    return [Meaning(meaning.digest, meaning.since, is_here) for meaning, is_here in found]


def _meaning(digest: object, since: object) -> PastMeaning:
    return PastMeaning(Digest.parse(str(digest)) if digest else None, float(str(since)))
