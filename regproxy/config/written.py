"""Upstreams in the words of the configuration file, every default spelled out, secrets hidden."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from regproxy.config.sections.bandwidth import line_rate_text
from regproxy.config.sections.credentials import written_source
from regproxy.config.units import duration_text, size_text
from regproxy.policy.freezing import Freeze
from regproxy.policy.requirement import Requirement
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
                "cooldown": duration_text(rule.cooldown),
                "cooldown_first": "refuse" if rule.refuses_first else "serve",
                "gone_for": duration_text(rule.gone_for),
            }
            for rule in upstream.tags
        ],
        "freeze": [_written_freeze(upstream.name, freeze) for freeze in upstream.freezes],
        "allow": list(upstream.allow),
        "deny": list(upstream.deny),
        "require": [_written_requirement(rule) for rule in upstream.require],
        "access": upstream.access.value,
        "max_rate": line_rate_text(upstream.max_rate) if upstream.max_rate is not None else None,
        "proof_for": duration_text(upstream.proof_for),
        "public_for": duration_text(upstream.public_for),
        "proof_stale_for": duration_text(upstream.proof_stale_for),
    }


def _written_requirement(rule: Requirement) -> dict[str, Any]:
    identities = [
        {
            "issuer_regexp" if each.is_issuer_pattern else "issuer": each.issuer,
            "subject_regexp" if each.is_subject_pattern else "subject": each.subject,
        }
        for each in rule.identities
    ]
    keyless = {"identities": identities, "trust_root": rule.trust_root}
    return {"match": rule.match, "keys": list(rule.keys), **keyless, "mode": rule.mode.value}


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
    if host.credential_source:
        credentials["credentials"] = written_source(host.credential_source)
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
        "forward_credentials": host.forward_credentials,
        "rewrite": {rule.match: rule.to for rule in host.rewrite},
        "headers": {name: str(value) for name, value in host.headers},
    }


def _written_timeouts(timeouts: tuple[tuple[str, float], ...]) -> dict[str, Any]:
    return {name: size_text(int(value)) if name == "min_rate" else duration_text(value) for name, value in timeouts}


def _values(trust: Collection[Trust]) -> list[str]:
    return [each.value for each in Trust if each in trust]
