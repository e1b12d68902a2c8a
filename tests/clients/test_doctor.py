"""`regproxy doctor --pull` has real runtimes pull what the cache alone has."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .buildkit import BuildKit
from .configured import write_configuration
from .conftest import Folders
from .containerd import Containerd
from .docker import Docker
from .go_programs import go_program
from .programs import SEARCHED, program
from .proxy import HUB, Proxy
from .registry import Registry

CERTS = "etc/containerd/certs.d"


class Node:
    """A file system as `doctor` reads it, and the socket of the containerd that reads its hosts.toml files."""

    def __init__(self, folder: Path, find: Callable[[str], Path]) -> None:
        self.root = folder / "root-of-host"
        (self.root / CERTS).mkdir(parents=True)
        (self.root / "etc/containerd/config.toml").write_text(
            f'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/{CERTS}"\n'
        )
        self.containerd = Containerd(folder, find, self.root / CERTS)


def of_debian(name: str) -> Path:
    return program(name, "containerd")


@pytest.fixture(scope="module", params=["1.6", "2"])
def node(request: pytest.FixtureRequest, folder: Folders) -> Iterator[Node]:
    found = Node(folder(f"doctor-{request.param}"), go_program if request.param == "2" else of_debian)
    found.containerd.start()
    yield found
    found.containerd.stop()


def doctor(*words: str | Path, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run it, and return what it told of the one runtime."""
    command = [sys.executable, "-m", "regproxy", "doctor", *words, "--pull", "--json"]
    path = os.pathsep.join([*(str(go_program(name).parent) for name in ("crictl", "buildctl")), SEARCHED])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path, **(env or {})}, check=False)
    assert done.returncode in {0, 1}, done.stderr
    [found] = json.loads(done.stdout)["runtimes"]
    assert (done.returncode == 1) == bool(found["findings"])
    told: dict[str, Any] = found
    return told


def test_n15_04_containerd_pulls_what_the_cache_alone_has(node: Node, proxy: Proxy, registry: Registry) -> None:
    write_configuration("containerd", node.root, proxy.url)
    asked = len(registry.requests())
    words: list[str | Path] = ["containerd", "--root", node.root, "--socket", node.containerd.socket, "--runtime-version", "2.4.2"]
    told = doctor(*words)
    assert told["findings"] == [], told["findings"][0]["what"]
    assert any("crictl pulled docker.io/regproxy-doctor/" in note for note in told["notes"])
    assert len(registry.requests()) == asked
    assert "regproxy-doctor" not in node.containerd.ctr("--namespace=k8s.io", "images", "list")


def test_n15_04_containerd_that_goes_around_cannot_pull_it(node: Node, proxy: Proxy, registry: Registry) -> None:
    """What its files say is right, and is not what it was started with."""
    name = registry.url.removeprefix("http://")
    around = node.root / CERTS / name / "hosts.toml"
    around.parent.mkdir()
    around.write_text(f'server = "{registry.url}"\n[host."{registry.url}"]\n')
    written = node.root.parent / "written"
    (written / "etc").mkdir(parents=True)
    write_configuration("containerd", written, proxy.url, "--registry", name)
    (written / "etc/containerd/config.toml").write_text((node.root / "etc/containerd/config.toml").read_text())
    told = doctor("containerd", "--root", written, "--socket", node.containerd.socket, "--runtime-version", "2.4.2")
    [finding] = told["findings"]
    assert finding["code"] == "pull-around"
    assert f"crictl could not pull {name}/regproxy-doctor/" in finding["what"]
    around.unlink()


def test_n15_04_docker_pulls_what_the_cache_alone_has(docker: Docker, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    write_configuration("docker", tmp_path, proxy.url)
    told = doctor("docker", "--root", tmp_path, "--socket", docker.socket)
    assert told["findings"] == [], told["findings"][0]["what"]
    assert any("docker pulled docker.io/regproxy-doctor/" in note for note in told["notes"])


def test_n15_04_podman_pulls_what_the_cache_alone_has(proxy: Proxy, folder: Folders, tmp_path: Path) -> None:
    program("podman", "podman")
    (tmp_path / "etc").mkdir()
    write_configuration("podman", tmp_path, proxy.url, "--registry", HUB)
    own = folder("doctor-podman")
    (own / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{own}/root"\nrunroot = "{own}/run"\n')
    (own / "containers.conf").write_text(f'[engine]\ntmp_dir = "{own}/tmp"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n')
    env = {
        "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "etc/containers/registries.conf.d/regproxy.conf"),
        "CONTAINERS_STORAGE_CONF": str(own / "storage.conf"),
        "CONTAINERS_CONF": str(own / "containers.conf"),
        "HOME": str(own),
    }
    told = doctor("podman", "--root", tmp_path, env=env)
    assert told["findings"] == [], told["findings"][0]["what"]
    assert any("podman pulled docker.io/regproxy-doctor/" in note for note in told["notes"])


def test_n15_04_buildkit_builds_from_what_the_cache_alone_has(buildkit: BuildKit, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    write_configuration("buildkit", tmp_path, proxy.url)
    told = doctor("buildkit", "--root", tmp_path, "--socket", buildkit.socket)
    assert told["findings"] == [], told["findings"][0]["what"]
    assert any("buildctl pulled docker.io/regproxy-doctor/" in note for note in told["notes"])


def test_n15_04_nothing_is_pulled_where_no_client_is(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    write_configuration("docker", tmp_path, proxy.url)
    told = doctor("docker", "--root", tmp_path, env={"PATH": str(tmp_path)})
    assert [each["code"] for each in told["findings"]] == ["no-client"]
