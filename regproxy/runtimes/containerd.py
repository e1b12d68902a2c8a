"""containerd: one hosts.toml a registry, or one for all of them.

Essential reading, in containerd's repository: docs/hosts.md, docs/cri/registry.md; core/remotes/docker/config/hosts.go for what it does.
"""

import tomllib
from collections.abc import Sequence

from regproxy.runtimes.formats import toml_text
from regproxy.runtimes.model import CA_FILE, Files, Plan, PlannedFile, Runtime, Unsupported, Wanted, planned, table_at

CERTS = "etc/containerd/certs.d"
CONFIG = "etc/containerd/config.toml"
DEFAULT = "_default"
CAPABILITIES = ("pull", "resolve")
# How long a connection may take: a cache that is off must not hold a pull up. Known since 2.1.0 and 2.0.6, where it is 30 s unless said;
# older ones ignore it, as they do every key that they do not know.
DIAL_TIMEOUT = "200ms"
PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images", 4: "io.containerd.cri.v1.images"}

_MISSING_CONFIG = (
    f"there is no /{CONFIG}, and which one is right depends on the version: write containerd's own by "
    f"`containerd config default >/{CONFIG}`, then run this again"
)


def hosts_path(registry: str) -> str:
    return f"{CERTS}/{registry}/hosts.toml"


def registry_table(document: toml_text.Table) -> toml_text.Key:
    """Return the table of config.toml that names the directory; raise `Unsupported` for a version that has none."""
    version = document.get("version", 1)
    if not isinstance(version, int) or version not in PLUGINS:
        raise Unsupported(
            f"/{CONFIG} is of version {version}, which knows no hosts.toml: `containerd config migrate` makes a newer one of it"
        )
    return ("plugins", PLUGINS[version], "registry")


def imports(text: str) -> list[str]:
    """List the files, or patterns, that config.toml takes in, as paths below the host's root; a file that is no TOML takes in none."""
    try:
        said = toml_text.loads(text).get("imports", [])
    except tomllib.TOMLDecodeError:
        return []
    return [each.lstrip("/") for each in said if isinstance(each, str) and each.startswith("/")] if isinstance(said, list) else []


def configure(files: Files, wanted: Wanted) -> Plan:
    names = wanted.registries or (DEFAULT,)
    changes: list[PlannedFile] = []
    notes: list[str] = []
    for name in names:
        path = hosts_path(name)
        if wanted.ca is not None:
            changes.append(planned(files, f"{CERTS}/{name}/{CA_FILE}", wanted.ca, ["has other certificates"]))
        changes.append(_hosts(files, path, wanted))
        others = [host for host in toml_text.loads(changes[-1].text).get("host", {}) if host != wanted.endpoint.url]
        if others and wanted.is_strict:
            notes.append(f"/{path}: rules do not hold while other hosts stay behind the cache: {', '.join(others)}")
    if not wanted.registries:
        notes += [f"/{path} takes the place of _default for its registry: --registry configures it too" for path in _others(files, wanted)]
    if wanted.edits_config:
        changes.append(_config(files))
        if changes[-1].reasons:
            notes.append("config.toml is read when containerd starts: systemctl restart containerd (containers keep running)")
    else:
        notes.append(f'/{CONFIG} has to say config_path = "/{CERTS}", exactly so; --edit-config writes it, and `regproxy doctor` looks')
    notes.append("hosts.toml is read at every pull: nothing to restart")
    return Plan(tuple(changes), tuple(notes))


def _hosts(files: Files, path: str, wanted: Wanted) -> PlannedFile:
    url = wanted.endpoint.url
    values = _values(wanted)
    root: dict[str, toml_text.Value] = {"server": url} if wanted.is_strict else {}
    if wanted.is_strict:  # what stands above the tables is about the server
        root |= {key: value for key, value in values.items() if key in {"override_path", "ca"}}
    fresh = "".join(f"{key} = {toml_text.literal(value)}\n" for key, value in root.items()) + ("\n" if root else "") + _block(url, values)
    if not files.get(path, "").strip():
        return planned(files, path, fresh, ["is empty"])
    text = files[path]
    document = toml_text.parse(text, path)
    hosts = table_at(document.get("host"), path, "host")
    for name, table in hosts.items():
        table_at(table, path, f"host {name}")
    reasons = _differences(document, url, values, root)
    if not reasons:
        return PlannedFile(path, text)
    expected = (
        document | root | {"host": {url: hosts.get(url, {}) | _plain(values)} | {key: host for key, host in hosts.items() if key != url}}
    )
    parts = toml_text.split(text)
    ours = [part for part in parts if part.key[:2] == ("host", url)]
    block = "".join(part.text for part in ours) or _block(url, values)
    for key, value in values.items():
        block = toml_text.set_value(block, ("host", url), key, value)
    above, *tables = [part for part in parts if part not in ours]
    first = above.text
    for key, value in reversed(root.items()):
        first = toml_text.set_value(first, (), key, value)
    changed = _ended(first) + _ended(block) + ("\n" if tables and not block.endswith("\n\n") else "") + toml_text.join(tables)
    toml_text.proved(changed, expected, path, fresh)
    return PlannedFile(path, changed, reasons)


def _values(wanted: Wanted) -> dict[str, toml_text.Value]:
    values: dict[str, toml_text.Value] = {"capabilities": CAPABILITIES, "dial_timeout": DIAL_TIMEOUT}
    if wanted.endpoint.path:
        values["override_path"] = True  # or /v2 is added once more
    if wanted.ca is not None:
        values["ca"] = CA_FILE  # beside hosts.toml
    return values


def _plain(values: dict[str, toml_text.Value]) -> toml_text.Table:
    return {key: value if isinstance(value, str | bool | int) else list(value) for key, value in values.items()}


def _block(url: str, values: dict[str, toml_text.Value]) -> str:
    lines = "".join(f"  {key} = {toml_text.literal(value)}\n" for key, value in values.items())
    return f"{toml_text.header(('host', url))}\n{lines}"


def _differences(
    document: toml_text.Table, url: str, values: dict[str, toml_text.Value], root: dict[str, toml_text.Value]
) -> tuple[str, ...]:
    hosts = document.get("host", {})
    found = []
    if url not in hosts:
        found.append(f"does not name {url}")
    elif next(iter(hosts)) != url:
        found.append(f"asks {next(iter(hosts))} before {url}")
    if url in hosts:
        found += [
            f"{key} of {url} is {_shown(hosts[url].get(key))}, not {_shown(value)}"
            for key, value in _plain(values).items()
            if hosts[url].get(key) != value
        ]
    found += [f"{key} is {_shown(document.get(key))}, not {_shown(value)}" for key, value in root.items() if document.get(key) != value]
    return tuple(found)


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    return toml_text.literal(value) if isinstance(value, str | bool | int | list) else "something else"


def _config(files: Files) -> PlannedFile:
    if CONFIG not in files:
        raise Unsupported(_MISSING_CONFIG)
    text = files[CONFIG]
    document = toml_text.parse(text, CONFIG)
    table = registry_table(document)
    value = f"/{CERTS}"
    expected = toml_text.with_value(document, table, "config_path", value)
    if expected == document:
        return PlannedFile(CONFIG, text)
    registry = expected["plugins"][table[1]]["registry"]
    by_hand = f"{toml_text.header(table)}\n  config_path = {toml_text.literal(value)}"
    # With config_path beside either of them the CRI plugin does not start (internal/cri/config, ValidateImageConfig).
    configs = table_at(registry.get("configs"), CONFIG, "registry.configs")
    has_tls = any(isinstance(each, dict) and each.get("tls") for each in configs.values())
    if registry.get("mirrors") or has_tls:
        raise Unsupported(
            f"/{CONFIG} still has registry.mirrors or registry.configs.*.tls, which exclude config_path: move them to hosts.toml first"
        )
    was = document.get("plugins", {}).get(table[1], {}).get("registry", {}).get("config_path")
    text = toml_text.proved(toml_text.set_value(text, table, "config_path", value), expected, CONFIG, by_hand)
    return PlannedFile(CONFIG, text, (f"config_path is {_shown(was)}, not {_shown(value)}",))


def _others(files: Files, wanted: Wanted) -> list[str]:
    """List the files of single registries that do not name the cache; one that cannot be read is none of this change's business."""
    paths = [path for path in files if path.startswith(f"{CERTS}/") and path.endswith("/hosts.toml") and path != hosts_path(DEFAULT)]
    return [path for path in paths if wanted.endpoint.authority not in files[path]]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _reads(wanted: Wanted) -> Sequence[str]:
    names = wanted.registries or (DEFAULT,)
    paths = [f"{CERTS}/{name}/{file}" for name in names for file in ("hosts.toml", CA_FILE)]
    if not wanted.registries:
        paths.append(f"{CERTS}/*/hosts.toml")
    return [*paths, *([CONFIG] if wanted.edits_config else [])]


CONTAINERD = Runtime("containerd", "containerd", CERTS, _reads, configure, (CONFIG, f"{CERTS}/*/hosts.toml", f"{CERTS}/*/{CA_FILE}"))
