"""Row S26 for credentials that end: a whole program at DEBUG, a cloud and a provider that tell all they know to whoever listens."""

import asyncio
import json
import os
import time
from pathlib import Path

from tests.canary import told
from tests.fakes.clouds.aws import FakeAws
from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
CANARIES = "canary-cloud-secret-key canary-issued-1 canary-imds-session"


def _provider(tmp_path: Path) -> str:
    """Install a provider that prints secrets beside its response."""
    auth = {"*": {"username": "AWS", "password": "canary-issued-1"}}
    said = {"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse", "cacheKeyType": "Registry"}
    path = tmp_path / "provider"
    path.write_text(f"#!/bin/sh\necho {CANARIES} $KEY >&2\nset >&2\ncat >&2\necho '{json.dumps({**said, 'auth': auth})}'\n")
    path.chmod(0o755)
    return str(path)


async def test_n19_01_no_secret_of_a_cloud_or_a_provider_is_told_anywhere(tmp_path: Path) -> None:
    async with FakeRegistry("basic", username="AWS", password="canary-issued-1") as registry, FakeAws(time.time) as aws:
        registry.add_image(NAME, "1", [b"layer"])
        instance = {"identity": "instance", "region": aws.region, "endpoint": aws.url, "metadata_endpoint": aws.url}
        hosts = [{"url": registry.url}]
        upstreams = {
            "docker.io": {"hosts": hosts, "credentials": {"ecr": instance}},
            "provided": {"hosts": hosts, "credentials": {"provider": {"command": _provider(tmp_path), "env": {"KEY": "${CLOUD}"}}}},
            "refused": {"hosts": hosts, "credentials": {"ecr": {**instance, "region": "us-east-1"}}},
            "keys": {"hosts": hosts, "credentials": {"ecr": {"identity": "keys", "region": aws.region, "endpoint": aws.url}}},
        }
        echo = Status(400, {"X": CANARIES}, json.dumps({"__type": "canary-issued-1", "message": CANARIES, "Code": CANARIES}).encode())
        environment = {"CLOUD": "canary-env", "AWS_ACCESS_KEY_ID": "AKIDWRONG", "AWS_SECRET_ACCESS_KEY": "canary-cloud-secret-key"}
        program = Program(tmp_path, upstreams, env=environment, log_level="debug")
        found: list[str] = []
        async with program.running():
            for name in ("docker.io", "provided"):
                asked = [program.ask(f"/v2/{NAME}/manifests/1?ns={name}") for _ in range(20)]
                assert {status for status, _ in await asyncio.gather(*asked)} == {200}
            assert len(aws.issued) == 1, "all workers share one"
            aws.misbehave(on("POST"), echo)
            for name in ("refused", "keys"):
                status, body = await program.ask(f"/v2/{NAME}/manifests/1?ns={name}")
                assert status == 502
                assert b"Amazon ECR in" in body
                found.append(body.decode())

            async def is_named() -> bool:
                return "credentials of refused" in (await program.admin("/readyz"))[1]

            await program.until(is_named)
            paths = ("/readyz", "/metrics", "/api/v1/upstreams", f"/api/v1/explain?image=refused/{NAME}:1", "/")
            found += [(await program.admin(path))[1] for path in paths]
        log = program.log()
        assert "credential not issued" in log
        assert [text for text in map(told, [*found, log]) if text] == []
        foreign = {entry.headers.get("authorization", "") for entry in registry.ledger}
        assert all(told(header) is None or header.startswith("Basic QVdTOmNhbmFyeS1pc3N1ZWQt") for header in foreign)
    assert os.environ.get("CLOUD") is None
