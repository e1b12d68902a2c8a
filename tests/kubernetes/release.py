"""The chart, installed in a cluster whose Pods run, and what may happen to the cache of its node."""

from pathlib import Path
from typing import Any

from tests.clients.images import Image

from .node import NAME, OWN_IMAGE, Cluster
from .upstream import Upstream

CACHES = {"cluster": "statefulset/rp-regproxy", "node": "daemonset/rp-regproxy-node"}
_NODE_CACHE = "labelSelector=app.kubernetes.io%2Fcomponent%3Dnode"
ENDPOINT = "http://127.0.0.1:30500"
# Seconds until a Pod of an uncached image has ended while the cache is dead. An old containerd tries 30 s for one connection, and reads
# twice for each image where to pull from: before it asks for the tag, and after. The node is to be given back in between.
_BOUND = 60.0


class Release:
    """The chart, installed; and the node's files as they were."""

    def __init__(self, node: Cluster, upstream: Upstream, mode: str = "both") -> None:
        self.node, self.upstream, self.mode = node, upstream, mode
        self.certs = node.machine.root / "etc/containerd/certs.d"
        self.hosts = self.certs / upstream.name / "hosts.toml"
        self.hosts.parent.mkdir(parents=True)
        self.hosts.write_text(upstream.hosts_toml)
        self.before = self.files()

    def values(self, **config: object) -> dict[str, Any]:
        store = {"high_watermark": "100%"}  # however full the machine's disk is
        small = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
        return {
            "mode": self.mode,
            "image": {"repository": OWN_IMAGE},
            "replicaCount": 1,
            "resources": small,
            "terminationGracePeriodSeconds": 20,
            "config": {
                "workers": 1,
                "drain": "2s",
                "store": store,
                "upstreams": {self.upstream.name: self.upstream.configured},
                **config,
            },
            "node": {"resources": small, "config": {"store": store}},
            "clientConfig": {"enabled": True, "registries": [self.upstream.name]},
            "test": {"image": f"{self.upstream.name}/demo/test:1"},
        }

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.certs)): path.read_bytes() for path in self.certs.rglob("*") if path.is_file()}

    def reference(self, image: Image) -> str:
        return f"{self.upstream.name}/{image.name}"

    def is_configured(self) -> bool:
        return ENDPOINT in self.hosts.read_text()

    def requests(self, cache: str, repository: str) -> int:
        """Count the requests for a repository in the access log of a cache."""
        log = self.node.logs(CACHES[cache], "--container=regproxy", "--tail=-1")
        return sum(f"/v2/{repository}/" in line for line in log.splitlines())

    def run_new(self, name: str) -> float:
        """Run a Pod of an image that nobody has, and return its seconds."""
        return self.node.run_pod(name, self.reference(self.upstream.app(f"demo/{name}")))

    def run_while_killed(self) -> None:
        """Run a Pod right after the cache of the node was killed; the kubelet starts it again."""
        self.node.signal("KILL", self.cache_container())
        print(f"cache killed: Pod {self.run_new('killed'):.1f} s")  # noqa: T201
        self.await_cache()

    def run_while_black_holed(self) -> None:
        """Run a Pod while nothing answers at the node's port, and one when the node has been given back."""
        rule = ("OUTPUT", "-t", "mangle", "-p", "tcp", "--dport", ENDPOINT.rpartition(":")[2], "-j", "DROP")
        self.node.machine.run("iptables", "--insert", *rule)
        at_once = self.run_new("black-holed")
        withdrawn = self.node.awaited(lambda: self.files() == self.before, "the node's configuration withdrawn")
        after = self.run_new("withdrawn")
        self.node.machine.run("iptables", "--delete", *rule)
        print(f"cache black-holed: Pod at once {at_once:.1f} s, withdrawn {withdrawn:.1f} s later, then Pod {after:.1f} s")  # noqa: T201
        self.await_cache()
        assert at_once < _BOUND
        assert after < _BOUND

    def run_while_stopped(self) -> None:
        """Run a Pod while the cache takes connections and does not answer: what waits for it goes on when it is restarted as not alive."""
        before = self.restarts()
        self.node.signal("STOP", self.cache_container())
        waited = self.run_new("stopped")
        restarted = self.node.awaited(lambda: self.restarts() > before, "the cache restarted")
        print(f"cache stopped: Pod at once {waited:.1f} s, restarted {restarted:.1f} s later")  # noqa: T201
        self.await_cache()

    def await_cache(self) -> tuple[float, float]:
        """Wait for the cache of the node, and for the node's configuration; return the seconds of both."""
        seconds = self.node.awaited(lambda: self.node.is_rolled_out(*CACHES["node"].split("/")), "the node's cache")
        return seconds, self.node.awaited(self.is_configured, "the node's configuration")

    def cache_container(self) -> str:
        """Return the container of the node's cache, once it runs."""
        self.node.awaited(lambda: bool(self._running()), "the container of the node's cache")
        return self._running()

    def _running(self) -> str:
        words = ("--name=^regproxy$", "--label=io.kubernetes.pod.namespace=regproxy", "--pod", self._cache_pod())
        return self.node.crictl("ps", "--quiet", *words).strip()

    def restarts(self) -> int:
        found = self.node.read(f"/api/v1/namespaces/regproxy/pods?{_NODE_CACHE}") or {"items": []}
        return sum(each["restartCount"] for pod in found["items"] for each in pod["status"].get("containerStatuses", []))

    def _cache_pod(self) -> str:
        return self.node.crictl("pods", "--quiet", "--state=ready", "--label=app.kubernetes.io/component=node").strip()

    def remove(self, image: Image) -> None:
        self.node.crictl("rmi", self.reference(image))


def make_volume(node: Cluster) -> None:
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
