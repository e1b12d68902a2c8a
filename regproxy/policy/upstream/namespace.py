"""Which registry an answer is about: a cache of several may answer for another than was meant (distribution-spec, Registry Proxying).

Bytes are verified by their digest, whoever sends them. What a tag means, which tags there are, what refers to a digest and that something
does not exist cannot be verified: these are believed only where they are about the registry that was meant.
"""

from collections.abc import Collection, Sequence

from regproxy.policy.routing import Host, HostKind

_REFUSED = 400  # statuses below it claim something, as does 404
_NOT_FOUND = 404
_OUTAGE = 500  # statuses from here on claim nothing
_MAX_SHOWN = 80  # characters of a header that a message cache


def misdirection(
    host: Host, registry: str, aliases: Collection[str], namespaces: Sequence[str], status: int, *, is_regproxy: bool
) -> str | None:
    """Return why an answer of *host* cannot be believed to be about *registry*, or None where it can.

    *namespaces* are the `OCI-Namespace` fields of the answer. *is_regproxy* says whether a regproxy has answered, which is a cache of
    several registries and names the one it has answered for.
    """
    named = [namespace.strip().lower() for namespace in namespaces]
    if named and status < _OUTAGE and (len(named) > 1 or named[0] not in {registry, *aliases}):
        advice = "it does not serve that registry" if host.kind is HostKind.CACHE else "a cache of several registries needs kind: cache"
        return f"{host} answered for {', '.join(named)[:_MAX_SHOWN]!r} instead of {registry}: {advice}"
    if named or not (status < _REFUSED or status == _NOT_FOUND):
        return None
    if host.kind is HostKind.CACHE and is_regproxy:
        return f"{host} does not serve {registry}: add it to the upstreams there"
    if host.kind is HostKind.CACHE:
        return f"{host} does not name the registry it answered for (OCI-Namespace), so only digests of it can be believed: trust: [pull]"
    if is_regproxy:
        return f"{host} is a cache of several registries, and does not name the one it answered for: it needs kind: cache"
    return None
