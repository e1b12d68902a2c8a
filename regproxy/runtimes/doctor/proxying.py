"""Whether a runtime would ask the cache by way of an HTTP proxy (golang.org/x/net/http/httpproxy, which containerd and the others use)."""

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping

from regproxy.runtimes.model import Endpoint

_ASSIGNMENT = re.compile(r"^\s*(Environment|EnvironmentFile)\s*=\s*(.*)$")


def variable_in_the_way(environment: Mapping[str, str], endpoint: Endpoint) -> str | None:
    """Return the name of the variable that sends requests for *endpoint* to a proxy; None where they go directly."""
    name = next((each for each in _names("HTTPS_PROXY" if endpoint.is_https else "HTTP_PROXY") if environment.get(each)), None)
    if name is None or _is_loopback(endpoint.host):
        return None
    except_for = next((environment[each] for each in _names("NO_PROXY") if environment.get(each)), "")
    return None if any(_covers(each, endpoint) for each in re.split(r"[,\s]+", except_for) if each) else name


def unit_variables(text: str) -> Iterator[tuple[int, str, str]]:
    """Read the variables of a systemd unit (systemd.exec(5)): line, name, value. A file of variables has the name EnvironmentFile."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _ASSIGNMENT.match(line)
        if match is None:
            continue
        if match[1] == "EnvironmentFile":
            yield number, "EnvironmentFile", match[2].strip().lstrip("-").strip("\"'")
            continue
        try:
            words = shlex.split(match[2])
        except ValueError:
            continue
        for word in words:
            name, is_assigned, value = word.partition("=")
            if is_assigned:
                yield number, name, value


def file_variables(text: str) -> Iterator[tuple[int, str, str]]:
    """Read a file of variables: line, name, value."""
    for number, line in enumerate(text.splitlines(), 1):
        name, is_assigned, value = line.strip().partition("=")
        if is_assigned and not name.startswith(("#", ";")):
            yield number, name, value.strip().strip("\"'")


def _names(name: str) -> tuple[str, str]:
    return name, name.lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(pattern: str, endpoint: Endpoint) -> bool:
    pattern = pattern.lower()
    if pattern == "*":
        return True
    name, _, port = pattern.rpartition(":") if re.fullmatch(r"(\[.*\]|[^:]+):\d+", pattern) else (pattern, "", "")
    if port and int(port) != endpoint.port:
        return False
    name = name.strip("[]")
    try:
        address = ipaddress.ip_address(endpoint.host)
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        pass
    name = name.removeprefix("*")
    if name.startswith("."):
        return endpoint.host.endswith(name)
    return endpoint.host == name or endpoint.host.endswith(f".{name}")
