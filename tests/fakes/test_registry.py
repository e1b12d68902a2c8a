import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        yield client


async def test_an_image_is_served_by_tag_by_digest_and_by_layer(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    image = registry.add_image("library/nginx", "1.27", [b"layer one", b"layer two"])
    async with client.get(f"{registry.url}/v2/library/nginx/manifests/1.27") as answer:
        manifest = await answer.json(content_type=None)
        assert (answer.status, answer.content_type) == (200, image.media_type)
        assert answer.headers["Docker-Content-Digest"] == str(image.digest)
        assert answer.content_length == image.size
    async with client.get(f"{registry.url}/v2/library/nginx/manifests/{image.digest}") as answer:
        assert Digest.of(await answer.read()) == image.digest
    for layer, body in zip(manifest["layers"], [b"layer one", b"layer two"], strict=True):
        async with client.get(f"{registry.url}/v2/library/nginx/blobs/{layer['digest']}") as answer:
            assert await answer.read() == body
    assert registry.count("GET", "manifests") == 2
    assert registry.count("GET", "manifests", "1.27") == 1
    assert registry.count("GET", "blobs") == 2
    assert registry.sent_blob_bytes() == 18


async def test_head_says_what_get_would_and_sends_nothing(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    digest = registry.add_blob("a", b"0123456789")
    async with client.head(f"{registry.url}/v2/a/blobs/{digest}") as answer:
        assert (answer.status, answer.content_length) == (200, 10)
        assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert (registry.ledger[0].method, registry.ledger[0].status, registry.ledger[0].sent) == ("HEAD", 200, 0)


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        pytest.param("bytes=2-4", 206, b"234", "bytes 2-4/10", id="the middle"),
        pytest.param("bytes=7-", 206, b"789", "bytes 7-9/10", id="the rest"),
        pytest.param("bytes=-2", 206, b"89", "bytes 8-9/10", id="the end"),
        pytest.param("bytes=5-99", 206, b"56789", "bytes 5-9/10", id="past the end"),
        pytest.param("bytes=0-0", 206, b"0", "bytes 0-0/10", id="one byte"),
        pytest.param("bytes=10-", 416, b"", "bytes */10", id="beyond"),
        pytest.param("bytes=0-1,3-4", 200, b"0123456789", None, id="several"),
        pytest.param("lines=1-2", 200, b"0123456789", None, id="another unit"),
    ],
)
async def test_one_range_is_honoured(
    registry: FakeRegistry, client: aiohttp.ClientSession, asked: str, status: int, body: bytes, said: str | None
) -> None:
    digest = registry.add_blob("a", b"0123456789")
    async with client.get(f"{registry.url}/v2/a/blobs/{digest}", headers={"Range": asked}) as answer:
        assert (answer.status, await answer.read(), answer.headers.get("Content-Range")) == (status, body, said)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/v2/b/manifests/x", 404, "NAME_UNKNOWN", id="repository"),
        pytest.param("/v2/a/manifests/x", 404, "MANIFEST_UNKNOWN", id="tag"),
        pytest.param(f"/v2/a/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN", id="blob"),
        pytest.param("/v2/a/blobs/sha256:0", 400, "DIGEST_INVALID", id="digest"),
    ],
)
async def test_what_is_not_there_has_an_oci_error(
    registry: FakeRegistry, client: aiohttp.ClientSession, path: str, status: int, code: str
) -> None:
    registry.add_blob("a", b"x")
    async with client.get(registry.url + path) as answer:
        assert (answer.status, (await answer.json())["errors"][0]["code"]) == (status, code)


async def test_what_is_removed_is_gone_and_a_tag_can_move(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    old, new = registry.add_image("a", "latest", [b"old"]), registry.add_image("a", None, [b"new"])
    blob = registry.add_blob("a", b"blob")
    registry.set_tag("a", "latest", new.digest)
    registry.remove_blob("a", blob)
    async with client.get(f"{registry.url}/v2/a/manifests/latest", headers={"If-None-Match": f'"{old.digest}"'}) as answer:
        assert answer.headers["Docker-Content-Digest"] == str(new.digest)
    async with client.get(f"{registry.url}/v2/a/manifests/latest", headers={"If-None-Match": f'"{new.digest}"'}) as answer:
        assert answer.status == 304
    registry.remove_tag("a", "latest")
    for path in ("manifests/latest", f"blobs/{blob}"):
        async with client.get(f"{registry.url}/v2/a/{path}") as answer:
            assert answer.status == 404


async def test_tags_come_in_pages_with_links(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    image = registry.add_image("a/b", "1", [b"x"])
    for tag in ("2", "3"):
        registry.set_tag("a/b", tag, image.digest)
    async with client.get(f"{registry.url}/v2/a/b/tags/list?n=2") as answer:
        assert (await answer.json())["tags"] == ["1", "2"]
        link = answer.links["next"]["url"]
    async with client.get(link) as answer:
        assert (await answer.json())["tags"] == ["3"]
        assert "Link" not in answer.headers
    registry.paginates = False
    async with client.get(f"{registry.url}/v2/a/b/tags/list?n=2") as answer:
        assert (await answer.json())["tags"] == ["1", "2", "3"]


async def test_referrers_are_found_by_subject_unless_the_registry_has_none(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    image = registry.add_image("a", "1", [b"x"])
    signature = registry.add_image("a", None, [b"signature"], subject=image)
    async with client.get(f"{registry.url}/v2/a/referrers/{image.digest}") as answer:
        found = await answer.json(content_type=None)
        assert [item["digest"] for item in found["manifests"]] == [str(signature.digest)]
    async with client.get(f"{registry.url}/v2/a/referrers/{image.digest}?artifactType=none") as answer:
        assert (await answer.json(content_type=None))["manifests"] == []
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    registry.has_referrers = False
    async with client.get(f"{registry.url}/v2/a/referrers/{image.digest}") as answer:
        assert answer.status == 404


async def test_a_file_is_served_by_its_raw_path_only(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    registry.add_file("/store/a%2Bb?sig=%27x", b"bytes")
    for path, status in (("/store/a%2Bb?sig=%27x", 200), ("/store/a+b?sig=%27x", 404)):
        async with client.get(URL(registry.url + path, encoded=True)) as answer:
            assert answer.status == status
    assert registry.ledger[0].path == "/store/a%2Bb?sig=%27x"


async def test_a_stopped_registry_refuses_and_comes_back_on_its_port(registry: FakeRegistry, client: aiohttp.ClientSession) -> None:
    url = registry.url
    async with client.get(f"{url}/v2/") as answer:
        assert answer.status == 200
    await registry.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(f"{url}/v2/")
    await registry.start()
    async with client.get(f"{url}/v2/") as answer:
        assert answer.status == 200
    assert registry.url == url


async def test_the_password_itself_can_be_asked_for(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="basic") as registry:
        good = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        async with client.get(f"{registry.url}/v2/") as answer:
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="fake-registry"'
        for value, status in ((good, 200), ("bm86bm8=", 401)):
            async with client.get(f"{registry.url}/v2/", headers={"Authorization": f"Basic {value}"}) as answer:
                assert answer.status == status
