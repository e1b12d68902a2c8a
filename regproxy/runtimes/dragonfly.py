"""Dragonfly: what dfinit makes containerd's hosts.toml files of, so that the node's dfdaemon fetches from the cache.

dfdaemon asks the registry that the `X-Dragonfly-Registry` header names before the one of `?ns=`, and dfinit writes that header from
`serverAddr`; `proxy.registryMirror` is not asked for containerd's pulls (dragonflyoss/client, dragonfly-client/src/proxy).
"""

from collections.abc import Sequence

from regproxy.runtimes.formats import yaml_text
from regproxy.runtimes.model import Files, Plan, Runtime, Unsupported, Wanted, list_at, planned, table_at

CONFIG = "etc/dragonfly/dfinit.yaml"
_CAPABILITIES = ("pull", "resolve")


def configure(files: Files, wanted: Wanted) -> Plan:
    endpoint = wanted.endpoint.without_path("Dragonfly")
    if wanted.ca is not None or wanted.is_strict:
        raise Unsupported("Dragonfly's configuration has no word for --ca or --strict: give dfdaemon the certificates of its host")
    text = files.get(CONFIG, "")
    document = yaml_text.parse(text, CONFIG)
    runtime = document["containerRuntime"] = table_at(document.get("containerRuntime"), CONFIG, "containerRuntime")
    if "docker" in runtime:
        raise Unsupported(f"/{CONFIG} is for another runtime than containerd, which alone tells Dragonfly of a registry")
    containerd = runtime["containerd"] = table_at(runtime.get("containerd"), CONFIG, "containerd")
    registries = containerd["registries"] = list_at(containerd.get("registries"), CONFIG, "registries", dict)
    # Without a header of its own, _default would have dfdaemon go to any registry directly.
    is_selective = containerd.get("proxyAllRegistries") is False
    containerd["proxyAllRegistries"] = False
    reasons = [] if is_selective else ["proxyAllRegistries is not false"]
    for name in wanted.named:
        ours = {"hostNamespace": name, "serverAddr": endpoint.url, "capabilities": list(_CAPABILITIES)}
        at = next((index for index, each in enumerate(registries) if each.get("hostNamespace") == name), None)
        if at is None:
            registries.append(ours)
        elif registries[at] == ours:
            continue
        else:
            registries[at] = registries[at] | ours
        reasons.append(f"serverAddr of {name} is not {endpoint.url}")
    changed = yaml_text.dump(document) if reasons else text
    note = "dfinit reads this when the Pod of dfdaemon starts; with Dragonfly's chart it is client.dfinit.config"
    return Plan((planned(files, CONFIG, changed, reasons),), (note,))


def _reads(_wanted: Wanted) -> Sequence[str]:
    return [CONFIG]


DRAGONFLY = Runtime("dragonfly", "Dragonfly", "etc/dragonfly", _reads, configure, (CONFIG,))
