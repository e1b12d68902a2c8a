"""The OCI's conformance suite, whole: it pushes to distribution 3, reads through regproxy, and finds nothing new."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conformance import Report, read_report
from .conftest import Folders
from .distribution import Distribution
from .go_programs import go_program
from .relay import SplittingRelay
from .server import Server

# What a cache does not do on purpose: content that was deleted upstream goes on being served by its digest.
_NO_DELETIONS = {"API_MANIFESTS_DELETE": "false", "API_BLOBS_DELETE": "false"}

# RFC 9110, 14.1.1: such a range is invalid, and ignored; the suite takes that, and calls it unsupported.
_BACKWARDS = "sha256 blobs/range requests/range 500-0"


@pytest.fixture(scope="module")
def origin(folder: Folders) -> Iterator[Distribution]:
    origin = Distribution(folder("distribution"))
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture(scope="module")
def relay(folder: Folders, origin: Distribution) -> Iterator[SplittingRelay]:
    """Ask upstream for each tag, as whoever pushes and pulls at once needs it."""
    rule = {"match": "*", "policy": "always", "fresh_for": "0s", "missing_for": "0s"}
    server = Server(folder("whole"), {"registry.test": {"hosts": [{"url": origin.url}], "tags": [rule]}}, default_upstream="registry.test")
    server.start()
    relay = SplittingRelay(folder("relay"), origin.authority, server.authority)
    relay.start()
    yield relay
    relay.stop()
    server.stop()


def _judged(authority: str, repository: str, folder: Path) -> Report:
    """Run the suite; its exit code says that something failed, which the origin alone does too."""
    folder.mkdir()
    settings = {
        "REGISTRY": authority,
        "TLS": "disabled",
        "REPO1": f"{repository}/one",
        "REPO2": f"{repository}/two",
        "VERSION": "1.1",
        "RESULTS_DIR": str(folder),
        **_NO_DELETIONS,
    }
    env = dict(os.environ, **{f"OCI_{name}": value for name, value in settings.items()})
    done = subprocess.run([go_program("conformance")], env=env, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    return read_report(done.stdout, done.stderr)


def test_n13_what_the_whole_suite_finds_is_not_the_caches_doing(origin: Distribution, relay: SplittingRelay, tmp_path: Path) -> None:
    alone = _judged(origin.authority, "alone", tmp_path / "alone")
    through = _judged(relay.authority, "through", tmp_path / "through")
    assert alone.cases["Pass"], alone.text
    assert through.cases["Pass"] >= alone.cases["Pass"] - {_BACKWARDS}, through.text
    assert through.cases["FAIL"] <= alone.cases["FAIL"], (through.cases["FAIL"] - alone.cases["FAIL"], through.text)
