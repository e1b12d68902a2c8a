"""Spegel: values of its Helm chart; what no node has is asked of the cache."""

from collections.abc import Sequence

from regproxy.runtimes.formats import yaml_text
from regproxy.runtimes.model import Files, Plan, Runtime, Unsupported, Wanted, planned

VALUES = "etc/spegel/values.yaml"  # a place of ours: Spegel has no file on a node


def configure(files: Files, wanted: Wanted) -> Plan:
    endpoint = wanted.endpoint.without_path("Spegel")
    if wanted.ca is not None or wanted.is_strict:
        raise Unsupported("Spegel's values have no word for --ca or --strict")
    text = yaml_text.put_first(files.get(VALUES, ""), VALUES, ["spegel", "additionalMirrorTargets"], endpoint.url)
    if wanted.registries:
        for name in reversed(wanted.registries):
            text = yaml_text.put_first(text, VALUES, ["spegel", "mirroredRegistries"], f"https://{name}")
    change = planned(files, VALUES, text, [f"{endpoint.url} is not the first of additionalMirrorTargets"])
    return Plan((change,), ("values for its chart: helm upgrade spegel oci://ghcr.io/spegel-org/helm-charts/spegel --values FILE",))


def _reads(_wanted: Wanted) -> Sequence[str]:
    return [VALUES]


SPEGEL = Runtime("spegel", "Spegel", "etc/spegel", _reads, configure, (VALUES,))
