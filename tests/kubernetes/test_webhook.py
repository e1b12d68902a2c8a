"""The webhook as a real API server asks it, where the chart says so."""

import base64
import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.admission.test_webhook import webhook
from tests.chart.test_rendered import EVERYTHING
from tests.fakes.authority import Authority
from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.free_port import free_port

from .api_server import ApiServer

KINDS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


def _listen_here(cluster: ApiServer, port: int, ca: Path) -> None:
    """Have the API server ask on loopback: without nodes, no Service leads anywhere."""
    for kind in KINDS:
        found = cluster.get(kind, "regproxy-rp-regproxy-admission")
        [hook] = found["webhooks"]
        path = hook["clientConfig"]["service"]["path"]
        hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": base64.b64encode(ca.read_bytes()).decode()}
        assert cluster.kubectl("replace", "--filename=-", given=found).returncode == 0


def _pod(image: str, **more: object) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": image}], "automountServiceAccountToken": False, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}, "spec": spec}


def _made(cluster: ApiServer, document: dict[str, Any], namespace: str = "default") -> tuple[dict[str, Any], str]:
    """Return what would be made, and why not."""
    done = cluster.kubectl("create", "--dry-run=server", "--output=json", "--filename=-", f"--namespace={namespace}", given=document)
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr


def _image(document: dict[str, Any]) -> str:
    return str(document["spec"]["containers"][0]["image"])


async def test_n15_02_pods_are_pinned_and_denied_as_they_are_made(cluster: ApiServer, tmp_path: Path) -> None:
    cluster.helm("install", "--create-namespace", values={**EVERYTHING, "metrics": {}, "admission": {"enabled": True}})
    for namespace in ("default", "kube-system"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        cluster.kubectl("apply", "--filename=-", f"--namespace={namespace}", given=account)
    authority, port = Authority(tmp_path), free_port()
    _listen_here(cluster, port, authority.ca)
    async with FakeRegistry() as upstream, aiohttp.ClientSession() as session:
        image = upstream.add_image("library/app", "1", [b"layer"])
        served = Served(tmp_path / "store", upstream)
        async with served.running(session):
            daemon = webhook(tmp_path, authority.issue("webhook"), port, f"http://127.0.0.1:{served.port}")
            await served.pull(session, "library/app", "manifests/1")
            asked = len(upstream.ledger)
            pinned = f"app:1@{image.digest}"
            made, _ = _made(cluster, _pod("app:1", initContainers=[{"name": "i", "image": "app:1"}]))
            assert (_image(made), made["spec"]["initContainers"][0]["image"]) == (pinned, pinned)
            assert len(upstream.ledger) == asked
            for denied in ("app", "app:latest"):
                assert "may not be pulled" in _made(cluster, _pod(denied))[1]
            assert _image(_made(cluster, _pod("registry:5000/app"))[0]) == "registry:5000/app"
            assert _image(_made(cluster, _pod("app"), "kube-system")[0]) == "app"
            cluster.kubectl("create", "--filename=-", "--namespace=default", given={**_pod("app:1"), "metadata": {"name": "p"}})
            refused = cluster.kubectl("set", "image", "pod/p", "c=app:latest", "--namespace=default")
            assert "may not be pulled" in refused.stderr, "a running Pod may not be given one either"
            assert cluster.kubectl("label", "pod/p", "a=b", "--namespace=default").stderr == ""
            template = {"metadata": {"labels": {"a": "b"}}, "spec": _pod("app")["spec"]}
            spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
            rolled = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
            assert _image(_made(cluster, rolled)[0]["spec"]["template"]) == "app"
            daemon.stop()
        assert _image(_made(cluster, _pod("app:1"))[0]) == "app:1"
    cluster.helm("uninstall", "--no-hooks", "--cascade=orphan")
