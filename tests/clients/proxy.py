"""The program under test: `regproxy serve` in its own process, with its store kept over restarts."""

import json
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from tests.canary import found_below
from tests.free_port import free_port
from tests.rig import PATIENT

from .fetch import Answer, ask
from .images import Image
from .processes import Daemon, run
from .tokens import PASSWORD, USERNAME, TokenService

HUB = "docker.io"
NAMED = "registry.test"
_REGPROXY = (sys.executable, "-m", "regproxy")


class Proxy:
    """A regproxy whose upstreams all end at one registry.

    docker.io is the default upstream, asked without credentials; registry.test has credentials, and its tags are
    asked for at every pull.
    """

    def __init__(self, folder: Path, upstream_url: str, tokens: TokenService, **said: Mapping[str, object]) -> None:
        """Keep everything below *folder*; *said* is what the configuration says beside: of `tls`, of `store` but its root."""
        listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.root = folder / "store"
        self.authority = listen
        self.url = f"{'https' if 'tls' in said else 'http'}://{listen}"
        self._ready = f"http://{admin}/readyz"
        upstream = {"hosts": [{"url": upstream_url}], "realms": [tokens.authority]}
        always = {"match": "*", "policy": "always", "fresh_for": "0s", "stale_for": "7d"}
        credentials = {"username": USERNAME, "password": PASSWORD}
        configuration = {
            "listen": listen,
            "admin_listen": admin,
            "default_upstream": HUB,
            "timeouts": PATIENT,
            **said,
            "store": {"root": str(self.root), **said.get("store", {})},
            "upstreams": {HUB: upstream, NAMED: upstream | {"tags": [always], "credentials": credentials}},
        }
        self._config = folder / "regproxy.yaml"
        self._config.write_text(json.dumps(configuration))
        own = {"REGPROXY__STORE__HIGH_WATERMARK": ""} if "high_watermark" in said.get("store", {}) else {}  # not that of all tests
        self._daemon = Daemon([*_REGPROXY, "serve", "--config", self._config], folder / "regproxy.log", own)

    def start(self) -> None:
        self._daemon.start(self._is_ready)

    def stop(self) -> None:
        self._daemon.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def store(self, *words: str | Path) -> str:
        """Run `regproxy store`."""
        return run([*_REGPROXY, "store", *words, "--config", self._config])

    def complaints(self) -> list[str]:
        """List what nobody should ever see: logged errors, lines that are no log records, and secrets, in its store too (S26)."""
        lines = self._log()
        bad = [line for line in lines if not line.startswith("{") or json.loads(line)["level"] in ("error", "critical")]
        return bad + found_below(self.root.parent)

    def answered(self, repository: str, status: int) -> int:
        """Count the responses of a *status* about the blobs of a repository."""
        return sum(f"/{repository}/blobs/" in line and f' {status}", "endpoint": "blobs"' in line for line in self._log())

    def get(self, path: str) -> Answer:
        return ask("GET", f"{self.url}{path}")

    def warm(self, image: Image) -> None:
        """Have all of *image* cached, under either upstream."""
        paths = [f"manifests/{name}" for name in (image.reference, *(manifest.digest for manifest in image.manifests))]
        paths += [f"blobs/{blob.digest}" for blob in image.blobs]
        for upstream, path in product((HUB, NAMED), paths):
            answer = self.get(f"/v2/{image.repository}/{path}?ns={upstream}")
            assert answer.status == 200, (path, answer)

    def _log(self) -> list[str]:
        return self._daemon.log.read_text().splitlines()

    def _is_ready(self) -> bool:
        try:
            return ask("GET", self._ready).status == 200
        except OSError:
            return False
