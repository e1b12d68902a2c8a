"""What the upstreams hold and to whom they give it: the same content lies in repositories that we may read and in others that we may not.

Every content has a mark of its own in each of its lines, so that a part of it is recognised wherever it turns up.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Deed
from tests.fakes.entry import Entry
from tests.fakes.library import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from tests.fakes.registry import FakeRegistry
from tests.fakes.reply import Reply, error_reply
from tests.fakes.wire import Wire
from tests.faults.hostile.run import Run

FRESH_FOR = 2.0  # seconds, for which a tag is believed, and that a repository holds what it held
CLAIMED = 424_242  # bytes that a mirror says everything has: a HEAD that is passed on tells its word, and nothing of ours
_MARK = re.compile(rb"mark-[0-9a-f]{16}-")
_LATE = 0.005  # seconds that an answer may take, so that races show
_MAX_IMAGES = 300
_SIZES = (16, 40, 1000, 16_384, 16_385, 70_000, 300_000, 1_500_000, 6_000_000)


def marks_in(received: bytes) -> set[bytes]:
    return set(_MARK.findall(received))


@dataclass(frozen=True, slots=True)
class Repository:
    """Where content lies, and how upstream answers us there: 200, or what it refuses us with."""

    upstream: str
    name: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Item:
    """A manifest or a blob: a digest, its bytes, and the repositories of which it can be had."""

    kind: str
    digest: Digest
    body: bytes
    permitted: frozenset[tuple[str, str]]

    @property
    def marks(self) -> set[bytes]:
        return marks_in(self.body)


@dataclass(frozen=True, slots=True)
class Image:
    """An image under one tag in several repositories; some of them refuse us."""

    tag: str
    manifest: Item
    blobs: tuple[Item, ...]
    permitted: tuple[Repository, ...]
    refused: tuple[Repository, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        return (self.manifest, *self.blobs)


@dataclass(frozen=True)
class Jitter(Deed):
    """Answer a little late."""

    chance: random.Random

    async def before(self, wire: Wire) -> None:  # noqa: ARG002
        await asyncio.sleep(self.chance.uniform(0, _LATE))


@dataclass(frozen=True, slots=True)
class Asked:
    """What an upstream was asked, as far as promises are made about it."""

    method: str
    kind: str
    repository: str
    reference: str
    is_part: bool
    status: int


class CountingRegistry(FakeRegistry):
    """A registry that refuses some repositories, counts what it answers, and keeps no ledger: a run may take an hour."""

    def __init__(self, chance: random.Random, *, has_password: bool) -> None:
        super().__init__("password" if has_password else None)
        self.refused: dict[str, int] = {}
        self.asked: Counter[Asked] = Counter()
        self.misbehave("", Jitter(chance), even_unauthorized=True)  # a stream of its own: when it is drawn from, nobody knows

    def answer(self, entry: Entry) -> Reply:
        self.ledger.clear()
        status = self.refused.get(entry.repository)
        reply = error_reply(status, "DENIED") if status else super().answer(entry)
        reference = entry.query.get("scope", [""])[0] if entry.kind == "token" else entry.reference
        self.asked[Asked(entry.method, entry.kind, entry.repository, reference, "range" in entry.headers, reply.status)] += 1
        return reply


class ClaimingMirror(CountingRegistry):
    """A mirror that says yes to every HEAD about a blob or manifest, and has nothing."""

    def answer(self, entry: Entry) -> Reply:
        if entry.method != "HEAD" or entry.kind not in {"blobs", "manifests"}:
            return super().answer(entry)
        headers = (("Docker-Content-Digest", entry.reference), ("Content-Type", OCI_MANIFEST))
        return Reply(200, headers, length=CLAIMED)


@dataclass
class World:
    """Upstreams `open`, `pass`, `mirrored` and `closed`, and all that lies there."""

    chance: random.Random
    registries: dict[str, CountingRegistry] = field(default_factory=dict)
    mirror: ClaimingMirror | None = None
    repositories: list[Repository] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # by digest, of what is forgotten too
    _numbers: int = 0

    def may_have(self, upstream: str, name: str, reference: str) -> Item | None:
        """Give what a request may be answered with, if anything."""
        item = self.items.get(f"{upstream}/{name}:{reference}") or self.items.get(reference)
        return item if item is not None and (upstream, name) in item.permitted else None

    def listing(self, upstream: str, name: str) -> Item | None:
        """Give the list of tags of a repository, which has no mark in it, if we may have it."""
        is_permitted = Repository(upstream, name) in self.repositories
        return Item("tags", Digest.of(b""), b"", frozenset({(upstream, name)})) if is_permitted else None

    def grow(self) -> Image:
        """Add an image to some repositories that we may read, and to others that we may not."""
        chance = self.chance
        permitted = chance.sample([each for each in self.repositories if each.status == 200], chance.choice([1, 1, 2, 3]))
        refused = [each for each in self.repositories if each.status != 200 and chance.random() < 0.7]
        where = frozenset((each.upstream, each.name) for each in permitted)
        blobs = tuple(self._item("blobs", self._body(chance.choice(_SIZES)), where) for _ in range(chance.randint(1, 3)))
        config = self._item("blobs", json.dumps({"architecture": "amd64", "os": "linux", "x": self._mark().decode()}).encode(), where)
        manifest = self._item("manifests", self._manifest(config, blobs), where)
        self._numbers += 1
        image = Image(f"v{self._numbers}", manifest, (config, *blobs), tuple(permitted), tuple(refused))
        for each in (*permitted, *refused):
            self._put(each, image)
        self.images.append(image)
        if len(self.images) > _MAX_IMAGES:
            self._forget(self.images.pop(0))
        return image

    def _forget(self, image: Image) -> None:
        """Let go of what nobody asks for any more: an hour of it does not fit into memory."""
        for item in image.items:
            self.items.pop(str(item.digest), None)
        for each in (*image.permitted, *image.refused):
            self.items.pop(f"{each.upstream}/{each.name}:{image.tag}", None)
            held = self.registries[each.upstream].repositories[each.name]
            held.tags.pop(image.tag, None)
            held.manifests.pop(image.manifest.digest, None)
            for blob in image.blobs:
                held.blobs.pop(blob.digest, None)

    def _put(self, where: Repository, image: Image) -> None:
        registry = self.registries[where.upstream]
        registry.refused.update({where.name: where.status} if where.status != 200 else {})
        registry.add_manifest(where.name, image.manifest.body, OCI_MANIFEST, image.tag)
        for blob in image.blobs:
            registry.add_blob(where.name, blob.body)
        if where.status != 200:
            registry.set_tag(where.name, self._mark().decode(), image.manifest.digest)  # so is the name of a tag
        else:
            self.items[f"{where.upstream}/{where.name}:{image.tag}"] = image.manifest

    def _item(self, kind: str, body: bytes, permitted: frozenset[tuple[str, str]]) -> Item:
        item = Item(kind, Digest.of(body), body, permitted)
        self.items[str(item.digest)] = item
        self.sizes[str(item.digest)] = len(body)
        return item

    def _manifest(self, config: Item, layers: Sequence[Item]) -> bytes:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": str(config.digest), "size": len(config.body)},
            "layers": [{"mediaType": OCI_LAYER, "digest": str(item.digest), "size": len(item.body)} for item in layers],
            "annotations": {"mark": self._mark().decode()},
        }
        return json.dumps(document).encode()

    def _mark(self) -> bytes:
        return b"mark-%016x-" % self.chance.getrandbits(64)

    def _body(self, size: int) -> bytes:
        """Make lines that all have the same mark, so that every part of 50 bytes shows it."""
        mark = self._mark()
        body = (mark * (size // len(mark) + 1))[:size]
        return body if size > 16 else mark[5:-1]  # the smallest shows no mark, its status tells

    def document(self) -> dict[str, object]:
        """Write the upstreams as the configuration has them."""
        tags = [{"match": "*", "fresh_for": f"{FRESH_FOR}s", "missing_for": "1s", "stale_for": "1h"}]
        known = {"username": "user", "password": "canary-password"}
        urls = {name: registry.url for name, registry in self.registries.items()}
        assert self.mirror is not None
        return {
            "open.test": {"hosts": [{"url": urls["open.test"]}], "tags": tags, "serve_as": ["open.cache"], "aliases": ["alias.test"]},
            "pass.test": {"hosts": [{"url": urls["pass.test"], "credentials": known}], "tags": tags, "serve_as": ["pass.cache"]},
            "mirrored.test": {"hosts": [{"url": self.mirror.url, "trust": ["pull"]}, {"url": urls["mirrored.test"]}], "tags": tags},
            "closed.test": {"hosts": [{"url": urls["closed.test"]}], "tags": tags},
        }


REPOSITORIES = (
    Repository("open.test", "library/app"),
    Repository("open.test", "team/tool"),
    Repository("open.test", "hidden/a", 404),
    Repository("open.test", "hidden/b", 403),
    Repository("pass.test", "team/app"),
    Repository("pass.test", "team/site"),
    Repository("pass.test", "hidden/a", 401),
    Repository("pass.test", "hidden/b", 403),
    Repository("pass.test", "hidden/c", 404),
    Repository("mirrored.test", "library/base"),
    Repository("mirrored.test", "hidden/a", 404),
    Repository("mirrored.test", "hidden/b", 403),
    Repository("closed.test", "library/app", 401),  # we have no password there
    Repository("closed.test", "team/app", 401),
)


@asynccontextmanager
async def world(run: Run, images: int) -> AsyncIterator[World]:
    """Start the upstreams, with some images in them."""
    jitter = run.random("jitter")
    made = World(run.random("world"), repositories=list(REPOSITORIES))
    async with AsyncExitStack() as stack:
        for name in ("open.test", "pass.test", "mirrored.test", "closed.test"):
            registry = CountingRegistry(jitter, has_password=name in {"pass.test", "closed.test"})
            made.registries[name] = await stack.enter_async_context(registry)
        made.mirror = await stack.enter_async_context(ClaimingMirror(jitter, has_password=False))
        for _ in range(images):
            made.grow()
        yield made
