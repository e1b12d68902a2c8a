"""What a Pod asks of its cluster's API server to have all nodes undone (kubernetes.io/docs, "Accessing the Kubernetes API from a Pod")."""

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT = 10.0  # seconds for one question
_INTERVAL = 1.0


class ClusterError(Exception):
    """The API server does not answer, or refuses; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The API server, as a ServiceAccount; *folder* has its token and the authority."""

    url: str
    folder: Path = _ACCOUNT

    @classmethod
    def here(cls) -> "Cluster":
        """Find it by the environment of a Pod; raise `ClusterError` where this is none."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ClusterError("this is not a Pod: there is no KUBERNETES_SERVICE_HOST")
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}")

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at *path*; None where there is none."""
        return self._ask("GET", path)

    def delete(self, path: str) -> None:
        """Delete the object at *path*, once all that it owns is gone."""
        self._ask("DELETE", f"{path}?propagationPolicy=Foreground")

    def _ask(self, method: str, path: str) -> dict[str, Any] | None:
        request = urllib.request.Request(f"{self.url}{path}", method=method)  # noqa: S310
        request.add_header("Authorization", f"Bearer {(self.folder / 'token').read_text().strip()}")
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with direct.open(request, timeout=_TIMEOUT) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise ClusterError(f"{method} {path}: the API server answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise ClusterError(f"{method} {path}: {getattr(error, 'reason', error)}") from error


@dataclass(frozen=True, slots=True)
class Undoing:
    """The DaemonSets that write the nodes' configuration and undo it, in one namespace."""

    cluster: Cluster
    namespace: str

    def stop(self, writer: str, timeout: float, told: Callable[[str], None]) -> bool:
        """Delete the DaemonSet *writer* and wait until its Pods are gone; report whether they are.

        A Pod of a node that is out of reach stays on the list: its node undoes nothing either, and is named later.
        """
        path = self._daemonset(writer)

        def is_gone() -> bool:
            if self.cluster.get(path) is None:
                return True
            self.cluster.delete(path)
            return False

        return _waited(is_gone, timeout, told)

    def missing(self, undo: str, component: str, timeout: float, told: Callable[[str], None]) -> list[str]:
        """Wait until the DaemonSet *undo* has undone each node, and return the names of those where it has not."""

        def is_done() -> bool:
            return is_everywhere(self.cluster.get(self._daemonset(undo)) or {})

        if _waited(is_done, timeout, told):
            return []
        selector = quote(f"app.kubernetes.io/component={component}")
        pods = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}") or {}
        return unready_nodes(pods) or ["nodes where no Pod could be started"]

    def _daemonset(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets/{name}"


def is_everywhere(daemonset: dict[str, Any]) -> bool:
    """Report whether a DaemonSet is ready on all nodes; one whose status is of an older generation is not."""
    status = daemonset.get("status", {})
    ready, wanted = int(status.get("numberReady", 0)), int(status.get("desiredNumberScheduled", 0))
    return status.get("observedGeneration") == daemonset.get("metadata", {}).get("generation", 0) and ready >= wanted


def unready_nodes(pods: dict[str, Any]) -> list[str]:
    """List the nodes of those of *pods* that are not ready."""
    found = set()
    for pod in pods.get("items", []):
        conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", [])}
        if conditions.get("Ready") != "True":
            found.add(pod["spec"].get("nodeName") or f"the node of Pod {pod['metadata']['name']}")
    return sorted(found)


def _waited(is_done: Callable[[], bool], timeout: float, told: Callable[[str], None]) -> bool:
    """Ask until *is_done*; a question that fails is asked again until the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if is_done():
                return True
        except ClusterError as error:
            told(str(error))
        if time.monotonic() >= deadline:
            return False
        time.sleep(_INTERVAL)
