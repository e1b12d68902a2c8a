"""A store as the page shows one: images of several platforms, a download in progress, and what a hostile upstream calls its platform."""

import json

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.manifest import OCI_INDEX
from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

HOSTILE = '<img src=x onerror="console.error(1)">'
BLOB = b"layer" * 1_000_000


async def pull(proxy: Rig, repository: str, tag: str) -> None:
    answer = await proxy.ask(f"/v2/{repository}/manifests/{tag}")
    assert answer.status == 200
    document = json.loads(answer.body)
    for entry in document.get("manifests", ()):
        await pull(proxy, repository, entry["digest"])
    for entry in (document["config"], *document["layers"]) if "layers" in document else ():
        assert (await proxy.ask(f"/v2/{repository}/blobs/{entry['digest']}")).status == 200


def index_of(one: Descriptor, platform: dict[str, str], name: str) -> bytes:
    """Write the index of one image."""
    entry = {"mediaType": one.media_type, "digest": str(one.digest), "size": one.size, "platform": platform}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], "annotations": {"of": name}}).encode()


async def filled(proxy: Rig, upstream: FakeRegistry, count: int = 30) -> None:
    """Pull *count* plain images, one for two platforms, and one whose upstream is hostile."""
    for number in range(count):
        upstream.add_image("library/app", f"1.{number}", [b"%d" % number * 1000])
        await pull(proxy, "library/app", f"1.{number}")
        if number % 3 == 0:
            proxy.history.take()
    one = upstream.add_image("team/tool", None, [b"tool" * 100_000])
    for name, platform in (
        ("tool", {"os": "linux", "architecture": "arm64", "variant": "v8"}),
        ("hostile", {"os": HOSTILE, "architecture": "x"}),
    ):
        upstream.add_manifest("team/tool", index_of(one, platform, name), OCI_INDEX, name)
        await pull(proxy, "team/tool", name)
    await proxy.settled()


def stalled(upstream: FakeRegistry) -> tuple[str, Stall]:
    """Let a blob of 5 MB come halfway; return its path, and what holds it up."""
    digest = upstream.add_blob("library/app", BLOB)
    stall = Stall(2_500_000)
    upstream.misbehave(on("GET", f"/blobs/{digest}"), stall)
    return f"/v2/library/app/blobs/{digest}", stall
