"""What operators are shown: names of images, what each costs, and pages of them."""

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Kind
from tests.index.books import NGINX, Books, digest, tagged


@pytest.fixture
async def two(books: Books) -> Books:
    """Put two images with a common base, one of which has tags."""
    for name, children in {"base": (), "one": (), "a": ("base", "one"), "b": ("base",)}.items():
        await books.put(name, *children, size=100)
    await tagged(books, "1", "a")
    await tagged(books, "latest", "a")
    await books.use("b", at=2000)
    return books


async def test_an_image_has_its_tags_for_names_or_its_repositories_and_digest(two: Books) -> None:
    await two.index.put(Kind.MANIFEST, Repository("docker.io", "library/other"), Descriptor("a/b", digest("b"), 100))
    names = {image.digest: set(image.names) for image in await two.ledger.images()}
    of_b = {f"docker.io/library/{name}@{digest('b')}" for name in ("nginx", "other")}
    assert names == {digest("a"): {"docker.io/library/nginx:1", "docker.io/library/nginx:latest"}, digest("b"): of_b}


async def test_an_image_is_found_by_each_of_its_names_and_by_its_digest(two: Books) -> None:
    for name in ("docker.io/library/nginx:1", f"docker.io/library/nginx@{digest('a')}", str(digest("a"))):
        image = await two.ledger.image(name)
        assert image is not None
        assert image.digest == digest("a")
    assert [await two.ledger.image(name) for name in ("docker.io/library/nginx:2", "nginx", "", str(digest("base")))] == [None] * 4


async def test_what_others_need_as_well_is_not_what_an_image_costs_alone(two: Books) -> None:
    image = await two.ledger.image(str(digest("a")))
    assert image is not None
    assert (image.size, image.alone) == (300, 200)
    shared = {part.digest: part.shared_with for part in await two.ledger.parts(image.digest)}
    assert shared == {digest("a"): 0, digest("base"): 1, digest("one"): 0}


async def test_pages_count_all_and_begin_with_what_was_used_last(two: Books) -> None:
    found, everything = await two.ledger.page("", 0, 10)
    assert (found, [each.image.digest for each in everything]) == (2, [digest("b"), digest("a")])
    assert await two.ledger.page("", 1, 1) == (2, everything[1:])
    assert await two.ledger.page("", 2, 1) == (2, [])


@pytest.mark.parametrize(("search", "count"), [("nginx", 2), ("latest", 1), ("%", 0), ("_", 0), ("'", 0), ("other", 0)])
async def test_a_search_is_of_text_and_not_of_patterns(two: Books, search: str, count: int) -> None:
    assert (await two.ledger.page(search, 0, 10))[0] == count


async def test_of_many_tags_a_page_shows_the_first(two: Books) -> None:
    for number in range(60):
        record = TagRecord(Descriptor("a/b", digest("b"), 1), 5.0)
        await two.index.put_tag(Reference(NGINX, Tag(f"v{number:02}")), record)
    _, (image,) = await two.ledger.page("v59", 0, 10)
    assert [name.rpartition(":")[2] for name, _ in image.tags] == [f"v{number:02}" for number in range(50)]
    assert {checked_at for _, checked_at in image.tags} == {5.0}
