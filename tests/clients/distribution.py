"""distribution 3, open to everyone: a registry to push to, as the one that a cache stands before."""

import json
from pathlib import Path

from tests.free_port import free_port

from .go_programs import go_program
from .processes import Daemon, is_listening


class Distribution:
    """One registry, with its content below *folder*."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self.authority = f"127.0.0.1:{self._port}"
        self.url = f"http://{self.authority}"
        configuration = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "content")}, "delete": {"enabled": True}},
            "http": {"addr": self.authority, "secret": "not secret", "relativeurls": True},
        }
        (folder / "registry.yml").write_text(json.dumps(configuration))
        # It exports traces to a collector unless it is told that there is none.
        env = {"OTEL_TRACES_EXPORTER": "none"}
        self._daemon = Daemon([go_program("registry"), "serve", folder / "registry.yml"], folder / "registry.log", env)

    def start(self) -> None:
        self._daemon.start(lambda: is_listening(self._port))

    def stop(self) -> None:
        self._daemon.stop()
