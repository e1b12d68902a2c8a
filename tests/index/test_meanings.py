"""What tags meant: a hundred meanings of each, and the last ones of all."""

from pathlib import Path

from regproxy.index import meanings, retention
from regproxy.index.database import Database
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord

APP = Repository("docker.io", "library/app")


async def test_n18_05_of_a_tag_the_last_hundred_meanings_are_kept(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    moving, still = Reference(APP, Tag("moving")), Reference(APP, Tag("still"))
    digests = [Digest.of(str(number).encode()) for number in range(130)]
    await index.put_tag(still, TagRecord(Descriptor("a/b", digests[0], 1), 1.0))
    for moment, digest in enumerate(digests):
        for seconds in (0.0, 0.5):
            await index.put_tag(moving, TagRecord(Descriptor("a/b", digest, 1), moment + seconds))
    found = await index.ledger().meanings(moving)
    assert [(each.digest, each.since, each.is_here) for each in found] == [
        (digest, float(moment), False) for moment, digest in reversed(list(enumerate(digests)))
    ][:100]
    assert [each.digest for each in await index.ledger().meanings(still)] == digests[:1]
    await index.close()


async def test_n18_07_of_too_many_rows_those_of_the_tags_go_that_were_asked_about_longest_ago(tmp_path: Path) -> None:
    """All of a tag: with half of its history it would look like one that never moved."""
    index = await SqliteIndex.open(tmp_path / "index.db")
    db = await Database.joined(tmp_path / "index.db", lambda connection: retention.prepare(connection, ()))
    references = [Reference(APP, Tag(f"v{number}")) for number in range(30)]
    for reference in references:
        for moment, name in enumerate((b"one", b"two")):
            digest = Digest.of(name)
            await index.put_tag(reference, TagRecord(Descriptor("a/b", digest, 1), 1.0 + moment))
    for at, reference in enumerate(references[:5]):
        await index.put_tag(reference, TagRecord(Descriptor("a/b", Digest.of(b"two"), 1), 100.0 + at))
    for number in range(12):
        async with db.transaction():
            await meanings.record(db, f"docker.io/library/new:{number}", Digest.of(b"new"), 1.0, most=10)
    [(rows,)] = await db.rows("SELECT count(*) FROM meanings")
    assert 10 <= int(rows) <= 19
    kept = [len(await index.meanings(reference)) for reference in references]
    assert kept == [2] * 5 + [0] * 25, "the last ones that upstream was asked about; what is no tag on record goes before"
    assert set(await index.histories(APP)) == {f"v{number}" for number in range(5)}
    await db.close()
    await index.close()
