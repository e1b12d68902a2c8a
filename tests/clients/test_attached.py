"""What was attached to an image a moment ago is found through regproxy at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Folders
from .distribution import Distribution
from .go_programs import go_program
from .processes import run
from .server import Server


@pytest.fixture(scope="module")
def origin(folder: Folders) -> Iterator[Distribution]:
    origin = Distribution(folder("attached"))
    origin.start()
    yield origin
    origin.stop()


@pytest.fixture(scope="module")
def server(folder: Folders, origin: Distribution) -> Iterator[Server]:
    server = Server(folder("attached-cache"), {"registry.test": {"hosts": [{"url": origin.url}]}})
    server.start()
    yield server
    server.stop()


def test_n13_20_an_artifact_is_discovered_as_soon_as_it_is_attached(origin: Distribution, server: Server, tmp_path: Path) -> None:
    """Distribution 3 has no referrers API: the list is an index under a tag, which stays fresh for minutes as other tags do."""
    oras = go_program("oras")
    (tmp_path / "file").write_text("content")
    image = f"{origin.authority}/team/app:1"
    run([oras, "push", "--plain-http", "--disable-path-validation", image, str(tmp_path / "file")])
    cached = f"{server.authority}/registry.test/team/app:1"
    found: list[int] = []
    for number in range(3):
        found.append(_discovered(oras, cached))
        kind = f"application/vnd.test.{number}"
        run([oras, "attach", "--plain-http", "--disable-path-validation", "--artifact-type", kind, image, str(tmp_path / "file")])
    found.append(_discovered(oras, cached))
    assert found == [0, 1, 2, 3]


def _discovered(oras: Path, image: str) -> int:
    printed = json.loads(run([oras, "discover", "--plain-http", "--format", "json", image]))
    return len(printed.get("referrers") or printed.get("manifests") or [])
