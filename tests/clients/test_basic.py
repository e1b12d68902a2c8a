"""A docker-registry that wants a password with every request (htpasswd, Basic), as small private ones do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.rig import rig

from .images import Images
from .processes import Daemon, is_listening
from .programs import program
from .registry import Registry
from .tokens import PASSWORD, USERNAME

_BCRYPT = "$2b$04$xRHtoqCKVXHmD6NteGoVCeOVrXqnAfaPNw6c0f6UiwK1Sw3wTffyi"  # of PASSWORD


@pytest.fixture
def guarded(tmp_path: Path, registry: Registry) -> Iterator[str]:
    """Serve what the other registry holds, to those who know the password."""
    port = free_port()
    (tmp_path / "htpasswd").write_text(f"{USERNAME}:{_BCRYPT}\n")
    configuration = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(registry.content)}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "not secret"},
        "auth": {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(configuration))
    daemon = Daemon([program("docker-registry", "docker-registry"), "serve", tmp_path / "registry.yml"], tmp_path / "registry.log")
    daemon.start(lambda: is_listening(port))
    yield f"http://127.0.0.1:{port}"
    daemon.stop()


async def test_an_image_behind_basic_authentication_is_pulled_whole(guarded: str, images: Images, tmp_path: Path) -> None:
    image = images.private
    host = {"url": guarded, "credentials": {"username": USERNAME, "password": PASSWORD}}
    async with rig(tmp_path / "store", {"registry.test": {"hosts": [host]}}) as proxy:
        pulled = await proxy.ask(f"/v2/{image.repository}/manifests/{image.reference}")
        assert (pulled.status, pulled.body) == (200, image.top.body)
        for blob in image.blobs:
            answer = await proxy.ask(f"/v2/{image.repository}/blobs/{blob.digest}")
            assert (answer.status, answer.body) == (200, blob.body)


@pytest.mark.parametrize("password", [None, "wrong"], ids=["no password", "a wrong one"])
async def test_without_the_password_it_is_refused_in_words(guarded: str, images: Images, tmp_path: Path, password: str | None) -> None:
    host: dict[str, object] = {"url": guarded}
    if password is not None:
        host["credentials"] = {"username": USERNAME, "password": password}
    async with rig(tmp_path / "store", {"registry.test": {"hosts": [host]}}) as proxy:
        answer = await proxy.ask(f"/v2/{images.private.repository}/manifests/1")
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (403, False)
    assert json.loads(answer.body)["errors"][0]["code"] == "DENIED"
