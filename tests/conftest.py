"""What tests of the whole share: an upstream that can misbehave and a regproxy in front of it. Fast tests run first."""

import io
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from regproxy.policy.upstream import failover
from regproxy.shm import forget
from regproxy.telemetry.log import Lines
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

pytest_plugins = ("tests.canaries",)

_SLOWEST_LAST = ("faults", "clients")
_MEASURED = frozenset(
    {"conformance", "fill", "fleet", "index", "maintenance", "oci", "policy", "pull", "storage", "telemetry", "upstream", "web"}
)  # folders whose tests start no program

os.environ["REGPROXY__STORE__HIGH_WATERMARK"] = (
    "100%"  # of all programs that tests start, whatever their files say: how full the machine's disk is, is no matter
)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each program of the tests compiles all of regproxy: half of what its start costs

hypothesis.settings.register_profile("any machine", deadline=None)  # a test asserts no time
hypothesis.settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes milliseconds before what starts whole programs, and measure the coverage of the former alone.

    To trace what the others do would cost minutes. Nor do random examples cover anything: another run would not repeat them.
    """
    for item in items:
        if item.nodeid.split("/")[1] not in _MEASURED or hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")
    items.sort(key=lambda item: max(_SLOWEST_LAST.index(part) + 1 if part in _SLOWEST_LAST else 0 for part in item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def _memory_is_given_back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget what tests of parts leave, where no whole program ends in order."""
    yield
    for place, directories, _ in os.walk(tmp_path_factory.getbasetemp()):
        directories[:] = [each for each in directories if each != "blobs"]
        forget(Path(place))


@pytest.fixture(autouse=True)
def _one_host_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no second host because a machine stood still for a second, but in tests of that: they are marked `hedging`."""
    if "hedging" not in request.keywords:
        monkeypatch.setattr(failover, "hedge_after", lambda _: 60.0)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run regproxy before the upstream, asking it about a tag at every pull."""
    settings = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with rig(tmp_path / "store", {"docker.io": settings}) as running:
        yield running


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Collect what `configure` would print, down to debug."""
    stream = io.StringIO()
    handler, root = Lines(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
