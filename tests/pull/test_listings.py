"""Lists of tags and referrers, through a whole regproxy."""

import json

import pytest

from regproxy.oci.manifest import OCI_INDEX
from tests.fakes.deeds import Headers, Status
from tests.fakes.registry import FakeRegistry
from tests.fakes.sockets import Sink
from tests.rig import Answer, Rig

NAME = "library/app"
TAGS = ["1.0", "1.1", "2.0", "latest"]


def _tags(query: str = "") -> str:
    return f"/v2/{NAME}/tags/list{query}"


def _listed(answer: Answer) -> list[str]:
    assert answer.status == 200
    document = json.loads(answer.body)
    assert document["name"] == NAME
    return list(document["tags"])


@pytest.fixture(params=[True, False], ids=["upstream pages", "upstream ignores n and last"])
def tagged(upstream: FakeRegistry, request: pytest.FixtureRequest) -> FakeRegistry:
    upstream.paginates = request.param
    digest = upstream.add_image(NAME, None, [b"layer"]).digest
    for tag in reversed(TAGS):
        upstream.set_tag(NAME, tag, digest)
    return upstream


async def test_all_tags_are_listed_in_order(tagged: FakeRegistry, proxy: Rig) -> None:
    answer = await proxy.ask(_tags())
    assert (_listed(answer), tagged.count("GET", "tags")) == (TAGS, 1)
    assert "Link" not in answer.headers


async def test_pages_are_linked_through_us_to_the_end(tagged: FakeRegistry, proxy: Rig) -> None:
    found, path = [], f"{_tags()}?ns=docker.io&n=3"
    for _ in range(5):
        answer = await proxy.ask(path)
        found += _listed(answer)
        if "Link" not in answer.headers:
            break
        path = answer.headers["Link"].removeprefix("<").partition(">")[0]
        assert path.startswith(f"{_tags()}?")
        assert "ns=docker.io" in path
    assert found == TAGS
    assert tagged.ledger


@pytest.mark.parametrize(("query", "expected"), [("?last=1.1", TAGS[2:]), ("?n=1&last=1.0", ["1.1"]), ("?n=0", []), ("?last=zzz", [])])
async def test_n_and_last_mean_what_the_specification_says(tagged: FakeRegistry, proxy: Rig, query: str, expected: list[str]) -> None:
    del tagged
    assert _listed(await proxy.ask(_tags(query))) == expected


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "\u0661"])
async def test_n_that_is_no_number_is_refused(upstream: FakeRegistry, proxy: Rig, number: str) -> None:
    assert (await proxy.ask(_tags(f"?n={number}"))).status == 400
    assert upstream.ledger == []


async def test_s07_a_link_of_upstream_is_neither_followed_nor_passed_on(tagged: FakeRegistry, proxy: Rig) -> None:
    async with Sink() as sink:
        tagged.misbehave("/tags/", Headers({"Link": f'<{sink.url}/v2/x/tags/list?n=1>; rel="next"'}))
        answer = await proxy.ask(_tags("?n=2"))
        assert sink.host not in answer.headers["Link"]
        assert sink.connections == 0


async def test_a_list_is_remembered_for_when_upstream_is_down(tagged: FakeRegistry, proxy: Rig) -> None:
    await proxy.ask(_tags())
    tagged.misbehave("/tags/", Status(500))
    answer = await proxy.ask(_tags())
    assert (_listed(answer), answer.headers["Cache-Status"].split(";")[1]) == (TAGS, " fwd=stale")


async def test_an_unknown_repository_has_no_list(proxy: Rig) -> None:
    answer = await proxy.ask(_tags())
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("has_api", [True, False], ids=["referrers API", "tag schema"])
async def test_referrers_are_found_either_way(upstream: FakeRegistry, proxy: Rig, has_api: bool) -> None:
    upstream.has_referrers = has_api
    subject = upstream.add_image(NAME, "1", [b"layer"])
    signature = upstream.add_image(NAME, None, [b"signature"], subject)
    upstream.add_index(NAME, f"sha256-{subject.digest.hex}", [signature])
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")
    document = json.loads(answer.body)
    assert (answer.headers["Content-Type"], document["mediaType"], document["schemaVersion"]) == (OCI_INDEX, OCI_INDEX, 2)
    assert [found["digest"] for found in document["manifests"]] == [str(signature.digest)]


async def test_nothing_refers_to_it_is_an_empty_index_not_404(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.has_referrers = False
    subject = upstream.add_image(NAME, "1", [b"layer"])
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")
    assert (answer.status, json.loads(answer.body)["manifests"]) == (200, [])


async def test_referrers_are_filtered_and_the_filter_is_told(upstream: FakeRegistry, proxy: Rig) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    reference = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    for kind in ("a", "b"):
        document = {"schemaVersion": 2, "artifactType": f"application/{kind}", "subject": reference, "config": {}, "layers": []}
        upstream.add_manifest(NAME, json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}?artifactType=application/b")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert [found["artifactType"] for found in json.loads(answer.body)["manifests"]] == ["application/b"]
