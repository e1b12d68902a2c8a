"""What keeps containerd from pulling through the cache: its config.toml, and each hosts.toml."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from regproxy.runtimes.containerd import CAPABILITIES, CERTS, CONFIG, DEFAULT, DIAL_TIMEOUT, PLUGINS
from regproxy.runtimes.doctor.finding import LENIENT, STRICT, Diagnosis, Finding
from regproxy.runtimes.formats import toml_text
from regproxy.runtimes.model import Endpoint, Files

Version = tuple[int, ...]

_KNOWN_CAPABILITIES = frozenset({"pull", "resolve", "push", "referrers"})
_LINE = re.compile(r"at line (\d+)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_DIAL_SECONDS = 5.0  # beyond that every request waits long for a cache that is off
_TRANSFER: Version = (2, 1)  # since then pulls go through the transfer service, which does not split config_path
_TWO_BY_DEFAULT: Version = (2, 2)
_DIAL_TIMEOUT: tuple[Version, Version] = ((2, 1, 0), (2, 0, 6))


def diagnose_containerd(files: Files, endpoint: Endpoint, version: Version | None) -> Diagnosis:
    """Diagnose containerd of *version*, if that is known, by its files."""
    findings = list(_config_findings(files, version))
    notes: list[str] = []
    apply = f"regproxy client-config containerd --endpoint {endpoint.url} --apply"
    hosts = {path: text for path, text in files.items() if path.startswith(f"{CERTS}/") and path.endswith("/hosts.toml")}
    using: list[str] = []
    parsed: dict[str, dict[str, Any]] = {}
    for path, text in hosts.items():
        try:
            parsed[path] = toml_text.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = found[1] if (found := _LINE.search(str(error))) else "1"
            what = f"hosts.toml is not TOML ({error}), so pulls of its registry fail or go around the cache"
            findings.append(Finding("hosts-not-parsed", what, f"/{path}:{line}", "mend that line"))
    is_named = False
    for path, document in parsed.items():
        findings += _host_findings(path, hosts[path], document, endpoint)
        tables = document.get("host", {})
        if isinstance(tables, dict) and endpoint.url in tables:
            is_named = True
            using.append(path)
        elif document.get("server") == endpoint.url:
            is_named = True
    default = f"{CERTS}/{DEFAULT}/hosts.toml"
    for path, document in parsed.items():
        tables = document.get("host", {})
        if not isinstance(tables, dict) or endpoint.url in tables or document.get("server") == endpoint.url:
            continue
        if path == default:
            first = next(iter(tables), document.get("server", "nothing"))
            findings.append(
                Finding("wrong-host", f"pulls go to {first}, not to {endpoint.url}", _at(path, hosts[path], ("host", str(first))), apply)
            )
        elif default in using:
            registry = path.split("/")[-2]
            what = f"pulls of {registry} go around the cache: a file of its own takes the place of _default"
            findings.append(Finding("registry-goes-around", what, f"/{path}:1", f"{apply} --registry {registry}, or remove that file"))
    if not is_named and not any(each.code in {"hosts-not-parsed", "wrong-host"} for each in findings):
        findings.append(Finding("not-configured", f"no hosts.toml below /{CERTS} names {endpoint.url}", f"/{CERTS}", apply))
    strict = [path for path in parsed if parsed[path].get("server") == endpoint.url]
    if is_named:
        notes.append(STRICT if strict and set(strict) >= set(using) else LENIENT)
    if version is not None and not _knows_dial_timeout(version):
        shown = ".".join(str(each) for each in version)
        notes.append(f"containerd {shown} knows no dial_timeout: a cache that is off costs up to 30 s a request (2.1.0 and 2.0.6 know it)")
    return Diagnosis(tuple(findings), tuple(notes))


def _config_findings(files: Files, version: Version | None) -> Iterator[Finding]:
    edit = f'set config_path = "/{CERTS}" there (client-config containerd --edit-config), then systemctl restart containerd'
    found: list[tuple[str, int, str]] = []
    uses_transfer = version is None or version >= _TRANSFER
    for path, text in files.items():
        if not (path == CONFIG or (path.startswith("etc/containerd/") and path.endswith(".toml") and not path.startswith(f"{CERTS}/"))):
            continue
        try:
            document = toml_text.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = match[1] if (match := _LINE.search(str(error))) else "1"
            yield Finding(
                "config-not-parsed", f"config.toml is not TOML ({error}): containerd does not start", f"/{path}:{line}", "mend that line"
            )
            return
        for plugin in dict.fromkeys(PLUGINS.values()):
            table = _table(_table(document, "plugins"), plugin)
            if table.get("use_local_image_pull") is True:
                uses_transfer = False
            value = _table(table, "registry").get("config_path")
            if isinstance(value, str) and value:
                found.append((path, toml_text.line_of(text, ("plugins", plugin, "registry"), "config_path"), value))
    if not found:
        if version is not None and version >= _TWO_BY_DEFAULT and uses_transfer:
            what = f"config_path is not set, and the default since containerd 2.2 is two directories, read as one: {_ISSUE}"
            yield Finding("config-path-two-directories", what, f"/{CONFIG}", edit)
        else:
            yield Finding("config-path-missing", "config_path is not set: no hosts.toml is ever read", f"/{CONFIG}", edit)
        return
    path, line, value = found[-1]
    where = f"/{path}:{line}"
    if ":" in value and uses_transfer:
        what = f"config_path is {value!r}: containerd 2.1 and newer read it as one directory and ignore every mirror, {_ISSUE}"
        yield Finding("config-path-two-directories", what, where, edit)
    elif f"/{CERTS}" not in [each.rstrip("/") for each in value.split(":")]:
        yield Finding("config-path-elsewhere", f"config_path is {value!r}, not /{CERTS}", where, edit)


_ISSUE = "github.com/containerd/containerd/issues/12636"


def _host_findings(path: str, text: str, document: Mapping[str, Any], endpoint: Endpoint) -> Iterator[Finding]:
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        yield Finding("hosts-not-parsed", "`host` is not a table: containerd reads nothing of the file", f"/{path}:1", "mend it")
        return
    for url, table in hosts.items():
        key = ("host", url)
        if not isinstance(table, dict):
            continue
        if unknown := [each for each in _list(table.get("capabilities")) if each.lower() not in _KNOWN_CAPABILITIES]:
            what = f"{unknown[0]!r} is no capability: containerd reads nothing of the file"
            yield Finding("hosts-not-parsed", what, _at(path, text, key, "capabilities"), 'write capabilities = ["pull", "resolve"]')
        if "server" in table:
            what = "`server` stands below a table, where it is a key of that host and means nothing: containerd goes around the cache"
            yield Finding("server-below-table", what, _at(path, text, key, "server"), "move it above the first table")
    if endpoint.url not in hosts:
        return
    key, table = ("host", endpoint.url), _table(hosts, endpoint.url)
    if (first := next(iter(hosts))) != endpoint.url:
        yield Finding(
            "not-first", f"{first} is asked before the cache", _at(path, text, ("host", first)), "move its table behind the cache's"
        )
    capabilities = [each.lower() for each in _list(table.get("capabilities", list(CAPABILITIES)))]
    missing = [each for each in CAPABILITIES if each not in capabilities]
    if missing and set(capabilities) <= _KNOWN_CAPABILITIES:
        what = f"capabilities lack {' and '.join(missing)}, which is asked of the registry itself"
        yield Finding("capability-missing", what, _at(path, text, key, "capabilities"), 'write capabilities = ["pull", "resolve"]')
    seconds = _seconds(table.get("dial_timeout"))
    if seconds is None or seconds > _MAX_DIAL_SECONDS:
        what = "dial_timeout is missing" if "dial_timeout" not in table else f"dial_timeout is {table['dial_timeout']}"
        advice = f'write dial_timeout = "{DIAL_TIMEOUT}" in that table'
        where = _at(path, text, key, "dial_timeout" if "dial_timeout" in table else None)
        yield Finding("no-dial-timeout", f"{what}: a cache that is off costs 30 s a request", where, advice)
    if bool(table.get("override_path")) != bool(endpoint.path):
        what = (
            "override_path is missing, so /v2 is added to a path that has it" if endpoint.path else "override_path is set: /v2 is left out"
        )
        yield Finding(
            "wrong-path", what, _at(path, text, key, "override_path"), f"write override_path = {str(bool(endpoint.path)).lower()}"
        )
    if not endpoint.is_https and table.get("ca"):
        yield Finding(
            "wrong-scheme", "certificates are named for an http endpoint", _at(path, text, key, "ca"), "write https, or leave them out"
        )


def certificates(files: Files, endpoint: Endpoint) -> Iterator[str]:
    """List the certificate files that hosts.toml files name for the endpoint."""
    for path, text in files.items():
        if not path.endswith("/hosts.toml"):
            continue
        try:
            said = _table(_table(toml_text.loads(text), "host"), endpoint.url).get("ca")
        except tomllib.TOMLDecodeError:
            continue
        for each in _list(said):
            yield each[1:] if each.startswith("/") else f"{path.rpartition('/')[0]}/{each}"


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table; an empty one where something else stands there, of which the runtime reads nothing either."""
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[str]:
    """Return a list of strings, be it one of a single string; what is no string is of no use."""
    return [each for each in ([value] if isinstance(value, str) else value if isinstance(value, list) else []) if isinstance(each, str)]


def _knows_dial_timeout(version: Version) -> bool:
    since, backported = _DIAL_TIMEOUT
    return version >= since or (version[:2] == backported[:2] and version >= backported)


def _seconds(duration: object) -> float | None:
    """Read a duration as Go writes it, such as 1m30s or 200ms; None where it is none."""
    if not isinstance(duration, str) or not re.fullmatch(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", duration):
        return None
    return sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ns|us|µs|ms|s|m|h)", duration))


def _at(path: str, text: str, table: toml_text.Key, key: str | None = None) -> str:
    return f"/{path}:{toml_text.line_of(text, table, key)}"
