"""Hosts of an upstream that are bad, each in its own way, and what a pull through a regproxy that never met them comes to."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.deeds import CutShare, Hold, Lie, NoRanges, Paced, Redirect, Status
from tests.fakes.entry import Entry
from tests.fakes.registry import FakeRegistry
from tests.fakes.witness import Witness
from tests.rig import rig

from .images import Image, new_image
from .proxy import NAMED

LAYER = 13_000_000  # bytes: enough for a download in parts
_THIRD = 1 / 3


@dataclass(frozen=True, slots=True)
class BadHost:
    """A way of being bad."""

    spoil: Callable[[FakeRegistry, Image], None]
    is_up: bool = True
    corrupt_responses: bool = False  # about content, which has to be fetched twice then


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a client pulls, and who looks on."""

    authority: str
    image: Image
    witness: Witness
    hosts: tuple[FakeRegistry, ...]

    @property
    def ratio(self) -> float:
        """How many times the blobs left the hosts."""
        sent = sum(entry.sent for host in self.hosts for entry in host.ledger if _is_content(entry))
        return sent / sum(len(blob.body) for blob in self.image.blobs)


def _is_content(entry: Entry) -> bool:
    return entry.kind in {"blobs", "other"} and entry.status in {200, 206}


@asynccontextmanager
async def behind(bad: BadHost, root: Path, *, alone: bool) -> AsyncIterator[Scene]:
    """Run a regproxy with default timeout before a bad host, and a good one unless *alone*."""
    image = new_image(f"demo/app-{secrets.token_hex(4)}", LAYER)
    async with FakeRegistry() as worse, FakeRegistry() as good:
        for registry in (worse, good):
            _hold(registry, image)
        bad.spoil(worse, image)
        if not bad.is_up:
            await worse.stop()
        hosts: list[dict[str, object]] = [{"url": worse.url}] if alone else [{"url": worse.url, "trust": ["pull"]}, {"url": good.url}]
        async with rig(root / "store", {NAMED: {"hosts": hosts}}, timeouts={}) as proxy, Witness(proxy.port) as witness:
            yield Scene(witness.host, image, witness, (worse, good))
            await proxy.settled()


def _hold(registry: FakeRegistry, image: Image) -> None:
    for blob in image.blobs:
        registry.add_blob(image.repository, blob.body)
    for manifest in image.manifests:
        registry.add_manifest(image.repository, manifest.body, manifest.media_type, image.reference if manifest is image.top else None)


def _dead(host: FakeRegistry, image: Image) -> None:
    """Leave it to be stopped."""


def _hanging(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("", Hold())


def _stale(host: FakeRegistry, image: Image) -> None:
    """Have another image under the same tag, and nothing of this one."""
    host.repositories.clear()
    older = new_image(image.repository, 1000)
    _hold(host, older)


def _corrupt(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("/blobs/", Lie(lambda body: bytes([body[0] ^ 1]) + body[1:]))


def _cutting(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("", CutShare(_THIRD))


def _cutting_blobs(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("/blobs/", CutShare(_THIRD))


def _throttled(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("", Paced(1))


def _expired(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("/blobs/", Redirect("/store/any?sig=old"))
    host.misbehave("sig=old", Status(403))


def _expired_once(host: FakeRegistry, image: Image) -> None:
    """Redirect to an address that has expired, and to a good one when asked again."""
    asked: Counter[str] = Counter()

    def location(entry: Entry) -> str:
        asked[entry.reference] += 1
        return f"/store/{entry.reference}?sig={'old' if asked[entry.reference] % 2 else 'new'}"

    for blob in image.blobs:
        host.add_file(f"/store/{blob.digest}?sig=new", blob.body)
    host.misbehave("/blobs/", Redirect(location))
    host.misbehave("sig=old", Status(403))


def _without_ranges(host: FakeRegistry, image: Image) -> None:  # noqa: ARG001
    host.misbehave("/blobs/", NoRanges())


IN_FRONT = {
    "dead": BadHost(_dead, is_up=False),
    "hanging": BadHost(_hanging),
    "stale": BadHost(_stale),
    "corrupt": BadHost(_corrupt, corrupt_responses=True),
    "cutting": BadHost(_cutting),
    "throttled": BadHost(_throttled),
    "expired": BadHost(_expired),
    "without-ranges": BadHost(_without_ranges),
}
# Those whose content can be had from them alone.
ALONE = {
    "cutting-blobs": BadHost(_cutting_blobs),
    "expired-once": BadHost(_expired_once),
    "without-ranges": BadHost(_without_ranges),
}
