"""One API server for each module: what one removes, it knows for a moment longer. `make test-cluster` builds it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_server import ApiServer
from .machine import Computer
from .node import Cluster

collect_ignore_glob = [] if os.environ.get("CLUSTER_TESTS") == "1" else ["test_*.py"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        server = ApiServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Start one cluster with a node for all that run Pods; with the parameter `old`, with an old containerd."""
    folder = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))
    machine = Computer(folder)
    try:
        machine.start()
        cluster = Cluster(folder, machine, old=getattr(request, "param", "") == "old")
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        machine.stop()
        shutil.rmtree(folder)
