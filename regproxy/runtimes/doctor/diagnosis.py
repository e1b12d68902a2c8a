"""What keeps a runtime from pulling through the cache, as far as its files show. Pure."""

import tomllib
from collections.abc import Iterator, Mapping

from regproxy.runtimes.containerd import CERTS
from regproxy.runtimes.containers import tables
from regproxy.runtimes.docker import parse as parse_daemon
from regproxy.runtimes.doctor.containerd import Version, certificates, diagnose_containerd
from regproxy.runtimes.doctor.finding import LENIENT, STRICT, Diagnosis, Finding
from regproxy.runtimes.formats import toml_text, yaml_text
from regproxy.runtimes.model import Endpoint, Files, Runtime, Unsupported, Wanted


def mirrors(runtime: Runtime, files: Files) -> Mapping[str, list[str]]:
    """Return the mirror URLs, in order, of each registry that the files name; a file that cannot be read names none."""
    found: dict[str, list[str]] = {}
    for registry, url in _mirrors(runtime, files):
        found.setdefault(registry, []).append(url)
    return found


def endpoint_of(runtime: Runtime, files: Files) -> str | None:
    """Guess which URL the cache is: the first one that the runtime asks for all registries, or for any of them."""
    found = mirrors(runtime, files)
    urls = [each[0] for name in ("_default", "*", *found) if (each := found.get(name))]
    return urls[0] if urls else None


def certificates_of(runtime: Runtime, files: Files, endpoint: Endpoint) -> list[str]:
    """List the files of certificates that the runtime would believe the endpoint by, beside those of the system."""
    if runtime.name == "containerd":
        return list(dict.fromkeys(certificates(files, endpoint)))
    places = [path for path in files if path.endswith((f"/{endpoint.authority}/ca.crt", "/regproxy-ca.crt"))]
    return [path for path in places if path.startswith(runtime.directory)]


def diagnose(runtime: Runtime, files: Files, endpoint: Endpoint, known: tuple[str, ...], version: Version | None = None) -> Diagnosis:
    """Compare the files of *runtime* with what makes it pull through *endpoint*; *version* is the runtime's, if known."""
    if runtime.name == "containerd":
        return diagnose_containerd(files, endpoint, version)
    by_hand = f"regproxy client-config {runtime.name} --endpoint {endpoint.url} --apply"
    named = tuple(name for name, urls in mirrors(runtime, files).items() if endpoint.url in urls and name not in {"_default", "*"})
    try:
        plan = runtime.configure(files, Wanted(endpoint, named if named or runtime.name in {"k3s", "rke2"} else (), known=known))
    except Unsupported as error:
        return Diagnosis((Finding("not-parsed", str(error), f"/{runtime.directory}", "mend the file, then run this again"),))
    code = "wrong-host" if mirrors(runtime, files) else "not-configured"
    findings = [Finding(code, reason, f"/{file.path}", by_hand) for file in plan.files for reason in file.reasons]
    overridden = [note for note in plan.notes if " comes after " in note]
    findings += [Finding("overridden", note.partition(": ")[0], note.split()[0], note.partition(": ")[2]) for note in overridden]
    return Diagnosis(tuple(findings), _strictness(runtime, files, endpoint))


def _strictness(runtime: Runtime, files: Files, endpoint: Endpoint) -> tuple[str, ...]:
    if runtime.name in {"k3s", "rke2"}:
        said = any("disable-default-registry-endpoint: true" in text for path, text in files.items() if "config.yaml" in path)
    elif runtime.name in {"podman", "cri-o"}:
        try:
            said = any(str(table.get("location", "")).startswith(f"{endpoint.authority}/") for _, table in tables(files).values())
        except Unsupported:
            said = False
    else:
        said = False
    return (STRICT if said else LENIENT,)


def _mirrors(runtime: Runtime, files: Files) -> Iterator[tuple[str, str]]:
    for path, text in files.items():
        try:
            match runtime.name:
                case "containerd" if path.startswith(f"{CERTS}/") and path.endswith("/hosts.toml"):
                    for url in toml_text.loads(text).get("host", {}):
                        yield path.split("/")[-2], url
                case "k3s" | "rke2" if path.endswith("/registries.yaml"):
                    for name, mirror in (yaml_text.parse(text, path).get("mirrors") or {}).items():
                        for url in mirror.get("endpoint") or []:
                            yield name, url
                case "docker" if path.endswith("/daemon.json"):
                    for url in parse_daemon(text).get("registry-mirrors", []):
                        yield "docker.io", url.rstrip("/")
                case "buildkit" if path.endswith("/buildkitd.toml"):
                    registries = toml_text.loads(text).get("registry", {})
                    for name, table in registries.items():
                        for authority in table.get("mirrors", []):
                            yield name, f"http{'' if registries.get(authority, {}).get('http') else 's'}://{authority}"
                case "dragonfly" if path.endswith("/dfinit.yaml"):
                    for each in yaml_text.parse(text, path)["containerRuntime"]["containerd"]["registries"]:
                        yield each["hostNamespace"], each["serverAddr"]
                case "spegel" if path.endswith("/values.yaml"):
                    for url in yaml_text.parse(text, path)["spegel"]["additionalMirrorTargets"]:
                        yield "*", url
                case _:
                    pass
        except (tomllib.TOMLDecodeError, Unsupported, KeyError, TypeError, AttributeError):
            continue
    if runtime.name in {"podman", "cri-o"}:
        try:
            found = tables(files)
        except Unsupported:
            return
        for name, (_, table) in found.items():
            for mirror in (*table.get("mirror", []), table):
                authority, _, rest = str(mirror.get("location", "")).partition("/")
                if rest == name:
                    yield name, f"http{'' if mirror.get('insecure') else 's'}://{authority}"
