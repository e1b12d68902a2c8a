"""The chart, installed by Helm at a real API server."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.test_rendered import EVERYTHING, FLEET, MODES

from .api_server import ApiServer

VALUES = {**EVERYTHING, "metrics": {"grafanaDashboard": {"enabled": True}}}  # no Prometheus operator is installed


@pytest.fixture
def release(cluster: ApiServer) -> Iterator[ApiServer]:
    yield cluster
    cluster.helm("uninstall", "--no-hooks", "--ignore-not-found", "--cascade=orphan")


@pytest.mark.parametrize("mode", MODES)
def test_n15_01_the_api_server_takes_the_chart(release: ApiServer, mode: str) -> None:
    """Unknown fields are refused by strict validation, and a warning is a mistake in the chart."""
    values = {**VALUES, "mode": mode, **(FLEET if mode != "node" else {})}
    said = release.helm("install", "--create-namespace", values=values)
    assert "deployed" in said
    assert "unknown field" not in said
    said = release.helm("upgrade", values={**values, "config": {"drain": "20s"}})
    assert "unknown field" not in said


def test_n15_01_the_cluster_cache_may_run_where_pods_are_restricted(release: ApiServer) -> None:
    """Pod Security Admission judges what makes Pods by a warning."""
    release.kubectl("create", "namespace", "regproxy")
    release.kubectl("label", "--overwrite", "namespace", "regproxy", "pod-security.kubernetes.io/warn=restricted")
    values = {**VALUES, "mode": "cluster", "clientConfig": {"enabled": False}}
    assert "would violate PodSecurity" not in release.helm("install", values=values)
    release.kubectl("label", "namespace", "regproxy", "pod-security.kubernetes.io/warn-")


def test_n15_02_the_certificate_stays_until_it_is_to_be_renewed(release: ApiServer) -> None:
    release.helm("install", "--create-namespace", values=VALUES)
    first = release.get("secret", "rp-regproxy-admission")
    release.helm("upgrade", values=VALUES)
    assert release.get("secret", "rp-regproxy-admission")["data"] == first["data"]
    release.kubectl("annotate", "--overwrite", "secret", "rp-regproxy-admission", "regproxy.io/renew-after=1", "--namespace=regproxy")
    release.helm("upgrade", values=VALUES)
    renewed = release.get("secret", "rp-regproxy-admission")["data"]
    assert renewed["tls.crt"] != first["data"]["tls.crt"]
    hook = release.get("mutatingwebhookconfiguration", "regproxy-rp-regproxy-admission")
    assert hook["webhooks"][0]["clientConfig"]["caBundle"] == renewed["ca.crt"]


def _pod(image: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    spec = {"containers": [{"name": "c", "image": image}], "automountServiceAccountToken": False, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}, "spec": spec}


def test_n15_02_latest_is_denied_without_a_webhook(release: ApiServer) -> None:
    values = {"image": {"repository": "registry.internal/regproxy"}, "admission": {"policy": {"enabled": True}}}
    release.helm("install", "--create-namespace", values=values)
    for namespace in ("default", "kube-system", "regproxy"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        release.kubectl("apply", "--filename=-", f"--namespace={namespace}", given=account)

    def made(pod: dict[str, Any], namespace: str = "default") -> str:
        return release.kubectl("create", "--dry-run=server", "--filename=-", f"--namespace={namespace}", given=pod).stderr

    deadline = time.monotonic() + 300
    while "name a tag other than latest" not in made(_pod("nginx")):  # the API server takes note of a policy a moment later
        assert time.monotonic() < deadline
    digest = "sha256:" + "a" * 64
    for denied in ("nginx:latest", "registry:5000/app", "registry:5000/app:latest"):
        assert "name a tag other than latest" in made(_pod(denied)), denied
    assert "name a tag other than latest" in made(_pod("nginx:1", initContainers=[{"name": "i", "image": "nginx"}]))
    for taken in ("nginx:1", "registry:5000/app:1", f"nginx@{digest}", f"nginx:latest@{digest}"):
        assert made(_pod(taken)) == "", taken
    assert made(_pod("nginx"), "kube-system") == ""
    assert made(_pod("nginx"), "regproxy") == ""
    pod = {**_pod("nginx:1"), "metadata": {"name": "p"}}
    assert release.kubectl("create", "--filename=-", "--namespace=default", given=pod).stderr == ""
    changed = release.kubectl("set", "image", "pod/p", "c=nginx", "--namespace=default").stderr
    assert "name a tag other than latest" in changed, "a running Pod may not be given one either"
    assert release.kubectl("set", "image", "pod/p", "c=nginx:2", "--namespace=default").stderr == ""
