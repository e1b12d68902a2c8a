"""What the tests of a tag's meanings share: a tag at an upstream, a clock, and what is served."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Answer, Rig, rig

NAME = "library/app"
DAY = 86_400.0


@dataclass
class Timeline:
    """A tag at *upstream*, and stores below *root*, by one clock."""

    upstream: FakeRegistry
    root: Path
    rule: Mapping[str, object]
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])
    settings: Mapping[str, object] = field(default_factory=dict)

    @asynccontextmanager
    async def replica(self, name: str = "store", **rule: object) -> AsyncIterator[Rig]:
        upstreams = {"docker.io": {"hosts": [{"url": self.upstream.url}], "tags": [{"fresh_for": "0s", **self.rule, **rule}]}}
        async with rig(self.root / name, upstreams, lambda: self.now[0], timeouts=PATIENT, **self.settings) as running:
            yield running

    def push(self, layer: str, tag: str = "1") -> str:
        return str(self.upstream.add_image(NAME, tag, [layer.encode()]).digest)

    def delete(self, tag: str = "1") -> None:
        del self.upstream.repositories[NAME].tags[tag]

    def lose_index(self, name: str = "store") -> None:
        (self.root / name / "index.db").write_bytes(b"damaged" * 1000)

    def passed(self, days: float) -> None:
        self.now[0] += days * DAY


async def pulled(proxy: Rig, target: str = "1", method: str = "GET") -> Answer:
    return await proxy.ask(f"/v2/{NAME}/manifests/{target}", method)


async def served(proxy: Rig, target: str = "1", method: str = "GET") -> tuple[str, str]:
    """Return the digest that a tag is served as, or the status of an error, and the last of what Cache-Status says."""
    answer = await pulled(proxy, target, method)
    if answer.status != 200:
        return str(answer.status), ""
    return answer.headers["Docker-Content-Digest"], answer.headers["Cache-Status"].rpartition("; ")[2]


async def explained(proxy: Rig) -> tuple[dict[str, str], str]:
    """Return the last finding about each thing that was looked at, and the outcome."""
    status, found = await proxy.admin("explain?image=app:1")
    assert status == 200
    return {step["about"]: step["found"] for step in found["steps"]}, found["outcome"]
