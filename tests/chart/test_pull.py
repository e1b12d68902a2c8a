"""What `helm test` runs."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fakes.authority import Authority
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, rig

from .chart import CHART, Rendered

IMAGE = "docker.io/library/app:1"
TOKEN = "canary-of-the-test"
SECRETS = {
    "of the registry": {"docker.io": TOKEN, "quay.io": "x"},
    "of the registry, as docker writes it": {"https://index.docker.io/v1/": TOKEN, "quay.io": "x"},
    "of the cache": {"{cache}": TOKEN, "quay.io": "x"},
    "the only one": {"regproxy.example": TOKEN},
}


async def _pulled(endpoint: str, image: str, *options: str | Path) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(_pull, endpoint, image, *options)


def _pull(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [sys.executable, CHART / "files" / "pull.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _written(folder: Path, passwords: dict[str, str]) -> Path:
    """Write a Secret's file, as `kubectl create secret docker-registry` makes it."""
    path = folder / ".dockerconfigjson"
    path.write_text(json.dumps({"auths": {name: {"username": "ci", "password": password} for name, password in passwords.items()}}))
    return path


@pytest.fixture
def clients(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tokens.yaml").write_text(yaml.safe_dump({"ci": {"token": TOKEN, "allow": ["docker.io/library/*"]}}))
    return {"tokens": str(tmp_path / "tokens.yaml")}


async def test_n15_01_helm_test_says_in_a_line_what_came_or_why_nothing_did(tmp_path: Path, upstream: FakeRegistry) -> None:
    upstream.add_image("library/app", "1", [b"layer", b"other"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        endpoint = f"http://{LOOPBACK}:{proxy.port}"
        done = await _pulled(endpoint, IMAGE)
        assert (done.returncode, "3 blobs" in done.stdout) == (0, True), done.stderr
        done = await _pulled(endpoint, "docker.io/library/app:2")
        assert done.returncode == 1
        assert done.stderr.startswith("/v2/library/app/manifests/2: 404 from ")
        assert "Traceback" not in done.stderr
    done = await _pulled(endpoint, IMAGE)
    assert (done.returncode, "does not answer" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


async def test_n15_01_helm_test_shows_the_credential_of_its_secret(tmp_path: Path, upstream: FakeRegistry, clients: dict[str, str]) -> None:
    upstream.add_image("library/app", "1", [b"layer", b"other"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, clients=clients) as proxy:
        endpoint = f"http://{LOOPBACK}:{proxy.port}"
        for name, passwords in SECRETS.items():
            secret = _written(tmp_path, {key.format(cache=f"{LOOPBACK}:{proxy.port}"): value for key, value in passwords.items()})
            done = await _pulled(endpoint, IMAGE, "--docker-config", secret)
            assert (done.returncode, "as ci: 3 blobs" in done.stdout) == (0, True), f"{name}: {done.stderr}"
            assert TOKEN not in done.stdout
        refusals = {
            "is missing: name a Secret": await _pulled(endpoint, IMAGE),
            "is not accepted": await _pulled(endpoint, IMAGE, "--docker-config", _written(tmp_path, {"docker.io": "wrong"})),
            "is for gcr.io, quay.io": await _pulled(
                endpoint, IMAGE, "--docker-config", _written(tmp_path, {"gcr.io": "x", "quay.io": "x"})
            ),
        }
        for words, done in refusals.items():
            assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


async def test_n15_01_helm_test_shows_it_to_the_cache_with_the_certificate_of_the_release_alone(
    tmp_path: Path, upstream: FakeRegistry, clients: dict[str, str]
) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    authority = Authority(tmp_path)
    own, other = authority.issue("regproxy.example"), authority.issue("other")
    tls = {"certificate": str(own.certificate), "key": str(own.key)}
    secret = _written(tmp_path, {"docker.io": TOKEN})
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, clients=clients, tls=tls) as proxy:
        endpoint = f"https://localhost:{proxy.port}"
        done = await _pulled(endpoint, IMAGE, "--docker-config", secret, "--certificate", own.certificate)
        assert (done.returncode, "2 blobs" in done.stdout) == (0, True), done.stderr
        done = await _pulled(endpoint, IMAGE, "--docker-config", secret, "--certificate", other.certificate)
        assert (done.returncode, "CERTIFICATE_VERIFY_FAILED" in done.stderr) == (1, True)


def test_n15_01_the_pod_of_helm_test_has_the_secret_and_no_key() -> None:
    [plain] = Rendered({"mode": "cluster"}).pods()["Pod/rp-regproxy-test"]["containers"]
    assert [word for word in plain["command"] if word.startswith("--")] == []
    pod = Rendered({"test": {"existingSecret": "hub"}, "tls": {"existingSecret": "tls"}}).pods()["Pod/rp-regproxy-test"]
    [container] = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume.get("secret") for volume in pod["volumes"]}
    assert container["command"][-2:] == [
        f"--docker-config={mounted['credentials']}/.dockerconfigjson",
        f"--certificate={mounted['certificate']}/tls.crt",
    ]
    assert volumes["credentials"] == {"secretName": "hub"}
    assert volumes["certificate"] == {"secretName": "tls", "items": [{"key": "tls.crt", "path": "tls.crt"}]}
