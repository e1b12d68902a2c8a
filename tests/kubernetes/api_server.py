"""An API server and its etcd on loopback: what it accepts, a real cluster accepts."""

import contextlib
import http.client
import json
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chart.chart import CHART
from tests.clients.go_programs import go_program
from tests.clients.processes import Daemon, run
from tests.clients.programs import program as of_debian
from tests.free_port import free_port

from .programs import program

_TOKEN = "test"  # of an administrator
# Users by their names in Kubernetes' own roles, and their groups; each one's token is its name.
NODE, PROXY, SCHEDULER, MANAGER = "system:node:node", "system:kube-proxy", "system:kube-scheduler", "system:kube-controller-manager"
_USERS = {_TOKEN: "system:masters", NODE: "system:nodes", PROXY: "", SCHEDULER: "", MANAGER: ""}

_UNVERIFIED = ssl._create_unverified_context()  # noqa: S323  it made its certificate a moment ago


def _here(*words: str | Path) -> list[str | Path]:
    return list(words)


class ApiServer:
    """Kubernetes without a node: documents are validated and admitted, and no Pod runs.

    It listens at *address*, in the network that *inside* brings a command into.
    """

    def __init__(
        self, folder: Path, address: str = "127.0.0.1", inside: Callable[..., Sequence[str | Path]] = _here, options: Sequence[str] = ()
    ) -> None:
        self._inside = inside
        client, peer = free_port(), free_port()
        self._port = free_port()
        self._folder = folder
        etcd: list[str | Path] = [
            *(of_debian("etcd", "etcd-server"), "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
            *("--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
        ]
        self._etcd = Daemon(inside(*etcd), folder / "etcd.log")
        self._client_port = client
        (folder / "tokens.csv").write_text("".join(f"{user},{user},{user},{group}\n" for user, group in _USERS.items()))
        server: list[str | Path] = [
            *(program("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}", f"--cert-dir={folder}/certificates"),
            *(f"--bind-address={address}", f"--advertise-address={address}", f"--secure-port={self._port}"),
            *(f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=Node,RBAC", "--service-cluster-ip-range=10.96.0.0/16"),
            *("--service-account-issuer=https://kubernetes.test", f"--service-account-key-file={folder}/accounts.key"),
            f"--service-account-signing-key-file={folder}/accounts.key",
            *options,
        ]
        self._server = Daemon(inside(*server), folder / "kube-apiserver.log")
        self.url = f"https://{address}:{self._port}"
        self.kubeconfig = self.kubeconfig_of(_TOKEN)
        self.accounts_key = folder / "accounts.key"
        self.certificate = folder / "certificates" / "apiserver.crt"

    def kubeconfig_of(self, user: str) -> Path:
        """Write the file by which *user* reaches it."""
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path = self._folder / f"{user.replace(':', '-')}.kubeconfig"
        path.write_text(json.dumps(kubeconfig))
        return path

    def start(self) -> None:
        run(["openssl", "genrsa", "-out", self._folder / "accounts.key", "2048"])
        self._etcd.start(lambda: b"3." in _said(self._inside("curl", "--silent", f"http://127.0.0.1:{self._client_port}/version")))
        kubectl: list[str | Path] = [program("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        self._server.start(lambda: _said([*kubectl, "get", "--raw", "/readyz"]) == b"ok")

    def stop(self) -> None:
        self._server.stop()
        self._etcd.stop()

    def kubectl(self, *words: str, given: object = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl, with *given* as JSON on its standard input; how it ends is for the caller to judge."""
        command: list[str | Path] = [program("kubectl"), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a resource by its path in the API; None where there is none. kubectl takes ten times as long to look."""
        with contextlib.closing(http.client.HTTPSConnection(self.url.removeprefix("https://"), context=_UNVERIFIED)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Bearer {_TOKEN}", "Accept": "application/json"})
            response = connection.getresponse()
            found: dict[str, Any] = json.loads(response.read())
            return found if response.status == 200 else None

    def get(self, kind: str, name: str, namespace: str = "regproxy") -> dict[str, Any]:
        done = self.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def helm(self, action: str, *words: str, values: Mapping[str, object] | None = None) -> str:
        """Run Helm for the release `rp` in the namespace `regproxy`."""
        command: list[str | Path] = [go_program("helm"), action, "rp", f"--kubeconfig={self.kubeconfig}", "--namespace=regproxy", *words]
        if values is not None:
            command += [str(CHART), "--values=-"]
        done = subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def _said(command: Sequence[str | Path]) -> bytes:
    return subprocess.run(command, capture_output=True, check=False).stdout
