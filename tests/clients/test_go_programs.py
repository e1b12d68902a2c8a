"""What `make clients` builds runs, and pulls through the proxy."""

import subprocess
from pathlib import Path

import pytest

from tests.free_port import free_port

from .client import Client
from .go_programs import MODULES, go_program
from .images import Images
from .processes import Daemon, is_listening, run
from .proxy import Proxy


@pytest.mark.parametrize("name", [name for module in MODULES for name in module.programs if name != "conformance"])
def test_n13_02_a_program_says_what_it_is(name: str) -> None:
    words = dict.fromkeys(("cosign", "crane", "helm", "oras", "regctl"), "version")
    words["containerd-shim-runc-v2"] = "-v"
    said = subprocess.run([go_program(name), words.get(name, "--version")], capture_output=True, text=True, check=True)
    assert (said.stdout + said.stderr).strip()


def test_n13_02_the_registry_of_today_serves(tmp_path: Path) -> None:
    port = free_port()
    config = {"version": 0.1, "http": {"addr": f"127.0.0.1:{port}"}, "storage": {"inmemory": {}}}
    (tmp_path / "registry.yml").write_text(str(config).replace("'", '"'))
    registry = Daemon([go_program("registry"), "serve", tmp_path / "registry.yml"], tmp_path / "log", {"OTEL_TRACES_EXPORTER": "none"})
    registry.start(lambda: is_listening(port))
    registry.stop()


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("crane", "pull", "--insecure", "{image}", "{folder}/image.tar"), id="crane"),
        pytest.param(("oras", "copy", "--from-plain-http", "--to-oci-layout", "{image}", "{folder}/layout:1"), id="oras"),
        pytest.param(("regctl", "--host", "reg={proxy},tls=disabled", "image", "copy", "{image}", "ocidir://{folder}/dir:1"), id="regctl"),
    ],
)
def test_n13_02_a_client_without_a_daemon_pulls(command: tuple[str, ...], proxy: Proxy, images: Images, tmp_path: Path) -> None:
    image = images.hello.at(proxy.authority)
    words = [word.format(image=image, folder=tmp_path, proxy=proxy.authority) for word in command[1:]]
    run([go_program(command[0]), *words], {"HOME": str(tmp_path)})
    assert any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_n13_02_containerd_of_today_pulls_and_runs(containerd_2_by_default: Client, images: Images) -> None:
    containerd_2_by_default.pull(images.hello)
    containerd_2_by_default.check(images.hello)
    containerd_2_by_default.forget()
