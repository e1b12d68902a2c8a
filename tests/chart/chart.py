"""The chart as Helm renders it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.clients.go_programs import go_program

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "regproxy"
KUBERNETES = "1.34.4"

Document = dict[str, Any]


class Refused(Exception):
    """Helm refuses the values; the message says why."""


class Rendered:
    """What Helm makes of values: documents by kind and name, the release being `rp` in the namespace `regproxy`."""

    def __init__(self, values: Mapping[str, object] | None = None, kubernetes: str = KUBERNETES) -> None:
        """Render; raise `Refused`."""
        command = [
            str(go_program("helm")),
            "template",
            "rp",
            str(CHART),
            "--namespace=regproxy",
            f"--kube-version={kubernetes}",
            "--values=-",
        ]
        given = {"image": {"repository": "registry.internal/regproxy"}, **(values or {})}
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(done.stderr)
        self.text = done.stdout
        self.documents: list[Document] = [document for document in yaml.safe_load_all(done.stdout) if document]

    def all(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str) -> Document:
        [found] = [document for document in self.all(kind) if document["metadata"]["name"] == name]
        return found

    def has(self, kind: str, name: str) -> bool:
        return any(document["metadata"]["name"] == name for document in self.all(kind))

    def config(self, name: str = "rp-regproxy") -> Document:
        """Read the configuration of regproxy in a ConfigMap."""
        found: Document = yaml.safe_load(self.one("ConfigMap", name)["data"]["regproxy.yaml"])
        return found

    def pods(self) -> dict[str, Document]:
        """Return the Pods' specs by the kind and name of what makes them."""
        makers = [document for document in self.documents if "template" in document.get("spec", {})]
        found = {f"{maker['kind']}/{maker['metadata']['name']}": maker["spec"]["template"]["spec"] for maker in makers}
        return found | {f"Pod/{pod['metadata']['name']}": pod["spec"] for pod in self.all("Pod")}
