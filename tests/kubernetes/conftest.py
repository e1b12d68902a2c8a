"""One API server for the folder; `make test-cluster` builds it, and says so in the environment."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_server import ApiServer

collect_ignore_glob = [] if os.environ.get("REGPROXY_CLUSTER") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[ApiServer]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        server = ApiServer(Path(folder))
        server.start()
        yield server
        server.stop()
