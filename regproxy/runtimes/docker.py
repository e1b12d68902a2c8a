"""docker: daemon.json, which sends pulls of Docker Hub's images, and no others, to a mirror.

Essential reading: docs.docker.com/reference/cli/dockerd, "Daemon configuration file".
"""

import json
from collections.abc import Sequence
from typing import Any

from regproxy.runtimes.model import Files, Plan, Runtime, Unsupported, Wanted, planned

DAEMON = "etc/docker/daemon.json"
_CERTS = "etc/docker/certs.d"


def parse(text: str) -> dict[str, Any]:
    """Read daemon.json; raise `Unsupported` where docker could not."""
    try:
        document = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Unsupported(f"/{DAEMON} is not JSON, and docker does not start with it: {error}. Mend it first") from None
    if not isinstance(document, dict):
        raise Unsupported(f"/{DAEMON} is not a JSON object: mend it first")
    return document


def configure(files: Files, wanted: Wanted) -> Plan:
    endpoint = wanted.endpoint.without_path("docker")
    if others := [name for name in wanted.registries if name != "docker.io"]:
        raise Unsupported(f"docker mirrors only Docker Hub: pull by path instead, docker pull {endpoint.authority}/{others[0]}/...")
    if wanted.is_strict:
        raise Unsupported("docker always goes on to Docker Hub itself where a mirror fails: there is no --strict for it")
    document = parse(files.get(DAEMON, ""))
    mirrors, insecure = _list(document, "registry-mirrors"), _list(document, "insecure-registries")
    wanted_mirrors = [endpoint.url, *(each for each in mirrors if each.rstrip("/") != endpoint.url)]
    reasons = []
    if [each.rstrip("/") for each in mirrors[:1]] != [endpoint.url]:
        reasons.append(f"registry-mirrors does not begin with {endpoint.url}")
        document["registry-mirrors"] = wanted_mirrors
    if not endpoint.is_https and endpoint.authority not in insecure:
        reasons.append(f"insecure-registries lacks {endpoint.authority}")
        document["insecure-registries"] = [*insecure, endpoint.authority]
    changes = []
    if wanted.ca is not None:
        changes.append(planned(files, f"{_CERTS}/{endpoint.authority}/ca.crt", wanted.ca, ["has other certificates"]))
    text = files.get(DAEMON, "")
    if reasons:
        text = _written(document, _indent(text))
    changes.append(planned(files, DAEMON, text, reasons))
    return Plan(tuple(changes), ("docker reads this on a reload, and containers keep running: systemctl reload docker",))


def _written(document: dict[str, Any], indent: int | str | None) -> str:
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode()
    except ValueError as error:
        raise Unsupported(f"/{DAEMON} has something in it that cannot be written as it is there: {error}. Edit it by hand") from None
    return text


def _list(document: dict[str, Any], key: str) -> list[str]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Unsupported(f"/{DAEMON}: {key} is not a list of strings: mend it first")
    return found


def _indent(text: str) -> int | str | None:
    """Find how a file is indented; a new one is one line."""
    for line in text.splitlines():
        if (blank := line[: len(line) - len(line.lstrip())]) and line.strip():
            return blank
    return None if "\n" not in text.strip() else 2


def _reads(wanted: Wanted) -> Sequence[str]:
    return [DAEMON, f"{_CERTS}/{wanted.endpoint.authority}/ca.crt"]


DOCKER = Runtime("docker", "docker", "etc/docker", _reads, configure, (DAEMON, f"{_CERTS}/*/ca.crt"))
