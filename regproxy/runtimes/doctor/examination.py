"""A machine looked at for one runtime: its files, its units and processes, and the endpoint as it is reached from here."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regproxy.runtimes.apply import Host
from regproxy.runtimes.atomic_files import CannotApply
from regproxy.runtimes.containerd import CERTS, CONFIG, imports
from regproxy.runtimes.doctor import proxying
from regproxy.runtimes.doctor.containerd import Version
from regproxy.runtimes.doctor.diagnosis import certificates_of, diagnose, endpoint_of, mirrors
from regproxy.runtimes.doctor.finding import Diagnosis, Finding
from regproxy.runtimes.doctor.probe import probe
from regproxy.runtimes.doctor.pull import prove
from regproxy.runtimes.model import Endpoint, Files, Runtime
from regproxy.runtimes.registered import RUNTIMES

_UNITS: Mapping[str, tuple[str, ...]] = {
    "containerd": ("containerd",),
    "k3s": ("k3s", "k3s-agent"),
    "rke2": ("rke2-server", "rke2-agent"),
    "cri-o": ("crio",),
    "docker": ("docker",),
    "buildkit": ("buildkit", "buildkitd"),
}
_PROCESSES: Mapping[str, frozenset[str]] = {
    "containerd": frozenset({"containerd"}),
    "k3s": frozenset({"k3s", "k3s-server", "k3s-agent"}),
    "rke2": frozenset({"rke2", "rke2-server", "rke2-agent"}),
    "cri-o": frozenset({"crio"}),
    "docker": frozenset({"dockerd"}),
    "buildkit": frozenset({"buildkitd"}),
    "dragonfly": frozenset({"dfdaemon"}),
}
_UNIT_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system", "run/systemd/system", "etc/systemd/system")
_AUTHORITIES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem")
_VARIABLES = re.compile(r"(?i)(https?|no)_proxy")
_MAX_PROCESSES = 32_768
_MAX_ENVIRONMENT_BYTES = 2 * 1024 * 1024
_VERSION_SECONDS = 10.0


def runtimes_here(host: Host) -> list[Runtime]:
    """List the runtimes that have a directory on a machine; podman has one everywhere, so it counts where it has mirrors."""
    found = []
    for runtime in RUNTIMES.values():
        if runtime.name in {"podman", "cri-o", "spegel", "dragonfly"}:
            if runtime.name != "cri-o" and mirrors(runtime, host.read(_patterns(runtime))):
                found.append(runtime)
        elif host.has("etc/containerd" if runtime.name == "containerd" else runtime.directory):
            found.append(runtime)
    return found


@dataclass(frozen=True, slots=True)
class Pull:
    """That the runtime is to pull; *socket* is the runtime's, if it is not at its usual place."""

    socket: str | None = None


def examine(
    host: Host,
    runtime: Runtime,
    endpoint: str | None,
    known: tuple[str, ...],
    cluster: str | None = None,
    version: Version | None = None,
    pull: Pull | None = None,
) -> tuple[str | None, Diagnosis]:
    """Return the endpoint that was looked at, and what is wrong; raise `CannotApply` or `Unsupported` where that cannot be told."""
    files = _files(host, runtime)
    url = endpoint or endpoint_of(runtime, files)
    if url is None:
        advice = f"regproxy client-config {runtime.name} --endpoint URL --apply"
        return None, Diagnosis((Finding("not-configured", f"nothing tells {runtime.title} of a cache", f"/{runtime.directory}", advice),))
    parsed = Endpoint.parse(url)
    if version is None and host.is_ours and runtime.name == "containerd":
        version = _version()
    told = [diagnose(runtime, files, parsed, known, version)]
    if not host.is_whole:
        told = [_without_config(each) for each in told]
    else:
        told.append(Diagnosis(tuple(_proxied(host, runtime, parsed))))
    certificates, missing = _certificates(host, runtime, files, parsed)
    told.append(missing)
    told.append(answered := probe(parsed, certificates, _system(host), cluster))
    if pull is not None:
        silent = Diagnosis(notes=("nothing was pulled: see what is said of the endpoint",))
        told.append(silent if answered.findings else prove(runtime, files, parsed, pull.socket))
    findings = tuple(each for diagnosis in told for each in diagnosis.findings)
    return parsed.url, Diagnosis(findings, tuple(note for diagnosis in told for note in diagnosis.notes))


def _files(host: Host, runtime: Runtime) -> Files:
    files = dict(host.read(_patterns(runtime)))
    if runtime.name == "containerd" and CONFIG in files:
        patterns = [pattern for pattern in imports(files[CONFIG]) if pattern.startswith("etc/containerd/")]
        files |= {path: text for path, text in host.read(patterns).items() if path not in files}
    return files


def _patterns(runtime: Runtime) -> list[str]:
    extra = {
        "containerd": ["etc/containerd/conf.d/*.toml"],
        "podman": ["etc/containers/registries.conf", "etc/containers/registries.conf.d/*.conf"],
        "k3s": ["etc/rancher/k3s/config.yaml", "etc/rancher/k3s/config.yaml.d/*.yaml"],
        "rke2": ["etc/rancher/rke2/config.yaml", "etc/rancher/rke2/config.yaml.d/*.yaml"],
    }
    return [*runtime.writes, *extra.get("podman" if runtime.name == "cri-o" else runtime.name, [])]


def _without_config(diagnosis: Diagnosis) -> Diagnosis:
    """Leave out what is said of config.toml, which is out of reach where one directory alone was named."""
    findings = tuple(each for each in diagnosis.findings if not each.code.startswith("config-"))
    return Diagnosis(
        findings, (*diagnosis.notes, f"/{CONFIG}, units and processes were not looked at: --root is the directory /{CERTS} alone")
    )


def _certificates(host: Host, runtime: Runtime, files: Files, endpoint: Endpoint) -> tuple[list[str], Diagnosis]:
    if not endpoint.is_https:
        return [], Diagnosis()
    texts = []
    for path in certificates_of(runtime, files, endpoint):
        text = host.read([path]).get(path)
        if text is None:
            advice = "put it there: regproxy client-config with --ca FILE does"
            return [], Diagnosis((Finding("certificate-missing", f"the file of certificates /{path} is not there", f"/{path}", advice),))
        if "-----BEGIN CERTIFICATE-----" not in text:
            return [], Diagnosis(
                (Finding("certificate-missing", f"/{path} has no PEM certificate", f"/{path}:1", "write it anew with --ca FILE"),)
            )
        texts.append(text)
    return texts, Diagnosis()


def _system(host: Host) -> str | None:
    """Find the file of authorities that the host's programs believe; None for this machine's own, also where the host's is out of reach."""
    if host.is_ours or not host.is_whole:
        return None
    return next((str(host.locate(path)) for path in _AUTHORITIES if host.has(path)), None)


def _proxied(host: Host, runtime: Runtime, endpoint: Endpoint) -> Iterator[Finding]:
    advice = f"add {endpoint.host} to NO_PROXY there, then systemctl daemon-reload and restart {runtime.title}"
    environment: dict[str, str] = {}
    places: dict[str, str] = {}
    for unit in _UNITS.get(runtime.name, ()):
        for path, line, name, value in _unit_variables(host, unit):
            environment[name], places[name] = value, f"/{path}:{line}"
    if variable := proxying.variable_in_the_way(environment, endpoint):
        what = f"{variable} of the unit sends pulls for {endpoint.host} to a proxy"
        yield Finding("proxy-in-the-way", what, places[variable], advice)
        return
    for pid, running in _environments(host, runtime):
        if found := proxying.variable_in_the_way(running, endpoint):
            what = f"{found} of the running {runtime.title} sends pulls for {endpoint.host} to a proxy"
            yield Finding("proxy-in-the-way", what, f"/proc/{pid}/environ", advice)
            return
    if runtime.name == "podman" and host.is_ours and (shell := proxying.variable_in_the_way(os.environ, endpoint)):
        what = f"{shell} of this shell sends pulls for {endpoint.host} to a proxy"
        yield Finding("proxy-in-the-way", what, "the environment", f"add {endpoint.host} to NO_PROXY")


def _unit_variables(host: Host, unit: str) -> Iterator[tuple[str, int, str, str]]:
    patterns = [f"{folder}/{unit}.service" for folder in _UNIT_FOLDERS]
    patterns += [f"{folder}/{unit}.service.d/*.conf" for folder in _UNIT_FOLDERS]
    for path, text in host.read(patterns).items():
        for line, name, value in proxying.unit_variables(text):
            if name == "EnvironmentFile":
                named = value.lstrip("/")
                for file, said in host.read([named]).items():
                    yield from ((file, *each) for each in proxying.file_variables(said) if _VARIABLES.fullmatch(each[1]))
            elif _VARIABLES.fullmatch(name):
                yield path, line, name, value


def _environments(host: Host, runtime: Runtime) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the variables of the runtime's processes; those of others' cannot be read without root, and are left out."""
    names = _PROCESSES.get(runtime.name, frozenset())
    with contextlib.suppress(OSError, CannotApply):
        processes = [each for each in host.locate("proc").iterdir() if each.name.isdigit()]
        for process in sorted(processes, key=lambda each: int(each.name))[:_MAX_PROCESSES]:
            with contextlib.suppress(OSError):
                if (process / "comm").read_text().strip() not in names:
                    continue
                with (process / "environ").open("rb") as file:
                    content = file.read(_MAX_ENVIRONMENT_BYTES).decode(errors="replace")
                pairs = [pair.partition("=") for pair in content.split("\0")]
                yield int(process.name), {name: value for name, _, value in pairs if _VARIABLES.fullmatch(name)}


def _version() -> Version | None:
    """Ask the containerd of this machine for its version; None where there is none."""
    program = shutil.which("containerd")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(said.stdout)


def parse_version(text: str) -> Version | None:
    """Read the first version in a text, such as `containerd github.com/containerd/containerd/v2 v2.4.2 1234`."""
    found = re.search(r"(?<![\w.])v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(each) for each in found.groups()) if found else None
