"""One API server for each module: what one removes, it knows for a moment longer. `make test-cluster` builds it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_server import ApiServer

collect_ignore_glob = [] if os.environ.get("CLUSTER_TESTS") == "1" else ["test_*.py"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        server = ApiServer(Path(folder))
        server.start()
        yield server
        server.stop()
