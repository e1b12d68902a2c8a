"""The OCI's conformance suite finds nothing to complain about, nor do the checks that it leaves out where it may not push."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conformance import judge
from .content import Blob
from .fetch import ask
from .go_programs import go_program
from .images import Image, Images
from .proxy import NAMED, Proxy

ASKED = {
    "ping",
    "empty/tag list",
    "empty/referrers",
    "read-only/tag-list",
    "read-only/head/manifest-head-by-tag",
    "read-only/head/manifest-head-by-digest",
    "read-only/head/blob-head",
    "read-only/pull/manifest-by-tag",
    "read-only/pull/manifest-by-digest",
    "read-only/pull/blob-get",
    "read-only/referrers",
    "missing-manifest/by-digest",
    "missing-manifest/by-tag",
    "invalid-digest-format/manifest-get",
}


@pytest.fixture(scope="session")
def suite() -> Path:
    return go_program("conformance")


@pytest.fixture(params=["hello", "multi", "zstd"])
def content(request: pytest.FixtureRequest, images: Images) -> list[Image]:
    """List all that one repository holds: an image and an artifact about it, an index, a layer that is no gzip."""
    named: Image = getattr(images, request.param)
    return [image for image in images.all if image.repository == named.repository]


@pytest.fixture
def blob(images: Images) -> Blob:
    return max(images.hello.blobs, key=lambda blob: len(blob.body))


@pytest.mark.parametrize("prefix", ["", f"{NAMED}/"], ids=["the default upstream", "an upstream in the path"])
def test_the_conformance_suite_passes(suite: Path, proxy: Proxy, content: list[Image], prefix: str, tmp_path: Path) -> None:
    report = judge(suite, proxy.authority, prefix, content, tmp_path)
    assert set(report.cases) == {"Pass", "Disabled"}, report.text
    assert report.cases["Pass"] >= ASKED, report.text


def paths(image: Image) -> Iterator[tuple[str, Blob]]:
    yield f"/v2/{image.repository}/manifests/{image.reference}", image.top
    yield from ((f"/v2/{image.repository}/manifests/{manifest.digest}", manifest) for manifest in image.manifests)
    yield from ((f"/v2/{image.repository}/blobs/{blob.digest}", blob) for blob in image.blobs)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_tells_its_digest_and_length(proxy: Proxy, content: list[Image], method: str) -> None:
    """distribution-spec 1.1 has this as a SHOULD, the next one as a MUST."""
    for path, blob in (each for image in content for each in paths(image)):
        answer = ask(method, f"{proxy.url}{path}")
        assert answer.status == 200
        assert answer.body == (blob.body if method == "GET" else b"")
        assert answer.headers["Docker-Content-Digest"] == blob.digest
        assert answer.headers["Content-Length"] == str(len(blob.body))
        if "/manifests/" in path:
            assert answer.headers["Content-Type"] == blob.media_type


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        pytest.param("bytes=500-1499", 500, 1500, id="from here to there"),
        pytest.param("bytes=500-", 500, None, id="from here on"),
        pytest.param("bytes=-500", -500, None, id="the end"),
        pytest.param("bytes=2000-999999999", 2000, None, id="beyond the end"),
        pytest.param("bytes=0-0", 0, 1, id="one byte"),
    ],
)
def test_a_part_of_a_blob_is_sent_as_such(proxy: Proxy, images: Images, blob: Blob, header: str, start: int, stop: int | None) -> None:
    answer = ask("GET", f"{proxy.url}/v2/{images.hello.repository}/blobs/{blob.digest}", headers={"Range": header})
    wanted = range(len(blob.body))[start:stop]
    assert (answer.status, answer.body) == (206, blob.body[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {wanted[0]}-{wanted[-1]}/{len(blob.body)}"
    assert answer.headers["Content-Length"] == str(len(wanted))


@pytest.mark.parametrize("header", ["bytes=500-0", "bytes=999999999-"], ids=["backwards", "all beyond the end"])
def test_a_part_that_is_none_is_not_sent_as_one(proxy: Proxy, images: Images, blob: Blob, header: str) -> None:
    answer = ask("GET", f"{proxy.url}/v2/{images.hello.repository}/blobs/{blob.digest}", headers={"Range": header})
    assert (answer.status, answer.body == blob.body) in {(200, True), (416, False)}


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        pytest.param("GET", f"/v2/demo/hello/blobs/sha256:{'0' * 64}", {404}, id="a blob that is not there"),
        pytest.param("GET", "/v2/demo/hello/blobs/sha256:short", {400, 404}, id="a blob by no digest"),
        pytest.param("GET", "/v2/demo/nothing/manifests/1", {404}, id="a repository that is not there"),
        pytest.param("GET", "/v2/demo/nothing/tags/list", {404}, id="tags of a repository that is not there"),
        pytest.param("GET", "/v2/demo/hello/referrers/sha256:short", {400}, id="referrers of no digest"),
        pytest.param("GET", "/v2/Demo/manifests/1", {400, 404}, id="a name that is none"),
        pytest.param("POST", "/v2/demo/hello/blobs/uploads/", {405}, id="an upload"),
        pytest.param("DELETE", "/v2/demo/hello/manifests/1", {405}, id="a removal"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_words_of_the_specification(proxy: Proxy, method: str, path: str, statuses: set[int]) -> None:
    answer = ask(method, f"{proxy.url}{path}")
    assert answer.status in statuses
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    [error] = json.loads(answer.body)["errors"]
    assert error["code"].replace("_", "").isupper()
    assert error["message"]
