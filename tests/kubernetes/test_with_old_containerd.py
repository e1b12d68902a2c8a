"""The node's cache dies before containerd 1.6, which knows no dial_timeout. Its name puts it last: it needs a cluster of its own."""

from collections.abc import Iterator

import pytest

from .node import Cluster
from .release import Release
from .upstream import Upstream

pytestmark = pytest.mark.parametrize("node", ["old"], indirect=True)


@pytest.fixture(scope="module")
def release(node: Cluster) -> Iterator[Release]:
    upstream = Upstream(node.folder / "old-upstream")
    upstream.start()
    found = Release(node, upstream, "node")
    node.helm("install", "--create-namespace", "--timeout=5m", values=found.values())
    yield found
    node.helm("uninstall", "--no-hooks", "--ignore-not-found")
    upstream.stop()


def test_n15_01_old_containerd_pulls_through_the_cache_and_past_a_killed_one(release: Release) -> None:
    release.await_cache()
    print(f"containerd 1.6, through the cache: Pod {release.run_new('through-cache'):.1f} s")  # noqa: T201
    assert release.requests("node", "demo/through-cache")
    release.run_while_killed()


def test_n15_01_old_containerd_pulls_past_a_black_holed_cache(release: Release) -> None:
    """It waits 30 s for one connection. In that time the node is given back."""
    release.run_while_black_holed()


def test_n15_01_old_containerd_pulls_past_a_stopped_cache(release: Release) -> None:
    release.run_while_stopped()


def test_n15_01_old_containerd_is_as_it_was_without_the_release(release: Release) -> None:
    release.node.helm("uninstall", "--timeout=6m")
    assert release.files() == release.before
