"""One API server for each module: what one removes, it knows for a moment longer. `make test-cluster` builds it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_server import ApiServer
from .machine import Computer, Traces
from .node import Cluster

_IS_ASKED = os.environ.get("CLUSTER_TESTS") == "1"
_MAX_STARTS = 5
_TRACES = pytest.StashKey[Traces]()
collect_ignore_glob = [] if _IS_ASKED else ["test_*.py"]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave it to the program that starts several of us, where there is one."""
    if _IS_ASKED and "CLUSTER_NODE" not in os.environ:
        session.config.stash[_TRACES] = Traces()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _TRACES in session.config.stash:
        session.config.stash[_TRACES].remove()


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        server = _started(Path(folder))
        yield server
        server.stop()


def _started(folder: Path) -> ApiServer:
    """Start one; anew where another program of the machine took one of its ports in the meantime."""
    number = 0
    while True:
        own = folder / str(number)
        own.mkdir()
        server = ApiServer(own)
        try:
            server.start()
        except RuntimeError as error:
            server.stop()
            if "address already in use" not in str(error) or number == _MAX_STARTS:
                raise
            number += 1
        else:
            return server


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
