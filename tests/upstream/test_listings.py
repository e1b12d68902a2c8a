"""Lists of one host: pages in sizes that it takes, bounded, and of what can be pulled."""

import pytest

from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.oci.reference import Repository
from regproxy.policy.routing import Host
from regproxy.ports import NotFound, Refused, UnexpectedResponse
from regproxy.upstream.host import HostClient
from regproxy.upstream.listings import TagPages, referrers, token
from tests.fakes.deeds import Headers, Status
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
APP = Repository("docker.io", NAME)
TAGS = ("1", "2", "3")


@pytest.fixture(autouse=True)
def _tagged(upstream: FakeRegistry) -> None:
    digest = upstream.add_image(NAME, None, [b"layer"]).digest
    for tag in TAGS:
        upstream.set_tag(NAME, tag, digest)


async def test_a_page_is_upstreams_with_the_query_of_the_next(client: HostClient) -> None:
    page = await TagPages().page(client, APP, "n=2")
    assert page is not None
    assert (page.tags, page.host) == (TAGS[:2], token(client.host))
    assert page.next_query is not None
    following = await TagPages().page(client, APP, page.next_query)
    assert following is not None
    assert (following.tags, following.next_query) == (TAGS[2:], None)


async def test_a_size_that_a_host_refuses_is_made_smaller_and_remembered(client: HostClient, upstream: FakeRegistry) -> None:
    upstream.misbehave(lambda entry: entry.query.get("n", ["0"])[0] in {"5000", "1000"}, Status(400))
    pages = TagPages()
    for asked in (3, 1):
        before = len(upstream.ledger)
        page = await pages.page(client, APP, "n=5000")
        assert page is not None
        assert page.tags == TAGS
        assert len(upstream.ledger) - before == asked


async def test_a_refusal_of_the_list_itself_is_raised(client: HostClient, upstream: FakeRegistry) -> None:
    upstream.misbehave("/tags/", Status(403))
    with pytest.raises(Refused):
        await TagPages().page(client, APP, "n=2")


async def test_a_link_that_leads_to_its_own_page_is_the_end(client: HostClient, upstream: FakeRegistry) -> None:
    upstream.misbehave("/tags/", Headers({"Link": f'</v2/{NAME}/tags/list?n=2>; rel="next"'}))
    page = await TagPages().page(client, APP, "n=2")
    assert page is not None
    assert page.next_query is None


async def test_hosts_are_told_apart_without_telling_their_addresses() -> None:
    hosts = [Host("https://a.test"), Host("https://b.test"), Host("https://a.test", prefix="x")]
    assert len({token(host) for host in hosts}) == 3
    assert "a.test" not in token(hosts[0])


async def test_referrers_are_listed_and_a_host_without_their_api_has_none(client: HostClient, upstream: FakeRegistry) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    signature = upstream.add_image(NAME, None, [b"signature"], subject)
    (found,) = await referrers(client, APP, subject.digest)
    assert (found["digest"], found["mediaType"]) == (str(signature.digest), OCI_MANIFEST)
    upstream.has_referrers = False
    with pytest.raises(NotFound):
        await referrers(client, APP, subject.digest)


async def test_referrers_without_end_are_no_answer(client: HostClient, upstream: FakeRegistry) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/referrers/", Headers({"Link": f'</v2/{NAME}/referrers/{subject.digest}?page=2>; rel="next"'}))
    with pytest.raises(UnexpectedResponse, match="more than 20 pages"):
        await referrers(client, APP, subject.digest)
