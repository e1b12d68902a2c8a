"""Which failure of several hosts is the upstream's answer."""

import pytest

from regproxy.policy.routing import Host, Trust
from regproxy.ports import LocalResourceError, NotFound, Refused, Throttled, Unavailable, UpstreamError
from regproxy.upstream.hosts.verdict import is_answered, verdict

REGISTRY = Host("https://registry.example")
MIRROR = Host("https://mirror.example", frozenset({Trust.PULL}))


@pytest.mark.parametrize(
    ("mirrors", "registrys", "found"),
    [
        pytest.param(Refused("m"), NotFound("r"), NotFound, id="the registry answers"),
        pytest.param(Refused("m"), Unavailable("r"), Unavailable, id="a mirror's refusal is none of the registry"),
        pytest.param(Unavailable("m"), Throttled("r", 7), Throttled, id="throttled"),
        pytest.param(Unavailable("m"), LocalResourceError("r"), LocalResourceError, id="not asked"),
    ],
)
def test_what_counts_is_what_a_host_trusted_to_resolve_says(mirrors: UpstreamError, registrys: UpstreamError, found: type) -> None:
    failures = [(MIRROR, mirrors), (REGISTRY, registrys)]
    assert type(verdict("docker.io", failures)) is found
    assert is_answered(failures) is (found is NotFound)
    assert not is_answered(failures[:1])
