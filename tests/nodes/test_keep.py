"""The real program on a node, with what really writes: files are as they were wherever the cache is gone."""

import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.clients.processes import Daemon, is_listening
from tests.fakes.authority import Authority
from tests.free_port import free_port

REGPROXY = (sys.executable, "-m", "regproxy")
FOREIGN = '# made by hand\nserver = "https://quay.io"\n\n[host."https://mirror.internal"]\n  capabilities = ["pull"]\n'


def _cache(folder: Path, port: int, **more: object) -> Daemon:
    config = folder / "regproxy.yaml"
    listening = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{free_port()}", "workers": 1, "drain": "0s"}
    config.write_text(yaml.safe_dump({**listening, "store": {"root": str(folder / "store")}, **more}))
    return Daemon([*REGPROXY, "serve", "--config", config], folder / "regproxy.log")


def _node(folder: Path) -> Path:
    root = folder / "certs.d"
    (root / "quay.io").mkdir(parents=True)
    (root / "quay.io" / "hosts.toml").write_text(FOREIGN)
    return root


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _says(state: Path, word: str) -> Callable[[], bool]:
    return lambda: state.exists() and state.read_text() == f"{word}\n"


def test_n15_01_a_node_is_configured_while_the_cache_answers_and_no_longer(tmp_path: Path) -> None:
    root, state, port = _node(tmp_path), tmp_path / "state", free_port()
    before = _files(root)
    authority = Authority(tmp_path)
    pair = authority.issue("cache")
    cache = _cache(tmp_path, port, tls={"certificate": str(pair.certificate), "key": str(pair.key)})
    options = [f"--root={root}", f"--endpoint=https://HOST_IP:{port}", f"--ca={authority.ca}", "--silence=1", f"--state={state}"]
    agent = Daemon([*REGPROXY, "node-config", "keep", "containerd", *options], tmp_path / "agent.log", {"HOST_IP": "127.0.0.1"})
    agent.start(_says(state, "withdrawn"))  # whatever an earlier agent left: nothing, and no cache answers
    assert _files(root) == before
    cache.start(lambda: is_listening(port))
    _wait(_says(state, "applied"))
    found = tomllib.loads((root / "_default" / "hosts.toml").read_text())["host"][f"https://127.0.0.1:{port}"]
    assert (root / "_default" / found["ca"]).read_bytes() == authority.ca.read_bytes()
    cache.stop()
    _wait(_says(state, "withdrawn"))
    assert _files(root) == before
    agent.stop()


def test_n15_01_a_node_is_undone_and_says_so(tmp_path: Path) -> None:
    root, state, port = _node(tmp_path), tmp_path / "state", free_port()
    before = _files(root)
    cache = _cache(tmp_path, port)
    cache.start(lambda: is_listening(port))
    options = [f"--root={root}", f"--endpoint=http://127.0.0.1:{port}", "--registry=quay.io", f"--state={state}", "--ca=/none"]
    agent = Daemon([*REGPROXY, "node-config", "keep", "containerd", *options], tmp_path / "agent.log")
    agent.start(_says(state, "applied"))
    assert f"http://127.0.0.1:{port}" in (root / "quay.io" / "hosts.toml").read_text()
    agent.stop()
    undo = Daemon([*REGPROXY, "node-config", "undo", "containerd", f"--root={root}", f"--state={state}"], tmp_path / "undo.log")
    undo.start(_says(state, "undone"))
    undo.stop()
    assert _files(root) == before
    cache.stop()
