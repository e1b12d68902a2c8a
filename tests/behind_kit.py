"""Caches that share a bucket."""

import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from obstore.store import MemoryStore

from regproxy.behind import documents
from regproxy.behind.documents import Signer
from regproxy.behind.health import Health
from regproxy.behind.tier import ObjectTier
from regproxy.best_effort import BestEffortStore
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store import objects
from regproxy.policy.store.pieces import PieceSums, hash_of, piece_size
from tests.fakes.bucket import FakeBucket
from tests.rig import Answer, Rig, rig

KEY, OTHER_KEY = "canary 0123456789abcdefghijklmnop", "canary other 0123456789abcdefghij"
REGION = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "canary-of-the-bucket", "AWS_REGION": "us-east-1"}
os.environ.update(REGION)  # as each cloud does it


def behind(url: str, **settings: object) -> dict[str, object]:
    """Write the settings of a store with the bucket at *url* behind it."""
    return {"behind": {"url": "s3://bucket/regproxy", "endpoint": url, "key": KEY, **settings}}


@asynccontextmanager
async def replica(root: Path, upstream: object, bucket: FakeBucket | str, **settings: object) -> AsyncIterator[Rig]:
    """Run a cache with a disk of its own."""
    url = bucket if isinstance(bucket, str) else bucket.url
    async with rig(root, {"docker.io": upstream}, store=behind(url, **settings), reconfirm_after="1h") as proxy:
        yield proxy


async def pull(proxy: Rig, name: str, tag: str) -> tuple[list[int], list[bytes]]:
    """Pull an image as a client does; return the statuses, and the bodies that came whole."""
    answer = await proxy.ask(f"/v2/{name}/manifests/{tag}")
    if answer.status != 200:
        return [answer.status], []
    answers = [answer, *[await proxy.ask(f"/v2/{name}/blobs/{digest}") for digest in digests(answer)]]
    return [each.status for each in answers], [each.body for each in answers[1:] if each.is_whole]


def digests(manifest: Answer) -> Sequence[str]:
    """List what an image consists of, its config last."""
    document = json.loads(manifest.body)
    return [each["digest"] for each in (*document["layers"], document["config"])]


class NoStore(BestEffortStore):
    """A store that is not asked: nothing is found behind the index."""

    def __init__(self) -> None:
        """Forward to nobody."""


async def _nothing(_: Digest) -> None:
    """Repair nothing: nothing is wrong."""


def tier() -> ObjectTier:
    """Return what reads an object store in which nothing is yet."""
    memory = MemoryStore()
    return ObjectTier(Bucket(memory, memory, "memory"), signer(), Health(time.monotonic), _nothing)


async def put_blob(found: ObjectTier, repository: Repository, body: bytes) -> None:
    """Let *repository* hold a blob of one piece there."""
    digest = Digest.of(body)
    sums = PieceSums(len(body), piece_size(len(body)), hash_of(body))
    link = objects.link("blob", repository, digest)
    await found.store.put(objects.blob(digest), body)
    for path, document in (
        (objects.sums(digest), documents.sums_document(sums)),
        (link, documents.link_document(Descriptor("application/octet-stream", digest, len(body)))),
    ):
        await found.store.put(path, signer().signed(path, document))


def signer(keys: str = KEY) -> Signer:
    return Signer(keys, lambda: 1_785_585_600.0)
