"""The chart in a cluster whose Pods run: the node's containerd pulls through the node's cache and the cluster's.

The tests follow each other: what is installed by the first is removed by the last.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.images import Image

from .node import NAME, OWN_IMAGE, Cluster
from .upstream import Upstream

CACHES = {"cluster": "statefulset/rp-regproxy", "node": "daemonset/rp-regproxy-node"}
_NODE_CACHE = "--selector=app.kubernetes.io/component=node"
ENDPOINT = "http://127.0.0.1:30500"


class Release:
    """The chart, installed; and the node's files as they were."""

    def __init__(self, node: Cluster, upstream: Upstream) -> None:
        self.node, self.upstream = node, upstream
        self.certs = node.machine.root / "etc/containerd/certs.d"
        self.hosts = self.certs / upstream.name / "hosts.toml"
        self.hosts.parent.mkdir(parents=True)
        self.hosts.write_text(upstream.hosts_toml)
        self.before = self.files()

    def values(self, **config: object) -> dict[str, Any]:
        small = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
        return {
            "mode": "both",
            "image": {"repository": OWN_IMAGE},
            "replicaCount": 1,
            "resources": small,
            "terminationGracePeriodSeconds": 20,
            "config": {
                "workers": 1,
                "drain": "2s",
                "upstreams": {self.upstream.name: self.upstream.configured},
                **config,
            },
            "node": {"resources": small},
            "clientConfig": {"enabled": True, "registries": [self.upstream.name]},
            "test": {"image": f"{self.upstream.name}/demo/test:1"},
        }

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.certs)): path.read_bytes() for path in self.certs.rglob("*") if path.is_file()}

    def reference(self, image: Image) -> str:
        return f"{self.upstream.name}/{image.name}"

    def is_configured(self) -> bool:
        return ENDPOINT in self.hosts.read_text()

    def requests(self, cache: str, image: Image) -> int:
        """Count the requests for *image* in the access log of a cache."""
        log = self.node.logs(CACHES[cache], "--container=regproxy", "--tail=-1")
        return sum(f"/v2/{image.repository}/" in line for line in log.splitlines())

    def run_new(self, name: str) -> float:
        """Run a Pod of an image that nobody has, and return its seconds."""
        return self.node.run_pod(name, self.reference(self.upstream.app(f"demo/{name}")))

    def cache_container(self) -> str:
        return self.node.crictl(
            "ps", "--quiet", "--name=^regproxy$", "--label=io.kubernetes.pod.namespace=regproxy", "--pod", self._cache_pod()
        ).strip()

    def restarts(self) -> int:
        found = self.node.kubectl(
            "get", "pods", "--namespace=regproxy", _NODE_CACHE, "--output=jsonpath={.items[0].status.containerStatuses[0].restartCount}"
        )
        return int(found.stdout or 0)

    def _cache_pod(self) -> str:
        return self.node.crictl("pods", "--quiet", "--state=ready", "--label=app.kubernetes.io/component=node").strip()

    def remove(self, image: Image) -> None:
        self.node.crictl("rmi", self.reference(image))


@pytest.fixture(scope="module")
def upstream(node: Cluster) -> Iterator[Upstream]:
    found = Upstream(node.folder / "upstream")
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def release(node: Cluster, upstream: Upstream) -> Iterator[Release]:
    found = Release(node, upstream)
    _volume(node)
    upstream.app("demo/test")
    node.helm("install", "--create-namespace", "--timeout=5m", values=found.values())
    yield found
    node.helm("uninstall", "--no-hooks", "--ignore-not-found")


def _volume(node: Cluster) -> None:
    place = Path("/var/lib/regproxy/volume")
    node.machine.run("mkdir", "-p", place)
    affinity = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}]}
    node.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "volume"},
            "spec": {
                "capacity": {"storage": "100Gi"},
                "accessModes": ["ReadWriteOnce"],
                "local": {"path": str(place)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [affinity]}},
            },
        }
    )


def test_n15_01_a_pods_image_comes_through_the_caches_of_node_and_cluster(release: Release) -> None:
    node, upstream = release.node, release.upstream
    seconds = node.awaited(lambda: node.is_rolled_out(*CACHES["cluster"].split("/")), "the cluster's cache")
    seconds += node.awaited(lambda: node.is_rolled_out(*CACHES["node"].split("/")), "the node's cache")
    configured = node.awaited(release.is_configured, "the node's configuration")
    image = upstream.app("demo/first")
    pulled = node.run_pod("through-caches", release.reference(image))
    counted = upstream.blobs_of(image)
    print(f"rolled out {seconds:.1f} s, configured {configured:.1f} s later, Pod {pulled:.1f} s, {counted}")  # noqa: T201
    assert counted == dict.fromkeys([blob.digest for blob in image.blobs], 1)
    assert release.requests("node", image) >= len(image.blobs)
    assert release.requests("cluster", image) >= len(image.blobs)
    release.remove(image)
    node.run_pod("again", release.reference(image))
    assert upstream.blobs_of(image) == counted


def test_n15_01_a_pod_starts_while_the_registry_is_down(release: Release) -> None:
    node = release.node
    image = release.upstream.app("demo/outage")
    node.run_pod("before-outage", release.reference(image))
    release.remove(image)
    with release.upstream.registry.outage():
        print(f"registry down: {node.run_pod('in-outage', release.reference(image)):.1f} s")  # noqa: T201
        always = node.run_pod("always-in-outage", release.reference(image), imagePullPolicy="Always")
        print(f"registry down, always: {always:.1f} s")  # noqa: T201


def test_n15_01_a_pod_of_an_uncached_image_starts_while_the_cache_is_killed(release: Release) -> None:
    node = release.node
    node.signal("KILL", release.cache_container())
    print(f"cache killed: {release.run_new('killed'):.1f} s")  # noqa: T201
    node.awaited(lambda: node.is_rolled_out(*CACHES["node"].split("/")), "the node's cache again")


def test_n15_01_a_pod_of_an_uncached_image_starts_while_the_cache_is_black_holed(release: Release) -> None:
    node = release.node
    node.awaited(release.is_configured, "the node's configuration")
    rule = ("OUTPUT", "-t", "mangle", "-p", "tcp", "--dport", ENDPOINT.rpartition(":")[2], "-j", "DROP")
    node.machine.run("iptables", "--insert", *rule)
    at_once = release.run_new("black-holed")
    withdrawn = node.awaited(lambda: release.files() == release.before, "the node's configuration withdrawn")
    after = release.run_new("withdrawn")
    node.machine.run("iptables", "--delete", *rule)
    again = node.awaited(release.is_configured, "the node's configuration again")
    said = f"cache black-holed: Pod at once {at_once:.1f} s, withdrawn {withdrawn:.1f} s later"
    print(f"{said}, then {after:.1f} s; configured again after {again:.1f} s")  # noqa: T201


def test_n15_01_a_pod_of_an_uncached_image_starts_while_the_cache_is_stopped(release: Release) -> None:
    """What waits for the cache goes on once it is restarted as not alive; what comes when the node is given back does not wait."""
    node = release.node
    before = release.restarts()
    node.signal("STOP", release.cache_container())
    waited = release.run_new("stopped")
    restarted = node.awaited(lambda: release.restarts() > before, "the cache restarted")
    print(f"cache stopped: Pod at once {waited:.1f} s, restarted {restarted:.1f} s later")  # noqa: T201
    node.awaited(lambda: node.is_rolled_out(*CACHES["node"].split("/")), "the node's cache again")
    node.awaited(release.is_configured, "the node's configuration again")


def test_n15_01_helm_test_pulls_an_image(release: Release) -> None:
    said = release.node.helm("test", "--timeout=5m", "--logs")
    assert "all as their digests say" in said


def test_n15_01_an_upgrade_fails_no_pull(release: Release) -> None:
    node = release.node
    images = [release.upstream.app(f"demo/upgrade-{number}") for number in range(4)]
    is_over, pulled = threading.Event(), []
    failed: list[str] = []

    def pull() -> None:
        while not is_over.is_set():
            for image in images:
                try:
                    node.crictl("pull", release.reference(image))
                    pulled.append(image)
                    release.remove(image)
                except RuntimeError as error:
                    failed.append(str(error))

    puller = threading.Thread(target=pull)
    puller.start()
    try:
        node.helm("upgrade", "--wait", "--timeout=5m", values=release.values(log_level="debug"))
    finally:
        is_over.set()
        puller.join()
    direct = sum((release.upstream.blobs_of(image) for image in images), start=type(release.upstream.blobs_of(images[0]))())
    print(f"upgrade: {len(pulled)} pulls, {len(failed)} failed; blobs at the registry {sorted(direct.values())}")  # noqa: T201
    assert pulled
    assert not failed


def test_n15_01_removing_the_release_leaves_the_node_as_it_was(release: Release) -> None:
    node = release.node
    node.awaited(release.is_configured, "the node's configuration")
    node.helm("uninstall", "--timeout=6m")
    assert release.files() == release.before
    image = release.upstream.app("demo/afterwards")
    node.run_pod("afterwards", release.reference(image))
    assert release.upstream.blobs_of(image) == dict.fromkeys([blob.digest for blob in image.blobs], 1)
