"""Private images of a `proven` upstream: kubelet shows the imagePullSecrets of a Pod to the cache; who has none gets nothing."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.images import Image

from .node import Cluster, pod
from .release import Release
from .upstream import Upstream

_TENANT, _PASSWORD = "ann", "canary of ann"
_SECRET = "pull"


@pytest.fixture(scope="module")
def release(node: Cluster) -> Iterator[Release]:
    upstream = Upstream(node.folder / "private-upstream", {_TENANT: _PASSWORD})
    upstream.start()
    found = Release(node, upstream, "node")
    values = found.values(upstreams={upstream.name: {**upstream.configured, "access": "proven"}})
    values["node"]["hostNetwork"] = True
    node.apply(_pull_secret(upstream.name))
    node.helm("install", "--create-namespace", "--timeout=5m", values=values)
    found.await_cache()
    yield found
    node.helm("uninstall", "--timeout=6m")
    upstream.stop()


def _pull_secret(registry: str) -> dict[str, Any]:
    shown = base64.b64encode(f"{_TENANT}:{_PASSWORD}".encode()).decode()
    document = json.dumps({"auths": {registry: {"auth": shown}}})
    metadata = {"name": _SECRET}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": document},
    }


def _pod(name: str, reference: str, *secrets: str) -> dict[str, Any]:
    document = pod(name, reference, imagePullPolicy="Always")
    document["spec"]["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    return document


def _is_refused(node: Cluster, name: str) -> bool:
    found = node.read(f"/api/v1/namespaces/default/pods/{name}") or {"status": {}}
    waiting = [each["state"].get("waiting", {}) for each in found["status"].get("containerStatuses", [])]
    return any(each.get("reason") in {"ErrImagePull", "ImagePullBackOff"} for each in waiting)


def test_n16_03_a_pod_gets_a_private_image_by_its_own_pull_secret(release: Release) -> None:
    node, image = release.node, release.upstream.app(f"private/{_TENANT}/app")
    reference = release.reference(image)
    _run(release, "private-with-secret", reference)
    assert release.upstream.blobs_of(image) == _once_each(image)
    assert release.requests("node", image.repository) >= len(image.blobs)
    release.remove(image)
    node.apply(_pod("private-without-secret", reference))
    node.awaited(lambda: _is_refused(node, "private-without-secret"), "the Pod without a secret refused")
    node.kubectl("delete", "pod", "private-without-secret", "--wait=false")
    with release.upstream.registry.outage():
        _run(release, "private-in-outage", reference)
    assert release.upstream.blobs_of(image) == _once_each(image), "what is cached was pulled again"


def _run(release: Release, name: str, reference: str) -> None:
    release.node.apply(_pod(name, reference, _SECRET))
    release.node.awaited(lambda: release.node.phase(name) == "Succeeded", f"Pod {name} of {reference}")


def _once_each(image: Image) -> dict[str, int]:
    return dict.fromkeys([blob.digest for blob in image.blobs], 1)
