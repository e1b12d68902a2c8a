"""The chart in a cluster whose Pods run: the node's containerd pulls through the node's cache and the cluster's.

The tests follow each other: what is installed by the first is removed by the last.
"""

import threading
from collections.abc import Iterator

import pytest

from .node import Cluster
from .release import CACHES, Release, make_volume
from .upstream import Upstream


@pytest.fixture(scope="module")
def upstream(node: Cluster) -> Iterator[Upstream]:
    found = Upstream(node.folder / "upstream")
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def release(node: Cluster, upstream: Upstream) -> Iterator[Release]:
    found = Release(node, upstream)
    make_volume(node)
    upstream.app("demo/test")
    node.helm("install", "--create-namespace", "--timeout=5m", values=found.values())
    yield found
    node.helm("uninstall", "--no-hooks", "--ignore-not-found")


def test_n15_01_a_pods_image_comes_through_the_caches_of_node_and_cluster(release: Release) -> None:
    node, upstream = release.node, release.upstream
    seconds = node.awaited(lambda: node.is_rolled_out(*CACHES["cluster"].split("/")), "the cluster's cache")
    more, configured = release.await_cache()
    seconds += more
    image = upstream.app("demo/first")
    pulled = node.run_pod("through-caches", release.reference(image))
    counted = upstream.blobs_of(image)
    print(f"rolled out {seconds:.1f} s, configured {configured:.1f} s later, Pod {pulled:.1f} s, {counted}")  # noqa: T201
    assert counted == dict.fromkeys([blob.digest for blob in image.blobs], 1)
    assert release.requests("node", image.repository) >= len(image.blobs)
    assert release.requests("cluster", image.repository) >= len(image.blobs)
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
    release.run_while_killed()


def test_n15_01_a_pod_of_an_uncached_image_starts_while_the_cache_is_black_holed(release: Release) -> None:
    release.run_while_black_holed()


def test_n15_01_a_pod_of_an_uncached_image_starts_while_the_cache_is_stopped(release: Release) -> None:
    release.run_while_stopped()


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
    print(f"no cache: Pod {node.run_pod('afterwards', release.reference(image)):.1f} s")  # noqa: T201
    assert release.upstream.blobs_of(image) == dict.fromkeys([blob.digest for blob in image.blobs], 1)
