"""k3s and RKE2: registries.yaml, of which they make containerd's hosts.toml files when they start.

Essential reading: docs.k3s.io/installation/private-registry.
"""

from collections.abc import Sequence

from regproxy.runtimes.formats import yaml_text
from regproxy.runtimes.model import CA_FILE, Files, Plan, Runtime, Wanted, planned

ALL = "*"


def _runtime(name: str, title: str, services: str) -> Runtime:
    directory = f"etc/rancher/{name}"
    registries, ca = f"{directory}/registries.yaml", f"{directory}/{CA_FILE}"
    drop_in = f"{directory}/config.yaml.d/regproxy.yaml"

    def configure(files: Files, wanted: Wanted) -> Plan:
        endpoint = wanted.endpoint.without_path(title)
        text = files.get(registries, "")
        reasons = []
        for registry in wanted.registries or (ALL,):
            changed = yaml_text.put_first(text, registries, ["mirrors", registry, "endpoint"], endpoint.url)
            reasons += [] if changed == text else [f"{endpoint.url} is not the first endpoint of {registry}"]
            text = changed
        changes = []
        if wanted.ca is not None:
            changes.append(planned(files, ca, wanted.ca, ["has other certificates"]))
            changed = yaml_text.put(text, registries, ["configs", endpoint.authority, "tls", "ca_file"], f"/{ca}")
            reasons += [] if changed == text else [f"the certificates of {endpoint.authority} are not /{ca}"]
            text = changed
        changes.append(planned(files, registries, text, reasons))
        if wanted.is_strict:
            said = yaml_text.put(files.get(drop_in, ""), drop_in, ["disable-default-registry-endpoint"], value=True)
            changes.append(planned(files, drop_in, said, ["lets containerd go around the cache"]))
        return Plan(tuple(changes), (f"{title} reads this when it starts: systemctl restart {services}",))

    def reads(_wanted: Wanted) -> Sequence[str]:
        return [registries, ca, drop_in]

    return Runtime(name, title, directory, reads, configure, (registries, ca, drop_in))


K3S = _runtime("k3s", "k3s", "k3s (on agents: k3s-agent)")
RKE2 = _runtime("rke2", "RKE2", "rke2-server (on agents: rke2-agent)")
