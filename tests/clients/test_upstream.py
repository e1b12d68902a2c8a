"""What upstream sees of us: how often it is asked, for what, and with whose credentials."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from .images import Images
from .proxy import HUB, NAMED, Proxy
from .registry import Registry
from .skopeo import Skopeo
from .tokens import TokenService

CROWD = 6


@pytest.fixture
def client(skopeo_with_a_path: Skopeo) -> Skopeo:
    skopeo_with_a_path.forget()
    return skopeo_with_a_path


def test_a_crowd_that_pulls_a_cold_image_has_each_byte_fetched_once(client: Skopeo, images: Images, registry: Registry) -> None:
    names = [f"copy-{number}" for number in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as crowd:
        list(crowd.map(lambda name: client.pull(images.large, name), names))
    for name in names:
        client.check(images.large, name)
    sent: Counter[str] = Counter()  # in one request or several: a first piece tells how fast a host is
    for request in registry.blob_requests():
        if "/demo/large/" in request.path:
            sent[request.path] += request.sent
    assert sent == {f"/v2/demo/large/blobs/{blob.digest}": len(blob.body) for blob in images.large.blobs}


def test_a_second_pull_asks_for_no_token(client: Skopeo, images: Images, tokens: TokenService) -> None:
    client.pull(images.hello)
    before = len(tokens.asked)
    client.pull(images.hello, "again")
    assert tokens.asked[before:] == []


def test_tags_and_platforms_can_be_inspected(client: Skopeo, images: Images) -> None:
    told = client.inspect(images.multi)
    assert (told["Digest"], told["RepoTags"], told["Architecture"]) == (images.multi.top.digest, ["1"], "amd64")


def test_a_private_image_is_pulled_with_the_credentials_of_the_proxy(client: Skopeo, images: Images) -> None:
    client.pull(images.private)
    client.check(images.private)


def test_credentials_of_one_upstream_open_nothing_at_another(proxy: Proxy, images: Images, client: Skopeo) -> None:
    """Both upstreams are the same registry here, and the content is in the store already."""
    client.pull(images.private)
    for path in (f"manifests/{images.private.top.digest}", f"blobs/{images.private.blobs[0].digest}", "manifests/1"):
        answer = proxy.get(f"/v2/private/hello/{path}?ns={HUB}")
        assert answer.status in (403, 404)
        assert "WWW-Authenticate" not in answer.headers
    assert proxy.get(f"/v2/private/hello/manifests/1?ns={NAMED}").status == 200
