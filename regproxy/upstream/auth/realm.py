"""Which token services may be asked on behalf of a registry.

The realm comes from the registry, and whoever speaks for it, also over plain HTTP: CVE-2026-33540 and CVE-2026-48978 are proxies that
sent their password wherever a realm pointed.
"""

import functools
import ipaddress
from collections.abc import Collection

from publicsuffixlist import PublicSuffixList
from yarl import URL

_HOME = ".home.arpa"  # RFC 8375; the list has it as a suffix


def is_allowed_realm(realm: URL, registry: URL, allowed: Collection[str]) -> bool:
    """Report whether *realm* shares the registry's origin or registrable domain, or is among *allowed*, as `host` or `host:port`."""
    if realm.scheme not in {"http", "https"} or realm.user is not None or realm.password is not None or not realm.host:
        return False
    if registry.scheme == "https" and realm.scheme != "https":
        return False
    if not allowed_hosts(realm).isdisjoint(allowed):
        return True
    if realm.origin() == registry.origin():
        return True
    domain = _registrable_domain(realm.host)
    return domain is not None and domain == _registrable_domain(registry.host or "")


def allowed_hosts(realm: URL) -> set[str]:
    """List how the configuration may write this realm's host; the port may only be left out where it is the default."""
    with_port = f"{realm.host}:{realm.port}"
    return {with_port, realm.host or ""} if realm.is_default_port() else {with_port}


def is_internal_name(host: str) -> bool:
    """Report whether a host name lies below no public suffix, so that it means something only here: `registry`, `harbor.corp.internal`."""
    name = host.lower().rstrip(".")
    return "." not in name or name.endswith(_HOME) or _suffixes().publicsuffix(name, accept_unknown=False) is None


def _registrable_domain(host: str) -> str | None:
    """Find `example.co.uk` in `auth.example.co.uk`; addresses and single labels have none."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        domain = _suffixes().privatesuffix(host.lower(), accept_unknown=False)
        return str(domain) if domain else None
    return None


@functools.cache
def _suffixes() -> PublicSuffixList:
    """Read the list when it is first asked: that takes a tenth of a process's start."""
    return PublicSuffixList()
