"""The webhook where the chart runs it: the API server asks its Service, and it asks the cluster's cache."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .node import OWN_IMAGE, Cluster, pod
from .upstream import Upstream


@pytest.fixture(scope="module")
def upstream(node: Cluster) -> Iterator[Upstream]:
    found = Upstream(node.folder / "webhook-upstream")
    found.start()
    hosts = node.machine.root / "etc/containerd/certs.d" / found.name / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(found.hosts_toml)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def webhook(node: Cluster, upstream: Upstream) -> Iterator[Cluster]:
    config = {
        "upstreams": {upstream.name: upstream.configured | {"deny": ["*:latest"]}},
        "workers": 1,
        "drain": "2s",
        "store": {"high_watermark": "100%"},  # however full the machine's disk is
    }
    values = {
        "image": {"repository": OWN_IMAGE},
        "replicaCount": 1,
        "terminationGracePeriodSeconds": 20,
        "persistence": {"enabled": False},
        "config": config,
        "admission": {"enabled": True, "replicaCount": 1},
    }
    node.helm("install", "--create-namespace", "--wait", "--timeout=5m", values=values)
    yield node
    node.helm("uninstall", "--wait", "--timeout=5m")


def made(node: Cluster, name: str, image: str, namespace: str = "default", **more: object) -> tuple[dict[str, Any], str]:
    """Return the Pod that the API server makes of one, without making it, and why it does not."""
    document = pod(name, image)
    document["spec"] |= more
    done = node.kubectl("create", "--dry-run=server", "--output=json", "--filename=-", f"--namespace={namespace}", given=document)
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr


def image_of(document: dict[str, Any]) -> str:
    return str(document["spec"]["containers"][0]["image"])


def deployed(image: str) -> dict[str, Any]:
    labels = {"app": "rolled"}
    container = {"name": "c", "image": image, "command": ["/bin/busybox", "sleep", "1000000"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": labels}, "spec": spec}
    wanted = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rolled"}, "spec": wanted}


def test_n15_02_pods_of_a_cluster_are_pinned_and_denied(webhook: Cluster, upstream: Upstream) -> None:
    image = upstream.app("demo/pinned")
    named = f"{upstream.name}/{image.name}"
    pinned = f"{named}@{image.top.digest}"
    webhook.awaited(lambda: image_of(made(webhook, "p", named)[0]) == pinned, "a pinned tag")
    asked = len(upstream.registry.requests())
    found, _ = made(webhook, "p", named, initContainers=[{"name": "i", "image": named}])
    assert (image_of(found), found["spec"]["initContainers"][0]["image"]) == (pinned, pinned)
    assert len(upstream.registry.requests()) == asked
    for denied in (f"{upstream.name}/{image.repository}", f"{upstream.name}/{image.repository}:latest"):
        assert "may not be pulled" in made(webhook, "p", denied)[1]
        inside = made(webhook, "p", named, initContainers=[{"name": "i", "image": denied}])[1]
        assert "may not be pulled" in inside
        assert image_of(made(webhook, "p", denied, "kube-system")[0]) == denied
    webhook.run_pod("pinned", named)
    ran = webhook.get("pod", "pinned", "default")
    assert image_of(ran) == pinned
    assert ran["status"]["containerStatuses"][0]["imageID"].endswith(image.top.digest)


def test_n15_02_a_deployment_is_rolled_back_to_what_was_written(webhook: Cluster, upstream: Upstream) -> None:
    first, second = upstream.app("demo/rolled", "1"), upstream.app("demo/rolled", "2")
    for image in (first, second):
        webhook.apply(deployed(f"{upstream.name}/{image.name}"))
        webhook.awaited(lambda: webhook.is_rolled_out("deployment", "rolled", "default"), image.name)
    assert webhook.kubectl("rollout", "undo", "deployment/rolled").returncode == 0
    webhook.awaited(lambda: webhook.is_rolled_out("deployment", "rolled", "default"), "what was before")
    written = webhook.get("deployment", "rolled", "default")["spec"]["template"]
    assert image_of(written) == f"{upstream.name}/{first.name}"
    webhook.awaited(lambda: running(webhook) == {f"{upstream.name}/{first.name}@{first.top.digest}"}, "its Pod alone")
    webhook.kubectl("delete", "deployment", "rolled")


def running(node: Cluster) -> set[str]:
    listed = node.read("/api/v1/namespaces/default/pods?labelSelector=app%3Drolled") or {"items": []}
    return {image_of(each) for each in listed["items"]}


def test_n15_02_pods_start_while_the_webhook_is_down(webhook: Cluster, upstream: Upstream) -> None:
    image = upstream.app("demo/unjudged")
    named = f"{upstream.name}/{image.name}"
    webhook.kubectl("scale", "deployment/rp-regproxy-admission", "--replicas=0", "--namespace=regproxy")
    webhook.awaited(lambda: image_of(made(webhook, "p", named)[0]) == named, "a Pod that nobody changes")
    print(f"webhook down: {webhook.run_pod('unjudged', named):.1f} s")  # noqa: T201
    assert image_of(webhook.get("pod", "unjudged", "default")) == named
