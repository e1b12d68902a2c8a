"""What was found to be signed."""

from pathlib import Path

from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind

APP, OTHER = Repository("docker.io", "library/app"), Repository("docker.io", "library/other")
INDEX, CHILD = Digest.of(b"index"), Digest.of(b"child")


async def test_n18_23_a_signature_is_remembered_for_a_digest_and_a_policy_over_a_restart(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put_signed(INDEX, "policy", [INDEX, CHILD])
    await index.put_signed(CHILD, "policy", [CHILD])
    before = index.generation
    index.forget_answers()
    assert index.generation != before
    await index.close()
    index = await SqliteIndex.open(tmp_path / "index.db")
    assert [await index.signed(digest, "policy") for digest in (INDEX, CHILD)] == [INDEX, INDEX]
    assert await index.signed(INDEX, "another policy") is None
    assert await index.signed(Digest.of(b"unknown"), "policy") is None
    await index.close()


async def test_n18_23_the_indexes_that_list_a_manifest_are_found_in_its_repository_alone(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put(Kind.MANIFEST, APP, Descriptor("a/b", INDEX, 1), [CHILD])
    assert await index.parents(APP, CHILD, 4) == [INDEX]
    assert await index.parents(APP, INDEX, 4) == []
    assert await index.parents(OTHER, CHILD, 4) == []
    await index.close()
