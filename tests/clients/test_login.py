"""Clients log in to a regproxy that asks who they are, each by its own command."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest

from tests.canary import found_below

from .conftest import Folders
from .docker import Docker
from .go_programs import go_program
from .images import Images
from .programs import program
from .proxy import HUB
from .registry import Registry
from .server import Server
from .tokens import TokenService

USER, PASSWORD = "ann", "canary:with@signs"


class Login(NamedTuple):
    """What logs in, and what then pulls."""

    login: Callable[[str, str, Path], Sequence[str | Path]]
    pull: Callable[[str, str, Path], Sequence[str | Path]]


def _skopeo(verb: str, *more: str | Path) -> list[str | Path]:
    return [program("skopeo", "skopeo"), verb, *more]


CLIENTS = {
    "skopeo": Login(
        lambda host, password, _: _skopeo("login", "--tls-verify=false", "-u", USER, "-p", password, host),
        lambda host, image, _: _skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{image}"),
    ),
    "podman": Login(
        lambda host, password, _: [program("podman", "podman"), "login", "--tls-verify=false", "-u", USER, "-p", password, host],
        lambda host, image, folder: [
            *(program("podman", "podman"), "--root", folder / "root", "--runroot", f"/tmp/rp-run-{os.getpid()}", "--storage-driver", "vfs"),
            *("search", "--list-tags", "--tls-verify=false", f"{host}/{image.rpartition(':')[0]}"),
        ],
    ),
    "crane": Login(
        lambda host, password, _: [go_program("crane"), "auth", "login", host, "-u", USER, "-p", password],
        lambda host, image, _: [go_program("crane"), "manifest", "--insecure", f"{host}/{image}"],
    ),
    "helm": Login(
        lambda host, password, _: [go_program("helm"), "registry", "login", "--plain-http", host, "-u", USER, "-p", password],
        lambda host, image, _: [go_program("helm"), "show", "chart", "--plain-http", f"oci://{host}/{image.rpartition(':')[0]}"],
    ),
    "oras": Login(
        lambda host, password, _: [go_program("oras"), "login", "--plain-http", host, "-u", USER, "-p", password],
        lambda host, image, _: [go_program("oras"), "manifest", "fetch", "--plain-http", f"{host}/{image}"],
    ),
}
_STORES_ONLY = {"crane"}  # whether the password is right it finds out later
_PULLS_OTHER_THINGS = {"helm"}  # an image is no chart


@pytest.fixture(scope="module")
def server(folder: Folders, registry: Registry, tokens: TokenService) -> Iterator[Server]:
    place = folder("login")
    (place / "htpasswd").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    upstream = {"hosts": [{"url": registry.url}], "realms": [tokens.authority]}
    server = Server(place, {HUB: upstream}, clients={"htpasswd": str(place / "htpasswd")}, workers=2)
    server.start()
    yield server
    server.stop()
    assert found_below(place) == []


def ran(command: Sequence[str | Path], folder: Path) -> tuple[bool, str]:
    """Run a client with a home of its own; return whether it succeeded, and what it said."""
    environment = {"HOME": str(folder), "DOCKER_CONFIG": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    environment |= {"REGISTRY_AUTH_FILE": str(folder / "auth.json")} if "podman" in str(command[0]) or "skopeo" in str(command[0]) else {}
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CLIENTS)
def test_n16_01_a_client_logs_in_and_pulls(name: str, server: Server, images: Images, tmp_path: Path) -> None:
    client, image = CLIENTS[name], images.library.name
    pull = client.pull(server.authority, image, tmp_path)
    assert not ran(pull, tmp_path)[0], "nobody is served"
    is_in, said = ran(client.login(server.authority, "wrong", tmp_path), tmp_path)
    assert is_in == (name in _STORES_ONLY), said
    assert not ran(pull, tmp_path)[0], "nor is a wrong password"
    is_in, said = ran(client.login(server.authority, PASSWORD, tmp_path), tmp_path)
    assert is_in, said
    is_served, said = ran(pull, tmp_path)
    assert is_served or (name in _PULLS_OTHER_THINGS and "unauthorized" not in said.lower() and "401" not in said), said


def test_n16_01_docker_logs_in_and_pulls(server: Server, folder: Folders, docker: Docker) -> None:
    for password, is_right in (("wrong", False), (PASSWORD, True)):
        done = subprocess.run(
            [docker._docker, "--host", docker._host, "login", "-u", USER, "--password-stdin", server.authority],
            env=os.environ | {"DOCKER_CONFIG": str(folder(f"docker-login-{password[:5]}"))},
            input=password,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode == 0) == is_right, done.stderr
        assert json.dumps(done.stderr).find("canary") < 0
