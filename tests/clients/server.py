"""`regproxy serve` over upstreams of a test's own."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.free_port import free_port
from tests.rig import PATIENT

from .fetch import ask
from .processes import Daemon


class Server:
    """One regproxy; *upstreams* and *settings* are as in the configuration."""

    def __init__(self, folder: Path, upstreams: Mapping[str, object], **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.url = f"http://{self.authority}"
        self._ready = f"http://{admin}/readyz"
        configuration = {
            "listen": self.authority,
            "admin_listen": admin,
            "store": {"root": str(folder / "store")},
            "timeouts": PATIENT,
            "upstreams": upstreams,
        }
        (folder / "regproxy.yaml").write_text(json.dumps(configuration | settings))
        command: list[str | Path] = [sys.executable, "-m", "regproxy", "serve", "--config", folder / "regproxy.yaml"]
        self._daemon = Daemon(command, folder / "regproxy.log")

    def start(self) -> None:
        self._daemon.start(self._is_ready)

    def stop(self) -> None:
        self._daemon.stop()

    def _is_ready(self) -> bool:
        try:
            return ask("GET", self._ready).status == 200
        except OSError:
            return False
