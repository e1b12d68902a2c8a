"""docker-registry tells what was pushed to it, by its own notifications: the tag that was fresh for a week means the new image."""

import asyncio
import hashlib
import json
from pathlib import Path

import aiohttp
import yaml

from tests.clients.processes import Daemon, is_listening
from tests.clients.programs import program
from tests.free_port import free_port
from tests.rig import LOOPBACK, rig
from tests.warming.test_jobs import until

SECRET = "canary-of-a-hook-0123456789"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


async def push(session: aiohttp.ClientSession, url: str, content: bytes) -> str:
    """Push an image without layers whose config is *content*; return its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    async with session.post(f"{url}/v2/library/app/blobs/uploads/") as begun:
        location = begun.headers["Location"]
    async with session.put(f"{location}&digest={digest}", data=content) as pushed:
        assert pushed.status == 201
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(content), "digest": digest}
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}).encode()
    async with session.put(f"{url}/v2/library/app/manifests/1", data=body, headers={"Content-Type": MANIFEST}) as pushed:
        assert pushed.status == 201
        return pushed.headers["Docker-Content-Digest"]


async def test_n18_10_a_push_to_docker_registry_is_known_at_once(tmp_path: Path) -> None:
    serve = program("docker-registry", "docker-registry")
    port = free_port()
    name, url = f"{LOOPBACK}:{port}", f"http://{LOOPBACK}:{port}"
    upstreams = {name: {"hosts": [{"url": url}], "tags": [{"fresh_for": "7d"}]}}
    async with rig(tmp_path / "store", upstreams, hooks=[{"source": "distribution", "secret": SECRET}]) as proxy:
        there = {
            "name": "regproxy",
            "url": f"http://{LOOPBACK}:{proxy.admin_port}/hooks/distribution",
            "headers": {"Authorization": [SECRET]},
            "timeout": "10s",
            "threshold": 5,
            "backoff": "1s",
        }
        configuration = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "content")}},
            "http": {"addr": name, "secret": "not secret"},
            "notifications": {"endpoints": [there]},
        }
        (tmp_path / "registry.yml").write_text(yaml.safe_dump(configuration))
        daemon = Daemon([serve, "serve", tmp_path / "registry.yml"], tmp_path / "registry.out")
        await asyncio.to_thread(daemon.start, lambda: is_listening(port))
        try:
            first = await push(proxy.session, url, b'{"one": 1}')

            async def means(digest: str) -> bool:
                answer = await proxy.ask(f"/v2/library/app/manifests/1?ns={name}")
                return answer.headers.get("Docker-Content-Digest") == digest

            assert await means(first)
            second = await push(proxy.session, url, b'{"two": 2}')
            await until(lambda: means(second))
        finally:
            await asyncio.to_thread(daemon.stop)
