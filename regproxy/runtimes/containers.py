"""podman and CRI-O (and skopeo, buildah): a drop-in for registries.conf with one table a registry.

Essential reading: containers-registries.conf(5), containers-registries.conf.d(5), containers-certs.d(5).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from regproxy.runtimes.formats import toml_text
from regproxy.runtimes.model import Files, Plan, Runtime, Unsupported, Wanted, list_at, planned

MAIN = "etc/containers/registries.conf"
DROP_IN = "etc/containers/registries.conf.d/regproxy.conf"
_DROP_INS = "etc/containers/registries.conf.d/*.conf"
_CERTS = "etc/containers/certs.d"


def tables(files: Files) -> dict[str, tuple[str, toml_text.Table]]:
    """Find the table that holds for each prefix and the file that has it: drop-ins replace it, the last by name wins."""
    found: dict[str, tuple[str, toml_text.Table]] = {}
    for path in sorted((path for path in files if path.endswith(".conf")), key=lambda path: (path != MAIN, path)):
        document = toml_text.parse(files[path], path)
        if "registries" in document:
            raise Unsupported(f"/{path} is of the first version of the format, with which no mirror works: rewrite its [registries] tables")
        for table in list_at(document.get("registry"), path, "registry", dict):
            list_at(table.get("mirror"), path, "registry.mirror", dict)
            found[str(table.get("prefix") or table.get("location"))] = (path, table)
    return found


def configure(files: Files, wanted: Wanted) -> Plan:
    endpoint = wanted.endpoint.without_path("podman")
    others = tables({path: text for path, text in files.items() if path != DROP_IN})
    blocks, notes = [], []
    for registry in wanted.named:
        if ":" in registry:
            raise Unsupported(
                f"{registry} has a port, which has no place in the path by which podman and CRI-O name a registry to a mirror"
            )
        path, theirs = others.get(registry, ("", {}))
        if path > DROP_IN:
            notes.append(f"/{path} comes after /{DROP_IN} and replaces its table of {registry}: rename it, or remove that table")
        blocks.append(_block(registry, f"{endpoint.authority}/{registry}", theirs, wanted, is_insecure=not endpoint.is_https))
    text = "\n".join(blocks)
    changes = []
    if wanted.ca is not None:
        changes.append(planned(files, f"{_CERTS}/{endpoint.authority}/ca.crt", wanted.ca, ["has other certificates"]))
    changes.append(planned(files, DROP_IN, text, [f"does not send {', '.join(wanted.named)} to {endpoint.authority}, or in another way"]))
    notes.append("podman, skopeo and buildah read this at every pull; CRI-O: systemctl reload crio")
    return Plan(tuple(changes), tuple(notes))


def _block(registry: str, mirror: str, theirs: Mapping[str, Any], wanted: Wanted, *, is_insecure: bool) -> str:
    insecure: dict[str, Any] = {"insecure": True} if is_insecure else {}
    table: dict[str, Any] = {"prefix": registry, "location": registry}
    table |= {key: value for key, value in theirs.items() if key not in {"mirror", "prefix"}}
    mirrors: list[dict[str, Any]] = [{"location": mirror} | insecure]
    mirrors += [each for each in theirs.get("mirror", []) if each.get("location") != mirror]
    if wanted.is_strict:  # the cache is the registry, and nothing is behind it
        table |= {"location": mirror} | insecure
        mirrors = []
    text = "[[registry]]\n" + _lines(table)
    return text + "".join("[[registry.mirror]]\n" + _lines(each) for each in mirrors)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {toml_text.literal(value)}\n" for key, value in table.items())


def _reads(wanted: Wanted) -> Sequence[str]:
    return [MAIN, _DROP_INS, f"{_CERTS}/{wanted.endpoint.authority}/ca.crt"]


_WRITES = (DROP_IN, f"{_CERTS}/*/ca.crt")
PODMAN = Runtime("podman", "podman", "etc/containers", _reads, configure, _WRITES)
CRI_O = Runtime("cri-o", "CRI-O", "etc/containers", _reads, configure, _WRITES)
