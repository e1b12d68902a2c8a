"""Images by the names that people write."""

import pytest

from regproxy.maintenance.images import UnknownImage, image_named, image_under_name
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Host, Routes, Upstream
from regproxy.ports import Kind
from tests.maintenance.kept import Kept

ROUTES = Routes([Upstream("docker.io", (Host("https://registry-1.docker.io"),))], "docker.io")
REPOSITORY = Repository("docker.io", "library/nginx")
IMAGE = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8)
NAMES = ("docker.io/library/nginx:1.27", "docker.io/library/nginx:latest")


@pytest.fixture(autouse=True)
async def _image(kept: Kept) -> None:
    await kept.index.put(Kind.MANIFEST, REPOSITORY, IMAGE)
    for name in NAMES:
        await kept.index.put_tag(Reference(REPOSITORY, Tag(name.rpartition(":")[2])), TagRecord(IMAGE, 1.0))


@pytest.mark.parametrize("name", ["nginx", "nginx:1.27", "library/nginx", "docker.io/nginx", NAMES[0], str(IMAGE.digest)])
async def test_a_name_may_be_short_or_whole_or_a_digest(kept: Kept, name: str) -> None:
    assert (await image_named(kept.ledger, ROUTES, name)).digest == IMAGE.digest


@pytest.mark.parametrize("name", ["nginx:2", "quay.io/nginx", "", "no image!", str(Digest.of(b"other"))])
async def test_what_the_store_does_not_hold_is_refused_by_name(kept: Kept, name: str) -> None:
    with pytest.raises(UnknownImage, match=f"^the store holds no image {name}: "):
        await image_named(kept.ledger, ROUTES, name)


@pytest.mark.parametrize(("name", "called"), [("nginx:1.27", NAMES[:1]), (NAMES[1], NAMES[1:]), (str(IMAGE.digest), NAMES)])
async def test_an_image_is_called_as_it_was_asked_for(kept: Kept, name: str, called: tuple[str, ...]) -> None:
    """Another name of it would move a tag wherever it is taken to."""
    assert (await image_under_name(kept.ledger, ROUTES, name)).names == called
