"""An artifact that refers to an image is found through the proxy, though docker-registry knows no referrers."""

import json

from .content import OCI_INDEX
from .images import ARTIFACT_TYPE, Images
from .proxy import NAMED, Proxy
from .registry import Registry


def referrers(images: Images) -> str:
    return f"/v2/demo/hello/referrers/{images.hello.top.digest}?ns={NAMED}"


def test_referrers_come_from_the_tag_schema_where_upstream_lacks_the_api(proxy: Proxy, images: Images) -> None:
    artifact = images.artifact.manifests[0]
    answer = proxy.get(referrers(images))
    assert (answer.status, answer.headers["Content-Type"]) == (200, OCI_INDEX)
    [found] = json.loads(answer.body)["manifests"]
    assert found == artifact.descriptor | {"artifactType": ARTIFACT_TYPE}


def test_an_artifact_arrives_whole(proxy: Proxy, images: Images) -> None:
    artifact = images.artifact.manifests[0]
    assert proxy.get(f"/v2/demo/hello/manifests/{artifact.digest}?ns={NAMED}").body == artifact.body
    for blob in images.artifact.blobs:
        assert proxy.get(f"/v2/demo/hello/blobs/{blob.digest}?ns={NAMED}").body == blob.body


def test_referrers_are_still_listed_while_upstream_is_down(proxy: Proxy, images: Images, registry: Registry) -> None:
    listed = proxy.get(referrers(images)).body
    with registry.outage():
        assert proxy.get(referrers(images)).body == listed
