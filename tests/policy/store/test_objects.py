"""Where things lie in an object store."""

from collections.abc import Callable

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store import objects

APP, DIGEST = Repository("localhost:5000", "library/app"), Digest.of(b"x")


def test_n17_04_every_path_is_one_of_its_own() -> None:
    other, longer = Digest.of(b"y"), Repository("localhost:5000", "library/app/blob")
    paths = [
        *(
            objects.link(kind, repository, digest)
            for kind in ("blob", "manifest")
            for repository in (APP, longer)
            for digest in (DIGEST, other)
        ),
        *(objects.tag(repository, name) for repository in (APP, longer) for name in ("1", "blob")),
        *(
            where(digest)
            for where in (objects.blob, objects.sums, objects.use, objects.tombstone, objects.pin)
            for digest in (DIGEST, other)
        ),
        *(objects.access(repository) for repository in (APP, longer)),
        *(objects.freeze(pattern) for pattern in ("docker.io/library/*", "docker.io/library/app:1")),
    ]
    assert len(set(paths)) == len(paths)
    assert not any(one != other and other.startswith(f"{one}/") for one in paths for other in paths)


def test_n17_04_content_lies_where_others_find_it() -> None:
    assert objects.blob(DIGEST) == f"blobs/sha256/{DIGEST.hex}"


@pytest.mark.parametrize("where", [objects.blob, objects.sums, objects.use, objects.tombstone, objects.pin])
def test_n17_04_a_path_tells_its_digest(where: Callable[[Digest], str]) -> None:
    assert objects.digest_of(where(DIGEST)) == DIGEST
    assert objects.digest_of(f"prefix/{objects.link('blob', APP, DIGEST)}") == DIGEST


@pytest.mark.parametrize("path", ["", "blobs", "blobs/sha256/short", objects.tag(APP, "1")])
def test_n17_04_a_path_without_a_digest_tells_none(path: str) -> None:
    assert objects.digest_of(path) is None
