"""Upstreams in the words of the configuration file, every default spelled out, secrets hidden."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from regproxy.config.units import duration_text, size_text
from regproxy.policy.freezing import Freeze
from regproxy.policy.routing import Host, Trust, Upstream


def written(upstream: Upstream) -> dict[str, Any]:
    return {
        "aliases": sorted(upstream.aliases),
        "serve_as": sorted(upstream.serve_as),
        "hosts": [_written_host(host) for host in upstream.hosts],
        "timeouts": _written_timeouts(upstream.timeouts),
        "tags": [
            {
                "match": rule.match,
                "policy": rule.policy.value,
                "fresh_for": duration_text(rule.fresh_for),
                "stale_for": duration_text(rule.stale_for),
                "missing_for": duration_text(rule.missing_for),
            }
            for rule in upstream.tags
        ],
        "freeze": [_written_freeze(upstream.name, freeze) for freeze in upstream.freezes],
        "deny": list(upstream.deny),
    }


def _written_freeze(upstream: str, freeze: Freeze) -> dict[str, str]:
    match = freeze.pattern.removeprefix(f"{upstream}/")
    return {"match": match, "digest": str(freeze.digest)} if freeze.digest else {"match": match}


def _written_host(host: Host) -> dict[str, Any]:
    credentials: dict[str, Any] = {}
    if host.credential:
        credentials["credentials"] = {"username": host.credential.username, "password": str(host.credential.password)}
    if host.docker_config:
        environment = {name: str(value) for name, value in host.docker_config.helper_env}
        credentials["credentials"] = {"docker_config": str(host.docker_config.path), "helper_env": environment}
    return {
        "url": host.url,
        "kind": host.kind.value,
        "trust": _values(host.trust),
        "prefix": host.prefix,
        **credentials,
        "realms": sorted(host.realms),
        "private_networks": sorted(host.private_networks),
        "tls": asdict(host.tls),
        "proxy": str(host.proxy) if host.proxy else None,
        "timeouts": _written_timeouts(host.timeouts),
    }


def _written_timeouts(timeouts: tuple[tuple[str, float], ...]) -> dict[str, Any]:
    return {name: size_text(int(value)) if name == "min_rate" else duration_text(value) for name, value in timeouts}


def _values(trust: Collection[Trust]) -> list[str]:
    return [each.value for each in Trust if each in trust]
