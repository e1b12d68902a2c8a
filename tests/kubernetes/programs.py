"""Kubernetes, built from the Go module proxy: `python -m tests.kubernetes.programs` builds what is missing.

Its staging modules (k8s.io/api and the like) are replaced in its own go.mod by folders that the proxy does not have; each is also a module,
whose version follows Kubernetes' own: v1.34.4 goes with v0.34.4.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients.go_programs import ENVIRONMENT, GO, cache_folder
from tests.clients.processes import run

VERSION = "v1.34.4"  # the last that runs on cgroup v1
PROGRAMS = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

_MODULE = "k8s.io/kubernetes"
_BUILD_SECONDS = 7200.0
_SAYS = "k8s.io/component-base/version"


def program(name: str) -> Path:
    """Return the path of a program of Kubernetes."""
    path = _folder() / name
    if not path.exists():
        pytest.fail(f"{name} {VERSION} is missing: make test-cluster")
    return path


def missing() -> list[str]:
    return [name for name in PROGRAMS if not (_folder() / name).exists()]


def build(names: Sequence[str]) -> None:
    """Build the programs *names* at once or not at all; raise RuntimeError with what Go said."""
    _folder().mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=cache_folder()))
    try:
        environment = ENVIRONMENT | {"GOFLAGS": f"{ENVIRONMENT['GOFLAGS']} -mod=mod", "GOWORK": "off"}
        (unfinished / "go.mod").write_text("module regproxy.test/kubernetes\n")
        downloaded = run([GO, "-C", unfinished, "mod", "download", "-json", f"{_MODULE}@{VERSION}"], environment, within=_BUILD_SECONDS)
        [upstream] = re.findall(r'"GoMod": "(.*)"', downloaded)
        (unfinished / "go.mod").write_text(_go_mod(Path(upstream).read_text()))
        major, minor, _ = VERSION.removeprefix("v").split(".")
        said = f"-s -w -X {_SAYS}.gitVersion={VERSION} -X {_SAYS}.gitMajor={major} -X {_SAYS}.gitMinor={minor}"
        packages = [f"{_MODULE}/cmd/{name}" for name in names]
        run([GO, "-C", unfinished, "build", "-o", f"{unfinished}/", f"-ldflags={said}", *packages], environment, within=_BUILD_SECONDS)
        for name in names:
            (unfinished / name).rename(_folder() / name)
    finally:
        shutil.rmtree(unfinished)


def _go_mod(upstream: str) -> str:
    staged = re.findall(r"^\s+(k8s\.io/\S+) => \./staging", upstream, re.MULTILINE)
    replaced = [f"\t{module} => {module} v0{VERSION.removeprefix('v1')}" for module in staged]
    return "\n".join(
        ["module regproxy.test/kubernetes", "", "go 1.24.0", "", f"require {_MODULE} {VERSION}", "", "replace (", *replaced, ")", ""]
    )


def _folder() -> Path:
    return cache_folder() / f"kubernetes-{VERSION}"


if __name__ == "__main__":
    if names := missing():
        print(f"building {', '.join(names)} {VERSION}", flush=True)  # noqa: T201
        begun = time.monotonic()
        build(names)
        print(f"built in {time.monotonic() - begun:.0f} s", flush=True)  # noqa: T201
