"""A pull by the runtime's own client, of an image that the cache alone has: where it succeeds, pulls come through the cache."""

import platform
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from regproxy.oci.doctor_image import TAG, name_image
from regproxy.policy.platform import Platform
from regproxy.runtimes.doctor.diagnosis import mirrors
from regproxy.runtimes.doctor.finding import Diagnosis, Finding
from regproxy.runtimes.model import Endpoint, Files, Runtime

_PULL_SECONDS = 120.0  # containerd 1.6 tries 30 s for one connection
_ALL = frozenset({"_default", "*"})
_HUB = "docker.io"
_MAX_TOLD = 1000  # characters of what a client said


@dataclass(frozen=True, slots=True)
class Puller:
    """A client of a runtime: its program and options, the words that pull and remove, and what a pull by it does not prove."""

    program: str
    options: Callable[[str], list[str]]  # of the socket
    socket: str = ""
    pull: tuple[str, ...] = ("pull",)
    remove: tuple[str, ...] = ("rmi",)
    note: str = ""


def _crictl(socket: str) -> list[str]:
    return [f"--runtime-endpoint=unix://{socket}", f"--image-endpoint=unix://{socket}", f"--timeout={_PULL_SECONDS:.0f}s"]


_CONTAINERD = Puller("crictl", _crictl, "/run/containerd/containerd.sock")
_CTR = Puller(
    "ctr",
    lambda socket: [f"--address={socket}", "--namespace=k8s.io"],
    "/run/containerd/containerd.sock",
    ("images", "pull", "--hosts-dir=/etc/containerd/certs.d"),
    ("images", "remove"),
    "ctr reads hosts.toml by itself: whether containerd does so for Pods is proven by crictl alone, which is not here",
)
_PULLERS: Mapping[str, tuple[Puller, ...]] = {
    "containerd": (_CONTAINERD, _CTR),
    "dragonfly": (_CONTAINERD, _CTR),
    "spegel": (_CONTAINERD, _CTR),
    "k3s": (Puller("k3s", lambda socket: ["crictl", *_crictl(socket)], "/run/k3s/containerd/containerd.sock"),),
    "rke2": (
        Puller("crictl", _crictl, "/run/k3s/containerd/containerd.sock"),
        Puller("/var/lib/rancher/rke2/bin/crictl", _crictl, "/run/k3s/containerd/containerd.sock"),
    ),
    "cri-o": (Puller("crictl", _crictl, "/var/run/crio/crio.sock"),),
    "docker": (Puller("docker", lambda socket: [f"--host=unix://{socket}"], "/var/run/docker.sock", ("pull", "--quiet")),),
    "podman": (Puller("podman", lambda _: [], "", ("pull", "--quiet"), ("rmi", "--force")),),
    "buildkit": (Puller("buildctl", lambda socket: [f"--addr=unix://{socket}"], "/run/buildkit/buildkitd.sock", ("build",), ()),),
}


def prove(runtime: Runtime, files: Files, endpoint: Endpoint, socket: str | None) -> Diagnosis:
    """Pull, and remove what was pulled; *socket* is the runtime's, if it is not at its usual place."""
    found = next(((each, path) for each in _PULLERS[runtime.name] if (path := shutil.which(each.program))), None)
    if found is None:
        programs = " or ".join(dict.fromkeys(each.program for each in _PULLERS[runtime.name]))
        return _one(
            "no-client", f"{programs} is not here, so nothing was pulled", runtime.title, f"install {programs}, or leave --pull out"
        )
    puller, path = found
    architecture = Platform.of_machine(platform.machine()).architecture
    image = f"{_registry(runtime, files, endpoint)}/{name_image(architecture, secrets.token_hex(16))}:{TAG}"
    before = [path, *puller.options(socket or puller.socket)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="regproxy-") as folder:
        failed = _ran([*before, *puller.pull, *_what(puller, image, Path(folder))])
    seconds = time.monotonic() - began
    if failed is not None:
        what = f"{puller.program} could not pull {image}, which {endpoint.url} has and no registry: {failed}"
        advice = f"mend the findings above; if there are none, restart {runtime.title} so that it reads its files, and look at its log"
        return _one("pull-around", what, runtime.title, advice)
    came = f"its tag, manifest, config and layer came through {endpoint.url}, for only it has them"
    notes = [f"{puller.program} pulled {image} in {seconds:.1f} s: {came}"]
    notes += [puller.note] if puller.note else []
    if puller.remove and (left := _ran([*before, *puller.remove, image])) is not None:
        notes.append(f"{image} could not be removed: {left}")
    return Diagnosis(notes=tuple(notes))


def _registry(runtime: Runtime, files: Files, endpoint: Endpoint) -> str:
    """Return a registry whose pulls are to go to *endpoint*."""
    named = [name for name, urls in mirrors(runtime, files).items() if endpoint.url in urls]
    return _HUB if not named or _HUB in named or _ALL & set(named) else named[0]


def _what(puller: Puller, image: str, folder: Path) -> list[str]:
    """Return what a client is told to pull: buildkit pulls only what is built from."""
    if puller.program != "buildctl":
        return [image]
    (folder / "Dockerfile").write_text(f"FROM {image}\nCOPY --from={image} / /\n")
    return ["--frontend=dockerfile.v0", "--no-cache", f"--local=dockerfile={folder}", f"--local=context={folder}"]


def _ran(command: list[str]) -> str | None:
    """Run a client; return why it failed, in one line."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PULL_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"no end within {_PULL_SECONDS:.0f} s"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1][-_MAX_TOLD:] if lines else f"exit status {done.returncode}"


def _one(code: str, what: str, where: str, advice: str) -> Diagnosis:
    return Diagnosis((Finding(code, what, where, advice),))
