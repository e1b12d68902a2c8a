"""Debian's docker-registry as the upstream, behind a token service, and what it was asked."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.free_port import free_port

from .content import Blob
from .fetch import ask
from .images import Image
from .processes import Daemon, is_listening
from .tokens import ISSUER, SERVICE, USERNAME, TokenService

_ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[0-9.]+" (?P<status>\d{3}) (?P<sent>\d+) ')
_MARK = "/v2/?mark="


class Request(NamedTuple):
    """One line of the registry's access log; *sent* bytes of a body."""

    method: str
    path: str
    status: int
    sent: int = 0


class Registry:
    """A docker-registry that can be stopped and started again on the same port, with its content kept."""

    def __init__(self, program: Path, folder: Path, tokens: TokenService, address: str = "127.0.0.1") -> None:
        self._tokens = tokens
        self._address = address
        self._port = free_port()
        self._marks = count()
        self.content = folder / "content"
        self.url = f"http://{address}:{self._port}"
        tokens.signer.write_certificate(folder / "tokens.pem")
        (folder / "registry.yml").write_text(json.dumps(self._configuration(folder)))
        self._daemon = Daemon([program, "serve", folder / "registry.yml"], folder / "registry.log")

    def start(self) -> None:
        self._daemon.start(lambda: is_listening(self._port, self._address))

    def stop(self) -> None:
        self._daemon.stop()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Be down for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def requests(self) -> list[Request]:
        """List what was asked so far, except for tokens' challenges (401).

        A line is written after its answer; a request of our own, logged later, tells that those before it are there.
        """
        mark = f"{_MARK}{next(self._marks)}"
        ask("GET", self.url + mark)
        while True:
            found = [Request(m["method"], m["path"], int(m["status"]), int(m["sent"])) for m in _ACCESS.finditer(self._log())]
            if any(request.path == mark for request in found):
                return [request for request in found if request.status != 401]

    def blob_requests(self) -> list[Request]:
        return [request for request in self.requests() if request.method == "GET" and "/blobs/" in request.path]

    def push(self, image: Image) -> None:
        """Upload the blobs, then the manifests, the tag last (distribution-spec, Pushing manifests)."""
        token = self._tokens.grant(f"repository:{image.repository}:pull,push", USERNAME)
        headers = {"Authorization": f"Bearer {token}"}
        for blob in image.blobs:
            self._push_blob(image.repository, blob, headers)
        for manifest in image.manifests:
            name = image.reference if manifest is image.top else manifest.digest
            url = f"{self.url}/v2/{image.repository}/manifests/{name}"
            pushed = ask("PUT", url, headers=headers | {"Content-Type": manifest.media_type}, body=manifest.body)
            assert pushed.status == 201, pushed

    def _push_blob(self, repository: str, blob: Blob, headers: dict[str, str]) -> None:
        begun = ask("POST", f"{self.url}/v2/{repository}/blobs/uploads/", headers=headers, body=b"")
        assert begun.status == 202, begun
        url = f"{begun.headers['Location']}&digest={blob.digest}"
        pushed = ask("PUT", url, headers=headers | {"Content-Type": "application/octet-stream"}, body=blob.body)
        assert pushed.status == 201, pushed

    def _log(self) -> str:
        return self._daemon.log.read_text(errors="replace")

    def _configuration(self, folder: Path) -> dict[str, object]:
        return {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.content)}},
            "http": {"addr": f"{self._address}:{self._port}", "secret": "not secret"},
            "auth": {
                "token": {
                    "realm": self._tokens.realm,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(folder / "tokens.pem"),
                }
            },
        }
