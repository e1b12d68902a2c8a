"""BuildKit: buildkitd.toml, one table a registry and one for the cache itself.

Essential reading: docs.docker.com/build/buildkit/toml-configuration, "registry".
"""

from collections.abc import Sequence
from typing import Any

from regproxy.runtimes.formats import toml_text
from regproxy.runtimes.model import CA_FILE, Files, Plan, Runtime, Unsupported, Wanted, list_at, planned, table_at

CONFIG = "etc/buildkit/buildkitd.toml"
_CA = f"etc/buildkit/{CA_FILE}"


def configure(files: Files, wanted: Wanted) -> Plan:
    endpoint = wanted.endpoint.without_path("BuildKit")
    if wanted.is_strict:
        raise Unsupported("BuildKit always goes on to the registry itself where a mirror fails: there is no --strict for it")
    text = files.get(CONFIG, "")
    document = toml_text.parse(text, CONFIG)
    reasons, changes = [], []
    for registry in wanted.named:
        mirrors = _mirrors(document, registry)
        if mirrors[:1] == [endpoint.authority]:
            continue
        reasons.append(f"{endpoint.authority} is not the first mirror of {registry}")
        first = [endpoint.authority, *(each for each in mirrors if each != endpoint.authority)]
        text, document = _set(text, document, registry, "mirrors", first)
    how: dict[str, toml_text.Value] = {} if endpoint.is_https else {"http": True}
    if wanted.ca is not None:
        changes.append(planned(files, _CA, wanted.ca, ["has other certificates"]))
        how["ca"] = [f"/{_CA}"]
    for key, value in how.items():
        if _table(document, endpoint.authority).get(key) != value:
            reasons.append(f"{key} of {endpoint.authority} is not {toml_text.literal(value)}")
            text, document = _set(text, document, endpoint.authority, key, value)
    changes.append(planned(files, CONFIG, text, reasons))
    return Plan(
        tuple(changes), ("buildkitd reads this when it starts: restart it, or give the file to docker buildx create --buildkitd-config",)
    )


def _mirrors(document: toml_text.Table, registry: str) -> list[str]:
    return list_at(_table(document, registry).get("mirrors"), CONFIG, f"mirrors of {registry}", str)


def _table(document: toml_text.Table, registry: str) -> dict[str, Any]:
    return table_at(table_at(document.get("registry"), CONFIG, "registry").get(registry), CONFIG, f"registry {registry}")


def _set(text: str, document: toml_text.Table, registry: str, key: str, value: toml_text.Value) -> tuple[str, toml_text.Table]:
    table = ("registry", registry)
    expected = toml_text.with_value(document, table, key, value)
    by_hand = f"{toml_text.header(table)}\n{key} = {toml_text.literal(value)}"
    return toml_text.proved(toml_text.set_value(text, table, key, value, indent=""), expected, CONFIG, by_hand), expected


def _reads(_wanted: Wanted) -> Sequence[str]:
    return [CONFIG, _CA]


BUILDKIT = Runtime("buildkit", "BuildKit", "etc/buildkit", _reads, configure, (CONFIG, _CA))
